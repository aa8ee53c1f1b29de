//! What a file is by its first bytes: a cabinet, a program that may hold one, or something else with a name, so that
//! an administrator who picked the wrong file reads what it is.

use super::error::{PackageError, shown};
use crate::cabinet::{self, CabinetError, Limits};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A file with a cabinet in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// Where in the file the cabinet begins.
    pub(super) start: u64,
}

const UNPACK_IT: &str = "; unpack it and import the .cab inside";
const PACK_IT: &str = "; pack an image with 'ucupdates package build'";

/// Other kinds of files by their first bytes: what each is, and what can be done.
const KINDS: [(&[u8], &str, &str); 13] = [
    (b"PK\x03\x04", "a ZIP archive", UNPACK_IT),
    (b"PK\x05\x06", "an empty ZIP archive", ""),
    (b"\x1f\x8b", "a gzip file", UNPACK_IT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an MSI installer or another OLE file", UNPACK_IT),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK_IT),
    (b"Rar!", "a RAR archive", UNPACK_IT),
    (b"\xfd7zXZ\0", "an xz file", UNPACK_IT),
    (b"BZh", "a bzip2 file", UNPACK_IT),
    (b"ISc(", "an InstallShield cabinet", UNPACK_IT),
    (b"<?xml", "an XML file", PACK_IT),
    (b"\xef\xbb\xbf<?xml", "an XML file", PACK_IT),
    (b"<!DOCTYPE", "a web page", "; fetch it again"),
    (b"<html", "a web page", "; fetch it again"),
];

/// Opens a package that an administrator named.
pub(super) fn open(path: &Path, limits: &Limits) -> Result<Opened, PackageError> {
    let name = shown(path);
    let reading = || PackageError::io(format!("reading {}", path.display()));
    // Looked at before it is opened: opening a named pipe would wait for somebody to write into it.
    let kind = std::fs::metadata(path).map_err(reading())?.file_type();
    if kind.is_dir() {
        return Err(PackageError::NoFile { name, kind: "a folder" });
    }
    if !kind.is_file() {
        return Err(PackageError::NoFile { name, kind: "no plain file" });
    }
    open_as(path, name, limits)
}

/// Opens a file that calls itself `name` in refusals.
pub(super) fn open_as(path: &Path, name: String, limits: &Limits) -> Result<Opened, PackageError> {
    let reading = || PackageError::io(format!("reading {}", path.display()));
    let mut file = File::open(path).map_err(reading())?;
    let size_bytes = file.seek(SeekFrom::End(0)).map_err(reading())?;
    if size_bytes == 0 {
        return Err(PackageError::Empty { name });
    }
    if size_bytes > limits.package_bytes {
        return Err(PackageError::TooLarge { name, size_bytes, limit: limits.package_bytes });
    }
    file.seek(SeekFrom::Start(0)).map_err(reading())?;
    let mut first = Vec::new();
    file.by_ref().take(16).read_to_end(&mut first).map_err(reading())?;
    if first.starts_with(b"MZ") {
        return match cabinet::find_in_program(&mut file, limits) {
            Ok(Some(start)) => Ok(Opened { file, start }),
            Ok(None) => Err(PackageError::NoCabinetInProgram { name }),
            Err(reason) => Err(PackageError::Cabinet { name, reason }),
        };
    }
    if first.starts_with(b"MSCF") {
        return Ok(Opened { file, start: 0 });
    }
    match KINDS.iter().find(|(signature, ..)| first.starts_with(signature)) {
        Some((_, kind, hint)) => Err(PackageError::OtherKind { name, kind, hint }),
        None => Err(PackageError::OtherKind { name, kind: "not a cabinet", hint: PACK_IT }),
    }
}

/// For `map_err`: a refusal of the cabinet of this name.
pub(super) fn refused(name: &str) -> impl FnOnce(CabinetError) -> PackageError {
    let name = name.to_owned();
    move |reason| PackageError::Cabinet { name, reason }
}
