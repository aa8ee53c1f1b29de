//! What stands in the folder of a replica, by its names. Blocking.

use super::Held;
use schema::package::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a file may be here before the rules name it: an import's files come before its rules.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// What is adopted takes a moment; what is older was interrupted.
const ADOPTED_WITHIN: Duration = Duration::from_secs(600);

/// How the name of a file ends that is being fetched.
pub(super) const PART: &str = ".part";

/// All files that are held. What has another name is none of ours.
pub(super) fn held(folder: &Path) -> io::Result<BTreeMap<Digest, Held>> {
    let now = SystemTime::now();
    let mut held = BTreeMap::new();
    for below in entries(folder)? {
        let name = below.file_name();
        if name.len() != 2 || !below.file_type()?.is_dir() {
            continue;
        }
        for file in entries(&below.path())? {
            let Some(digest) = file.file_name().to_str().and_then(|name| Digest::parse(name).ok()) else { continue };
            // Of the entry itself: a link is no file.
            match file.metadata() {
                Ok(found) if found.is_file() => {
                    let settled = age(&found, now).is_some_and(|age| age > SETTLED_AFTER);
                    held.insert(digest, Held { size_bytes: found.len(), settled });
                }
                // Deleted in this moment.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(held)
}

/// Deletes what will not be gone on with, and says how many bytes stay.
pub(super) fn sweep(incoming: &Path, keep: &BTreeSet<Digest>) -> io::Result<u64> {
    let now = SystemTime::now();
    let mut kept_bytes = 0;
    for file in entries(incoming)? {
        let name = file.file_name();
        let part = name.to_str().and_then(|name| name.strip_suffix(PART)).and_then(|name| Digest::parse(name).ok());
        let Ok(found) = file.metadata() else { continue };
        let stays = match part {
            Some(digest) => keep.contains(&digest),
            None => age(&found, now).is_none_or(|age| age <= ADOPTED_WITHIN),
        };
        match stays {
            true => kept_bytes += found.len(),
            false => std::fs::remove_file(file.path())?,
        }
    }
    Ok(kept_bytes)
}

/// Deletes everything but parts, which can be gone on with.
pub(super) fn sweep_adoptions(incoming: &Path) -> io::Result<()> {
    for file in entries(incoming)? {
        if !file.file_name().to_string_lossy().ends_with(PART) {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// None for a file from the future: its clock says nothing.
fn age(file: &Metadata, now: SystemTime) -> Option<Duration> {
    file.modified().ok().and_then(|modified| now.duration_since(modified).ok())
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Puts the names in a folder on disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
