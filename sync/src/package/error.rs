//! Why a package cannot be imported: one sentence each, complete in its `Display`, that says what is wrong and what is
//! expected.

use crate::cabinet::CabinetError;
use crate::disk::Full;
use crate::manifest::ManifestError;
use schema::package::UpdateError;
use std::io;
use std::path::PathBuf;

/// What every wrong file is told is expected.
macro_rules! expected {
    () => {
        "expected a cabinet (.cab) with device updates, or a self-extracting UCUpdates.exe"
    };
}

/// A refusal, or a failure of the machine ([`PackageError::Io`]).
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file could not be read or written.
    #[error("{what}: {reason}")]
    Io {
        /// What was done to which file.
        what: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The disk that is unpacked to has too little room for what the cabinet says it holds.
    #[error(transparent)]
    NoRoom(Full),
    /// The path is a folder, a device, or the like.
    #[error("{name} is {kind}, {}", expected!())]
    NoFile {
        /// The path.
        name: String,
        /// "a folder", with its article.
        kind: &'static str,
    },
    /// There is nothing in it.
    #[error("{name} is empty, {}; fetch it again", expected!())]
    Empty {
        /// The file.
        name: String,
    },
    /// Larger than [`Limits::package_bytes`](crate::cabinet::Limits::package_bytes).
    #[error("{name} has {size_bytes} bytes, expected {limit} at most")]
    TooLarge {
        /// The file.
        name: String,
        /// Its bytes.
        size_bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It begins like another kind of file.
    #[error("{name} is {kind}, {}{}", expected!(), hint)]
    OtherKind {
        /// The file.
        name: String,
        /// "a ZIP archive", with its article.
        kind: &'static str,
        /// What can be done, with its separator, or nothing.
        hint: &'static str,
    },
    /// It is a program without a cabinet.
    #[error("{name} is a program that holds no cabinet, {}", expected!())]
    NoCabinetInProgram {
        /// The file.
        name: String,
    },
    /// It is a cabinet, and refused.
    #[error("{name}: {reason}")]
    Cabinet {
        /// The file, or the path of the cabinet in the package.
        name: String,
        /// Why.
        reason: CabinetError,
    },
    /// There is a cabinet in a cabinet in a cabinet.
    #[error("{name}: cabinets lie inside one another {depth} deep, expected {limit} at most")]
    TooDeep {
        /// The innermost cabinet that was found.
        name: String,
        /// How deep that is.
        depth: usize,
        /// [`Limits::nesting`](crate::cabinet::Limits::nesting).
        limit: usize,
    },
    /// Several cabinets are in the cabinet, and none is named as expected.
    #[error("{name} holds the cabinets {inner}, expected one, or one named UCUpdates.cab; import them one by one")]
    SeveralCabinets {
        /// The file.
        name: String,
        /// Their paths, joined.
        inner: String,
    },
    /// Nothing says what the files are for.
    #[error(
        "{name} holds no device update: expected updateInfo.xml, or files below \
         <DeviceType>\\<Brand>\\<Model>\\<Revision>\\<Locale>\\<Version>\\<UpdateType> or OCInterim\\<Locale>"
    )]
    NoUpdate {
        /// The file.
        name: String,
    },
    /// The files of all updates, those counted again that several updates have, are more than
    /// [`Limits::unpacked_bytes`](crate::cabinet::Limits::unpacked_bytes).
    #[error(
        "the updates of {name} need {size_bytes} bytes in every pool, because each keeps a copy of its own of the files \
         that it shares with others, expected {limit} at most; the limit is most_unpacked_bytes in [packages] of the \
         node's configuration"
    )]
    TooMuchToStore {
        /// The file, or the path of the cabinet in the package.
        name: String,
        /// The bytes of all files of all updates.
        size_bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The description is too large.
    #[error("updateInfo.xml has {size_bytes} bytes, expected {limit} at most")]
    DescriptionTooLarge {
        /// Its bytes.
        size_bytes: u64,
        /// [`Limits::description_bytes`](crate::cabinet::Limits::description_bytes).
        limit: u64,
    },
    /// The description, or what it and the paths say together, is refused.
    #[error("{0}")]
    Manifest(ManifestError),
    /// There is nothing in the image, which phones would install.
    #[error("{update}: its image {file} is empty, expected firmware; fetch the package again")]
    EmptyImage {
        /// The update.
        update: String,
        /// The image.
        file: String,
    },
    /// The files do not make an update.
    #[error("{0}")]
    Update(UpdateError),
}

impl PackageError {
    /// For `map_err`: a failure of the system while doing `what`.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |reason| Self::Io { what, reason }
    }

    /// Whether a full disk is the reason.
    pub fn no_space(&self) -> bool {
        match self {
            Self::Io { reason, .. } | Self::Cabinet { reason: CabinetError::Write(reason), .. } => {
                crate::disk::is_full(reason)
            }
            _ => false,
        }
    }

    /// Whether the machine failed, and not the package.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Io { .. }
                | Self::NoRoom(_)
                | Self::Cabinet { reason: CabinetError::Read(_) | CabinetError::Write(_), .. }
        )
    }
}

/// What a file is called in a refusal: its name without its folder.
pub(super) fn shown(path: &std::path::Path) -> String {
    let name = path.file_name().map_or(path.as_os_str(), |name| name);
    PathBuf::from(name).display().to_string()
}
