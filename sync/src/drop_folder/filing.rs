//! Puts a claimed file where it ends, with its report beside it. Nothing there is ever overwritten: a name that is taken
//! gets a number. The report comes first and whole, and so reserves the name; a crash in between leaves the claim, and the
//! report of a package with these very bytes is used again.

use super::{Claim, DropFolder, make_folder, sync_folder};
use schema::package::Digest;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What stands behind a package's name in that of its report.
const REPORT: &str = ".report.txt";

/// The report while it is written, in the folder of the claims.
const PARTIAL: &str = ".report.partial";

/// Bytes of a filed name at most, so that the report's fits every file system with it.
const NAME_LIMIT_BYTES: usize = 200;

/// Files of one name that are kept apart by numbers.
const MOST_NUMBERS: usize = 100_000;

/// Bytes of a report that are looked at.
const REPORT_LIMIT_BYTES: u64 = 1 << 20;

/// What became of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The pools have it, now or before.
    Imported,
    /// It was refused.
    Refused,
}

impl Verdict {
    /// The folder's name, and the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Refused => "refused",
        }
    }
}

impl DropFolder {
    /// Files a claim away; where to, or none when another node has taken it over meanwhile. `digest` is what `report` says
    /// of the package's bytes, if they were read.
    pub fn file(
        &self,
        claim: &Claim,
        verdict: Verdict,
        digest: Option<Digest>,
        report: &str,
    ) -> io::Result<Option<PathBuf>> {
        let folder = self.folder.join(verdict.as_str());
        make_folder(&folder)?;
        if claim.path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let partial = claim.path.with_file_name(PARTIAL);
        write(&partial, report)?;
        let mut filed = None;
        for number in 1..=MOST_NUMBERS {
            let path = folder.join(numbered(&claim.shown(), number));
            if path.symlink_metadata().is_err() && reserve(&path, &partial, report, digest)? {
                filed = Some(path);
                break;
            }
        }
        let _ = std::fs::remove_file(&partial);
        let taken = || io::Error::new(io::ErrorKind::AlreadyExists, format!("{MOST_NUMBERS} files have that name"));
        let path = filed.ok_or_else(taken)?;
        match std::fs::rename(&claim.path, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = std::fs::remove_file(report_path(&path));
                return Ok(None);
            }
            renamed => renamed?,
        }
        sync_folder(&folder)?;
        claim.path.parent().map_or(Ok(()), sync_folder)?;
        Ok(Some(path))
    }
}

fn report_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(REPORT);
    PathBuf::from(name)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Puts the report beside where the package will stand; whether the name is ours.
fn reserve(path: &Path, partial: &Path, text: &str, digest: Option<Digest>) -> io::Result<bool> {
    let report = report_path(path);
    let linked = match std::fs::hard_link(partial, &report) {
        // Some shares know no links: there a crash may leave half a report.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let made = OpenOptions::new().write(true).create_new(true).open(&report);
            made.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        }
        linked => linked,
    };
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(digest.is_some_and(|digest| {
            // Ours, from before a crash, or another node's that files the same bytes.
            first_bytes(&report).is_ok_and(|text| text.contains(&digest.to_string()))
        })),
        linked => linked.map(|()| true),
    }
}

fn first_bytes(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, REPORT_LIMIT_BYTES), &mut text)?;
    Ok(text)
}

/// `UCUpdates.cab`, then `UCUpdates-2.cab`.
fn numbered(name: &str, number: usize) -> String {
    match name.rsplit_once('.') {
        _ if number == 1 => name.to_owned(),
        Some((stem, extension)) => format!("{stem}-{number}.{extension}"),
        None => format!("{name}-{number}"),
    }
}

/// A name without what terminals and other systems stumble over, and not too long; it keeps its ending.
pub(super) fn printable(name: &OsStr) -> String {
    let shown = name.to_string_lossy();
    let clean = |c: char| if c.is_control() || "\\/:*?\"<>|".contains(c) { '_' } else { c };
    let shown: String = shown.chars().map(clean).collect();
    if shown.len() <= NAME_LIMIT_BYTES {
        return shown;
    }
    let (stem, extension) = shown.rsplit_once('.').unwrap_or((&shown, ""));
    let room = NAME_LIMIT_BYTES - 1 - extension.len().min(NAME_LIMIT_BYTES - 1);
    let end = (0..=room.min(stem.len())).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or(0);
    format!("{}.{extension}", &stem[..end])
}
