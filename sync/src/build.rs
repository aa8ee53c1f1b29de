//! Makes a package from image files, so that administrators can package a vendor's firmware themselves: a cabinet with
//! the files at the paths of PROTOCOL.md 7 and an `updateInfo.xml` that says the same. Writes with the `cab` crate, which
//! must not read what others wrote; what is written here is read back by `package`.

use crate::manifest::DESCRIPTION_NAME;
use cab::{CabinetBuilder, CompressionType};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use quick_xml::escape::escape;
use schema::device::{DeviceKey, Name};
use schema::package::UpdateTarget;
use schema::version::FirmwareVersion;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use time::{Date, Month, PrimitiveDateTime, Time};

/// What a package is to hold.
#[derive(Debug, Clone)]
pub struct PackageSpec {
    /// Its updates, in the order of the description.
    pub updates: Vec<UpdateSpec>,
}

/// An update that a package is to hold.
#[derive(Debug, Clone)]
pub struct UpdateSpec {
    /// What it is for.
    pub target: UpdateTarget,
    /// Its version.
    pub version: FirmwareVersion,
    /// The software image.
    pub image: FileSpec,
    /// The security catalog of the image.
    pub signature: Option<FileSpec>,
}

/// A file on this machine that goes into a package.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// Where it is.
    pub source: PathBuf,
    /// What it is called in the package.
    pub name: Name,
    /// Its time stamp in the package: even seconds from 1980 to 2107, others are brought to the nearest.
    pub time_stamp: DateTime,
}

/// Why a package cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing is to go in.
    #[error("a package of no update, expected one image at least")]
    Empty,
    /// A file cannot be read.
    #[error("reading {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file's name cannot stand in a package.
    #[error("{path}: {reason}")]
    FileName {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name, and what is expected.
        reason: schema::ParseError,
    },
    /// An update is there twice.
    #[error("{0} is there twice, expected each device model and image once")]
    Twice(String),
    /// Two files would have one path.
    #[error("two files would be {0} in the package, expected one; rename one of them")]
    SamePath(String),
    /// A path does not fit into a cabinet.
    #[error("the path {0} has more than {PATH_LIMIT_BYTES} bytes, expected shorter names")]
    PathTooLong(String),
    /// The cabinet cannot be written.
    #[error("writing the package: {0}")]
    Write(io::Error),
}

/// Bytes of a path in a cabinet.
const PATH_LIMIT_BYTES: usize = 255;

impl FileSpec {
    /// The file at `source`, under its own name; its time stamp is when it was changed last (in UTC), unless given.
    pub fn of(source: &Path, time_stamp: Option<DateTime>) -> Result<Self, BuildError> {
        let read = |reason| BuildError::Read { path: source.to_owned(), reason };
        let metadata = std::fs::metadata(source).map_err(read)?;
        if !metadata.is_file() {
            return Err(read(io::Error::other("it is no plain file")));
        }
        if metadata.len() == 0 {
            return Err(read(io::Error::other("it is empty")));
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let name = Name::parse(&name).map_err(|reason| BuildError::FileName { path: source.to_owned(), reason })?;
        let changed = metadata.modified().ok().and_then(|changed| Timestamp::try_from(changed).ok());
        let changed = changed.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC).datetime();
        Ok(Self { source: source.to_owned(), name, time_stamp: time_stamp.unwrap_or(changed) })
    }
}

/// Writes the package: a folder of MSZIP for each update.
pub fn build_package(spec: &PackageSpec, out: impl Write + Seek) -> Result<(), BuildError> {
    check(spec)?;
    let mut builder = CabinetBuilder::new();
    let newest = spec.updates.iter().flat_map(files).map(|file| file.time_stamp).max().unwrap_or_default();
    let folder = builder.add_folder(CompressionType::MsZip);
    folder.add_file(DESCRIPTION_NAME).set_datetime(dos_time(newest));
    for update in &spec.updates {
        let folder = builder.add_folder(CompressionType::MsZip);
        for file in files(update) {
            folder.add_file(cabinet_path(update, file)).set_datetime(dos_time(file.time_stamp));
        }
    }
    let mut writer = builder.build(out).map_err(BuildError::Write)?;
    // The cabinet asks for the files in the order in which they were added.
    let mut files = spec.updates.iter().flat_map(files);
    let mut description = Some(describe(spec));
    while let Some(mut entry) = writer.next_file().map_err(BuildError::Write)? {
        match description.take() {
            Some(text) => entry.write_all(text.as_bytes()).map_err(BuildError::Write)?,
            None => {
                let Some(file) = files.next() else { break };
                let read = |reason| BuildError::Read { path: file.source.clone(), reason };
                let mut source = File::open(&file.source).map_err(read)?;
                io::copy(&mut source, &mut entry).map_err(BuildError::Write)?;
            }
        }
    }
    writer.finish().map_err(BuildError::Write)?.flush().map_err(BuildError::Write)
}

fn files(update: &UpdateSpec) -> impl Iterator<Item = &FileSpec> {
    std::iter::once(&update.image).chain(&update.signature)
}

/// The folder of the update's files: as in the store, except that the separators are a cabinet's.
fn cabinet_folder(update: &UpdateSpec) -> String {
    update.target.store_path(update.version, &update.image.name).folder().replace('/', "\\")
}

fn cabinet_path(update: &UpdateSpec, file: &FileSpec) -> String {
    format!("{}\\{}", cabinet_folder(update), file.name)
}

fn check(spec: &PackageSpec) -> Result<(), BuildError> {
    if spec.updates.is_empty() {
        return Err(BuildError::Empty);
    }
    let (mut updates, mut paths) = (HashSet::new(), HashSet::new());
    for update in &spec.updates {
        if !updates.insert((&update.target, update.version)) {
            return Err(BuildError::Twice(format!("{} {}", update.target, update.version)));
        }
        for path in files(update).map(|file| cabinet_path(update, file)) {
            if path.len() > PATH_LIMIT_BYTES {
                return Err(BuildError::PathTooLong(path));
            }
            if !paths.insert(path.to_ascii_lowercase()) {
                return Err(BuildError::SamePath(path));
            }
        }
    }
    Ok(())
}

/// The text of `updateInfo.xml` (PROTOCOL.md 7).
fn describe(spec: &PackageSpec) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Updates><Updates>\r\n");
    for update in &spec.updates {
        let version = update.version.to_string();
        let fields: Vec<(&str, &str)> = match &update.target {
            UpdateTarget::Device(DeviceKey { device_type, brand, model, revision, locale, update_type }) => vec![
                ("version", &version),
                ("deviceType", device_type.as_str()),
                ("brand", brand.as_str()),
                ("model", model.as_str()),
                ("revision", revision.as_str()),
                ("locale", locale.as_str()),
                ("updateType", update_type.as_str()),
            ],
            UpdateTarget::Interim { device_type, locale, update_type } => vec![
                ("interim", "true"),
                ("version", &version),
                ("deviceType", device_type.as_str()),
                ("locale", locale.as_str()),
                ("updateType", update_type.as_str()),
            ],
        };
        let folder = cabinet_folder(update);
        let mut file = vec![("name", update.image.name.as_str())];
        file.extend(update.signature.as_ref().map(|signature| ("signature", signature.name.as_str())));
        file.push(("path", &folder));
        let line = format!("<Update{}>\r\n<File{}/>\r\n</Update>\r\n", attributes(&fields), attributes(&file));
        text.push_str(&line);
    }
    text.push_str("</Updates></Updates>\r\n");
    text
}

fn attributes(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(*value))).collect()
}

/// The `cab` crate's own type of the same moment; it brings it into the range of a cabinet.
fn dos_time(moment: DateTime) -> PrimitiveDateTime {
    let convert = || {
        let month = Month::try_from(u8::try_from(moment.month()).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::from(moment.year()), month, u8::try_from(moment.day()).ok()?).ok()?;
        let (hour, minute) = (u8::try_from(moment.hour()).ok()?, u8::try_from(moment.minute()).ok()?);
        let time = Time::from_hms(hour, minute, u8::try_from(moment.second()).ok()?).ok()?;
        Some(PrimitiveDateTime::new(date, time))
    };
    convert().unwrap_or(PrimitiveDateTime::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cabinet::Limits;
    use crate::package::{Container, unpack};
    use jiff::civil::date;
    use schema::package::FileRole;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn device(model: &str) -> UpdateTarget {
        UpdateTarget::Device(DeviceKey {
            device_type: name("UCPhone"),
            brand: name("R&D \u{27}quoted\u{27}"),
            model: name(model),
            revision: name("A"),
            locale: name("ENU"),
            update_type: name("CPE"),
        })
    }

    fn file(folder: &Path, name: &str, bytes: &[u8]) -> FileSpec {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        FileSpec::of(&path, Some(date(2008, 12, 16).at(4, 43, 58, 0))).unwrap()
    }

    #[test]
    fn what_is_built_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..200_000_u32).map(|n| (n / 7 % 251).to_le_bytes()[0]).collect();
        let image = file(folder.path(), "CPE.nbt", &image);
        let mut signature = file(folder.path(), "CPE.cat", b"signature");
        signature.time_stamp = date(2007, 1, 2).at(3, 4, 6, 0);
        let signature = Some(signature);
        let interim =
            UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
        let update = |target, version| UpdateSpec {
            target,
            version: FirmwareVersion::parse(version).unwrap(),
            image: image.clone(),
            signature: signature.clone(),
        };
        let updates =
            vec![update(device("A"), "4.0.1.2"), update(device("B"), "4.0.1.2"), update(interim, "1.0.522.103")];
        let package = folder.path().join("package.cab");
        build_package(&PackageSpec { updates: updates.clone() }, File::create(&package).unwrap()).unwrap();

        let staging = tempfile::tempdir().unwrap();
        let read = unpack(&package, staging.path(), &Limits::default()).unwrap();
        assert_eq!((read.container, read.description_found, read.ignored.len()), (Container::Cabinet, true, 0));
        assert_eq!(read.updates.len(), updates.len());
        for (read, spec) in read.updates.iter().zip(&updates) {
            assert_eq!((read.update.target(), read.update.version()), (&spec.target, spec.version));
            let roles: Vec<FileRole> = read.update.files().iter().map(|file| file.role).collect();
            assert_eq!(roles, [FileRole::Image, FileRole::Signature]);
            let times: Vec<DateTime> = read.update.files().iter().map(|file| file.time_stamp).collect();
            assert_eq!(times, files(spec).map(|file| file.time_stamp).collect::<Vec<_>>());
            assert_eq!(std::fs::read(&read.sources[0]).unwrap(), std::fs::read(&image.source).unwrap());
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let update = |model: &str| UpdateSpec {
            target: device(model),
            version: FirmwareVersion::new(1, 0, 0, 0),
            image: file(folder.path(), "CPE.nbt", b"image"),
            signature: None,
        };
        let build = |updates| build_package(&PackageSpec { updates }, io::Cursor::new(Vec::new()));
        assert!(matches!(build(vec![]), Err(BuildError::Empty)));
        assert!(matches!(build(vec![update("A"), update("a")]), Err(BuildError::Twice(_))));
        let same = UpdateSpec { signature: Some(update("A").image), ..update("A") };
        assert!(matches!(build(vec![same]), Err(BuildError::SamePath(_))));
        assert!(build(vec![update(&"m".repeat(64))]).is_ok());
        let mut long = update("A");
        if let UpdateTarget::Device(key) = &mut long.target {
            (key.brand, key.model, key.revision) =
                (name(&"b".repeat(64)), name(&"m".repeat(64)), name(&"r".repeat(64)));
            key.locale = name(&"l".repeat(64));
        }
        assert!(matches!(build(vec![long]), Err(BuildError::PathTooLong(_))));
        assert!(matches!(FileSpec::of(folder.path(), None), Err(BuildError::Read { .. })));
        let empty = folder.path().join("empty");
        File::create(&empty).unwrap();
        assert!(matches!(FileSpec::of(&empty, None), Err(BuildError::Read { .. })));
    }
}
