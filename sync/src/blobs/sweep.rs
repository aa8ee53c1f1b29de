//! Deletes staged files that a crash left behind. Looks at the folder itself: files that object_store is still writing
//! have names (`name#1`) that it neither lists nor deletes. Blocking.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Staged files that are older than this, of whichever node, belong to no import that still runs.
const STAGING_AGE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Sweeps the staging folder, which may not be there: of this node's files (in the folder of its name) all that
/// are not of `run`, the process that sweeps; of that and of other nodes only the old ones, because they may be importing.
pub(super) fn sweep(staging: &Path, node: &str, run: &str, now: SystemTime) -> io::Result<usize> {
    let mut swept = 0;
    for folder in entries(staging)? {
        let own = folder.file_name() == node;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in entries(&folder.path())? {
            let litter = match own {
                true => !file.file_name().to_string_lossy().starts_with(run) || old(&file, now),
                false => old(&file, now),
            };
            if litter && remove(&file.path())? {
                swept += 1;
            }
        }
    }
    Ok(swept)
}

fn entries(folder: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A file that is gone meanwhile, or whose clock is ahead, is not old.
fn old(file: &std::fs::DirEntry, now: SystemTime) -> bool {
    let modified = file.metadata().and_then(|found| found.modified());
    modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > STAGING_AGE_LIMIT))
}

fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
