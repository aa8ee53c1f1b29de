//! Packages, the updates they hold, and where an update's files stand in the store (PROTOCOL.md 7 and 8).
//! Reading a cabinet is not here; that is `sync`.

use crate::ParseError;
use crate::device::{DeviceKey, Name, text_type};
use crate::version::FirmwareVersion;
use jiff::civil::DateTime;
use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseError::new("SHA-256 digest", text, "64 hex digits"))?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    /// 64 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The folder of the interim builds, beside the device types (row L04).
pub const INTERIM_FOLDER: &str = "OCInterim";

/// Segments that a path in the store has at most: `<DeviceType>/<Brand>/<Model>/<Revision>/<Locale>/<Version>/<UpdateType>/<File>`.
const STORE_PATH_SEGMENTS: usize = 8;

/// The path of an update file below `DeviceUpdateStore`, with `/` between segments that are all [`Name`]s, so that it
/// can never leave that folder. Also the end of the file's URL. Compare with [`StorePath::folded`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// Reads two to eight names joined by `/`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let count = text.split('/').count();
        let named = text.split('/').all(|segment| Name::parse(segment).is_ok());
        if !(2..=STORE_PATH_SEGMENTS).contains(&count) || !named {
            return Err(ParseError::new("store path", text, "2 to 8 names joined by '/'"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path in the case that it is stored in.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path in lower case: paths match without regard to case (PROTOCOL.md 2).
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The folder, without a trailing slash: the end of `BaseURL`.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }
}

text_type!(StorePath);

/// What an update is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpdateTarget {
    /// The devices of one key, by way of their rule.
    Device(DeviceKey),
    /// A stepping stone: any device of the type and locale that is too old for its target (row D11).
    Interim {
        /// `UCPhone`
        device_type: Name,
        /// `ENU`
        locale: Name,
        /// `CPE`
        update_type: Name,
    },
}

impl UpdateTarget {
    /// Where the file of this name and version is stored (PROTOCOL.md 8): an interim build has no version in its path.
    pub fn store_path(&self, version: FirmwareVersion, file: &Name) -> StorePath {
        StorePath(match self {
            Self::Device(DeviceKey { device_type, brand, model, revision, locale, update_type }) => {
                format!("{device_type}/{brand}/{model}/{revision}/{locale}/{version}/{update_type}/{file}")
            }
            Self::Interim { locale, .. } => format!("{INTERIM_FOLDER}/{locale}/{file}"),
        })
    }

    /// The update type, for both kinds.
    pub fn update_type(&self) -> &Name {
        match self {
            Self::Device(key) => &key.update_type,
            Self::Interim { update_type, .. } => update_type,
        }
    }
}

impl fmt::Display for UpdateTarget {
    /// `UCPhone/Polycom/CX600/A/ENU/CPE`, or `interim UCPhone/ENU/CPE`: for people and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(key) => key.fmt(f),
            Self::Interim { device_type, locale, update_type } => {
                write!(f, "interim {device_type}/{locale}/{update_type}")
            }
        }
    }
}

/// What a file of an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileRole {
    /// The software image, which the phone installs: `.nbt`, or another vendor's kind. One an update.
    Image,
    /// The security catalog beside it: `.cat`. One an update at most.
    Signature,
    /// Whatever else the package carries for the update.
    Other,
}

/// A file of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateFile {
    /// Its name, in the case of the package.
    pub name: Name,
    /// What it is.
    pub role: FileRole,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The time stamp of the cabinet entry: local to whoever packed it, logged and never compared (PROTOCOL.md 5).
    pub time_stamp: DateTime,
    /// Where it is stored.
    pub path: StorePath,
}

/// One version for one target, with its files. A published update's files never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    target: UpdateTarget,
    version: FirmwareVersion,
    files: Vec<UpdateFile>,
    image: usize,
    signature: Option<usize>,
}

/// What a security catalog lists, not verified: kept for the day that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// SHA-256 of the catalog file itself.
    pub file: Digest,
    /// The digests that it vouches for, in its order.
    pub digests: Vec<CatalogDigest>,
}

/// A digest that a security catalog lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogDigest {
    /// The object identifier of the algorithm, such as `1.3.14.3.2.26` (SHA-1).
    pub algorithm: String,
    /// The digest's bytes.
    pub value: Vec<u8>,
}

/// Files that do not make an update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// None or several files are the image.
    #[error("{target} {version} has {count} image files, expected one")]
    Images {
        /// The update's target, for people.
        target: String,
        /// Its version.
        version: FirmwareVersion,
        /// How many files are images.
        count: usize,
    },
    /// Several files are the signature.
    #[error("{target} {version} has {count} signature files, expected one at most")]
    Signatures {
        /// The update's target, for people.
        target: String,
        /// Its version.
        version: FirmwareVersion,
        /// How many files are signatures.
        count: usize,
    },
}

impl Update {
    /// An update of exactly one image, at most one signature, and any other files.
    pub fn new(target: UpdateTarget, version: FirmwareVersion, files: Vec<UpdateFile>) -> Result<Self, UpdateError> {
        let of_role = |role| -> Vec<usize> { (0..files.len()).filter(|index| files[*index].role == role).collect() };
        let (images, signatures) = (of_role(FileRole::Image), of_role(FileRole::Signature));
        let [image] = images[..] else {
            return Err(UpdateError::Images { target: target.to_string(), version, count: images.len() });
        };
        if signatures.len() > 1 {
            return Err(UpdateError::Signatures { target: target.to_string(), version, count: signatures.len() });
        }
        Ok(Self { target, version, files, image, signature: signatures.first().copied() })
    }

    /// What the update is for.
    pub fn target(&self) -> &UpdateTarget {
        &self.target
    }

    /// Its version.
    pub fn version(&self) -> FirmwareVersion {
        self.version
    }

    /// All its files.
    pub fn files(&self) -> &[UpdateFile] {
        &self.files
    }

    /// The software image.
    pub fn image(&self) -> &UpdateFile {
        &self.files[self.image]
    }

    /// The security catalog, if the package had one.
    pub fn signature(&self) -> Option<&UpdateFile> {
        self.signature.map(|index| &self.files[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn files_are_stored_where_administrators_look_for_them() {
        let key = DeviceKey {
            device_type: name("UCPhone"),
            brand: name("LG-Nortel"),
            model: name("IP8540"),
            revision: name("A"),
            locale: name("ENU"),
            update_type: name("CPE"),
        };
        let version = FirmwareVersion::parse("3.5.6907.0").unwrap();
        let path = UpdateTarget::Device(key).store_path(version, &name("CPE.nbt"));
        assert_eq!(path.as_str(), "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt");
        assert_eq!(path.folder(), "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE");
        assert_eq!(StorePath::parse(path.as_str()).as_ref(), Ok(&path));
        let interim =
            UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
        assert_eq!(interim.store_path(version, &name("CPE.nbt")).as_str(), "OCInterim/ENU/CPE.nbt");
    }

    #[test]
    fn an_update_has_one_image_and_at_most_one_signature() {
        let target =
            UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
        let file = |role| UpdateFile {
            name: name("CPE.nbt"),
            role,
            digest: Digest::new([0; 32]),
            size_bytes: 1,
            time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
            path: StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap(),
        };
        use FileRole::{Image, Other, Signature};
        let check = |roles: &[FileRole]| {
            Update::new(target.clone(), FirmwareVersion::NONE, roles.iter().map(|role| file(*role)).collect()).is_ok()
        };
        assert!(check(&[Image]) && check(&[Other, Signature, Image, Other]));
        assert!(
            !check(&[]) && !check(&[Signature]) && !check(&[Image, Image]) && !check(&[Image, Signature, Signature])
        );
    }

    proptest! {
        #[test]
        fn a_store_path_never_leaves_its_folder(text in "[a-z./\\\\:~%\\x00 -]{0,40}") {
            if let Ok(path) = StorePath::parse(&text) {
                let parts = std::path::Path::new(path.as_str()).components();
                prop_assert!(parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
