//! The folder that keeps the last snapshots of a node. A file is written beside, synced, and renamed into place, so that a
//! kill at any instruction leaves the older ones whole. Password hashes of phones' accounts are in it: nobody else may read
//! it. Blocking; to be called off the runtime's threads.

use super::file::{self, SIZE_LIMIT_BYTES, SnapshotFileError, StoredSnapshot};
use jiff::Timestamp;
use schema::rule_set::RuleSet;
use schema::topology::{Pool, PoolFqdn, ServiceId, SiteName};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Snapshots that are kept.
const KEPT: usize = 3;

/// What the name of a file that is being written begins with.
const UNFINISHED: &str = ".new-";

/// The folder.
#[derive(Debug)]
pub struct SnapshotFolder {
    path: PathBuf,
}

/// A snapshot that can be used.
#[derive(Debug)]
pub struct KeptSnapshot {
    /// Its file.
    pub path: PathBuf,
    /// When the Central Management store last confirmed it, as far as the disk knows.
    pub confirmed_at: Timestamp,
    /// When it was loaded.
    pub taken_at: Timestamp,
    /// The rules.
    pub rules: RuleSet,
}

/// A file that cannot be used.
#[derive(Debug)]
pub struct RefusedFile {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: RefusedReason,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RefusedReason {
    /// The file system does not give it.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is no sound snapshot.
    #[error(transparent)]
    Unsound(#[from] SnapshotFileError),
    /// It is of another pool, or of this one when it stood elsewhere.
    #[error("it is of pool {fqdn} at site {site} with service id {service_id}, and this node's is another")]
    OtherPool {
        /// The pool that it is of.
        fqdn: PoolFqdn,
        /// Its site.
        site: SiteName,
        /// Its folder in the store.
        service_id: ServiceId,
    },
}

/// What the folder holds.
#[derive(Debug)]
pub struct Search {
    /// The newest snapshot that can be used.
    pub found: Option<KeptSnapshot>,
    /// The newer files that cannot.
    pub refused: Vec<RefusedFile>,
}

impl SnapshotFolder {
    /// Makes the folder if it is not there, and sweeps what a kill left behind.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(path)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Looks for the newest snapshot of this pool that can be used.
    pub fn newest(&self, pool: &Pool, now: Timestamp) -> io::Result<Search> {
        let mut search = Search { found: None, refused: Vec::new() };
        for (_, path) in self.files()?.into_iter().rev() {
            match read(&path, pool, now) {
                Ok(kept) => {
                    search.found = Some(kept);
                    break;
                }
                Err(reason) => search.refused.push(RefusedFile { path, reason }),
            }
        }
        Ok(search)
    }

    /// Keeps a snapshot, and of the older ones the newest.
    pub fn keep(&self, taken_at: Timestamp, rules: &RuleSet) -> io::Result<PathBuf> {
        let bytes = file::render(taken_at, rules).map_err(io::Error::other)?;
        let last = self.files()?.last().map_or(0, |(number, _)| *number);
        let path = self.path.join(format!("rules-{:010}.snapshot", last.saturating_add(1)));
        // Made for its owner alone; deleted again when anything below fails.
        let mut new = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.path)?;
        new.write_all(&bytes)?;
        new.as_file().sync_all()?;
        new.persist(&path).map_err(|error| error.error)?;
        // It stands there: whatever fails from here on, another copy would not mend it.
        if let Err(error) = File::open(&self.path).and_then(|folder| folder.sync_all()) {
            tracing::warn!(%error, folder = %self.path.display(), "a power cut may undo the newest snapshot's name");
        }
        for (_, old) in self.files().unwrap_or_default().iter().rev().skip(KEPT) {
            if let Err(error) = fs::remove_file(old) {
                tracing::warn!(%error, file = %old.display(), "an old snapshot could not be deleted");
            }
        }
        Ok(path)
    }

    /// The snapshot files with their numbers, oldest first.
    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("rules-").and_then(|name| name.strip_suffix(".snapshot"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                files.push((number, path));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Says that the store has confirmed the snapshot in this file just now: the file's time of change.
pub fn confirm(path: &Path, at: Timestamp) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.set_modified(SystemTime::from(at))
}

fn read(path: &Path, pool: &Pool, now: Timestamp) -> Result<KeptSnapshot, RefusedReason> {
    // Opening what is no file could wait for ever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file").into());
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.len() > SIZE_LIMIT_BYTES {
        return Err(SnapshotFileError::TooLong.into());
    }
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    let StoredSnapshot { taken_at, rules } = file::parse(&bytes)?;
    let of = rules.pool();
    if of.fqdn != pool.fqdn || of.service_id != pool.service_id || of.site != pool.site {
        let (fqdn, site, service_id) = (of.fqdn.clone(), of.site.clone(), of.service_id.clone());
        return Err(RefusedReason::OtherPool { fqdn, site, service_id });
    }
    // A time that somebody's copying changed, or a clock that was wrong, makes it older at most than it says itself.
    let modified = found.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(taken_at);
    Ok(KeptSnapshot { path: path.to_owned(), confirmed_at: modified.max(taken_at).min(now), taken_at, rules })
}

#[cfg(test)]
mod tests;
