//! Space on a disk: how much is free, and the sentence that says which folder is full, how much is needed and how much
//! is left. Blocking, and a hung share blocks it for ever: call it off the runtime's threads.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What a folder is to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What the node keeps for itself.
    DataFolder,
    /// The shared file store.
    Store,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DataFolder => "the data folder",
            Self::Store => "the store",
        })
    }
}

/// A folder has no space left for what was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// The folder.
    pub folder: PathBuf,
    /// What it is.
    pub place: Place,
    /// Bytes that the write needs, at least.
    pub needed_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

impl Full {
    /// What a write of `needed_bytes` into the folder is told that met a full disk.
    pub fn now(place: Place, folder: &Path, needed_bytes: u64) -> Self {
        // Whoever cannot say what is free just had a write refused: nothing is.
        let free_bytes = free_bytes(folder).unwrap_or(0);
        Self { folder: folder.to_owned(), place, needed_bytes, free_bytes }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, place) = (self.folder.display(), self.place);
        let (needed, free) = (rounded_up(self.needed_bytes), rounded_down(self.free_bytes));
        write!(f, "no space left in {folder} ({place}): {needed} are needed, {free} are free")?;
        if self.free_bytes >= self.needed_bytes {
            f.write_str("; a quota or the number of files may be used up")?;
        }
        Ok(())
    }
}

impl Error for Full {}

const KILOBYTE: u64 = 1000;
const MEGABYTE: u64 = 1_000_000;
/// From here on kilobytes are noise.
const FEW_MEGABYTES: u64 = 10 * MEGABYTE;

fn rounded_up(bytes: u64) -> String {
    match bytes {
        0..FEW_MEGABYTES => format!("{} KB", bytes.div_ceil(KILOBYTE)),
        _ => format!("{} MB", bytes.div_ceil(MEGABYTE)),
    }
}

fn rounded_down(bytes: u64) -> String {
    match bytes {
        0..FEW_MEGABYTES => format!("{} KB", bytes / KILOBYTE),
        _ => format!("{} MB", bytes / MEGABYTE),
    }
}

/// Bytes that this process may still write to the folder's file system.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Whether the folder takes so many bytes and keeps `reserve_bytes` free. Advice only: the next moment may differ, so that
/// every write is looked at too. A folder that cannot say is believed to have room.
pub fn room(place: Place, folder: &Path, needed_bytes: u64, reserve_bytes: u64) -> Result<(), Full> {
    let needed_bytes = needed_bytes.saturating_add(reserve_bytes);
    match free_bytes(folder) {
        Ok(free_bytes) if free_bytes < needed_bytes => {
            Err(Full { folder: folder.to_owned(), place, needed_bytes, free_bytes })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether a full disk, or a quota, is behind the error.
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                return true;
            }
            // The source of an error in an io::Error's custom box is that error's source: the error itself is passed over.
            if io.get_ref().is_some_and(|inner| is_full(inner)) {
                return true;
            }
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_the_folder_and_both_figures() {
        let full = |needed_bytes, free_bytes| {
            Full { folder: "/srv/ucupdates".into(), place: Place::Store, needed_bytes, free_bytes }.to_string()
        };
        let expected = "no space left in /srv/ucupdates (the store): 300 MB are needed, 12 MB are free";
        assert_eq!(full(299_000_001, 12_900_000), expected);
        assert!(full(1, 0).ends_with(": 1 KB are needed, 0 KB are free"));
        assert!(full(1, 5000).ends_with("5 KB are free; a quota or the number of files may be used up"));
    }

    #[test]
    fn a_full_disk_is_seen_behind_other_errors() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_full(&full()));
        assert!(is_full(&io::Error::other(full())));
        assert!(is_full(&io::Error::other(io::Error::other(full()))));
        assert!(is_full(&io::Error::from_raw_os_error(nix::libc::EDQUOT)));
        assert!(!is_full(&io::Error::other("no")));
    }

    #[test]
    fn room_is_what_is_free_less_the_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        assert!(free > 0);
        room(Place::Store, folder.path(), 1, 0).unwrap();
        let refused = room(Place::Store, folder.path(), 1, u64::MAX - 1).unwrap_err();
        assert_eq!((refused.place, refused.needed_bytes), (Place::Store, u64::MAX));
        room(Place::Store, Path::new("/nowhere"), u64::MAX, 0).unwrap();
    }
}
