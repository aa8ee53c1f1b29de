//! Keeps requests that could not be read, byte for byte, so that a phone of an unknown kind can be supported by editing
//! the dialect (PROTOCOL.md 3). Bounded in count and size, the oldest go first: whoever switches capture on and then
//! restarts a phone shall find what it sent. Nothing that could be read comes here.

use bytes::Bytes;
use jiff::Timestamp;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long an answer waits for its capture at most; a slow disk goes on alone.
const WAIT: Duration = Duration::from_secs(1);

const PREFIX: &str = "capture-";
const SUFFIX: &str = ".bin";
const TEMPORARY: &str = ".writing-";

/// A bounded folder of unreadable request bodies.
#[derive(Debug)]
pub struct Capture {
    folder: Arc<Folder>,
    /// One write at a time: what comes meanwhile is not kept.
    writing: Arc<Semaphore>,
    count: AtomicU64,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    most_files: usize,
    most_bytes: u64,
}

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    Yes,
    /// Another one is being written, or this one alone is over the limits.
    Skipped,
    /// The disk refused it, or was too slow to tell.
    Failed,
}

impl Capture {
    /// Captures into `folder`, which is made if it is not there: `most_files` files, `most_bytes` bytes altogether.
    pub fn open(folder: &Path, most_files: usize, most_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                std::fs::remove_file(entry.path())?;
            }
        }
        let folder = Arc::new(Folder { path: folder.to_owned(), most_files, most_bytes });
        Ok(Self { folder, writing: Arc::new(Semaphore::new(1)), count: AtomicU64::new(0) })
    }

    /// Keeps a body, off the runtime's threads and for a short while only.
    pub async fn keep(&self, body: Bytes, now: Timestamp) -> Kept {
        let Ok(permit) = Arc::clone(&self.writing).try_acquire_owned() else { return Kept::Skipped };
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count:06}{SUFFIX}", now.strftime("%Y%m%dT%H%M%S%.3fZ"));
        let folder = Arc::clone(&self.folder);
        let write = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            folder.write(&name, &body)
        });
        match tokio::time::timeout(WAIT, write).await {
            Ok(Ok(Ok(kept))) => kept,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, folder = %self.folder.path.display(), "an unreadable request could not be kept");
                Kept::Failed
            }
            Ok(Err(_)) | Err(_) => Kept::Failed,
        }
    }
}

impl Folder {
    fn write(&self, name: &str, body: &[u8]) -> io::Result<Kept> {
        let size = body.len() as u64;
        if self.most_files == 0 || size > self.most_bytes {
            return Ok(Kept::Skipped);
        }
        self.make_room(size)?;
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.path)?;
        file.write_all(body)?;
        file.as_file().sync_data()?;
        file.persist_noclobber(self.path.join(name))?;
        Ok(Kept::Yes)
    }

    /// Removes the oldest until one more of this size fits.
    fn make_room(&self, size: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                files.push((name, entry.path(), entry.metadata()?.len()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, size)| size).sum();
        let mut count = files.len();
        for (_, path, old) in files {
            if count < self.most_files && total + size <= self.most_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            count -= 1;
            total -= old;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_236_359_439 + second).unwrap()
    }

    #[tokio::test]
    async fn bodies_are_kept_byte_for_byte_in_the_order_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::open(folder.path(), 10, 1000).unwrap();
        let body = b"\xff\xfe\0<a>\r\n\0";
        for (body, second) in [(&body[..], 0), (b"", 0), (b"third", 1)] {
            assert_eq!(capture.keep(Bytes::from_static(body), at(second)).await, Kept::Yes);
        }
        assert_eq!(kept(folder.path()), [&body[..], b"", b"third"]);
        assert!(folder.path().join("capture-20090306T171039.000Z-000000.bin").exists());
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many_or_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |most_files, most_bytes, body: &'static [u8], second| {
            let capture = Capture::open(folder.path(), most_files, most_bytes).unwrap();
            async move { capture.keep(Bytes::from_static(body), at(second)).await }
        };
        for (second, body) in [b"aaaa", b"bbbb", b"cccc"].into_iter().enumerate() {
            assert_eq!(keep(2, 100, body, second as i64).await, Kept::Yes);
        }
        assert_eq!(kept(folder.path()), [b"bbbb", b"cccc"]);
        assert_eq!(keep(9, 10, b"dddddd", 7).await, Kept::Yes);
        assert_eq!(kept(folder.path()), [&b"cccc"[..], b"dddddd"]);
        assert_eq!(keep(9, 10, b"eeeeeeeeeee", 8).await, Kept::Skipped);
        assert_eq!(keep(0, 10, b"f", 9).await, Kept::Skipped);
        assert_eq!(kept(folder.path()).len(), 2);
    }

    #[tokio::test]
    async fn what_comes_while_another_is_written_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::open(folder.path(), 10, 1000).unwrap();
        let busy = Arc::clone(&capture.writing).acquire_owned().await.unwrap();
        assert_eq!(capture.keep(Bytes::from_static(b"x"), at(0)).await, Kept::Skipped);
        drop(busy);
        assert_eq!(capture.keep(Bytes::from_static(b"x"), at(0)).await, Kept::Yes);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_fails_and_half_written_files_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("capture");
        let capture = Capture::open(&inner, 10, 1000).unwrap();
        std::fs::remove_dir(&inner).unwrap();
        assert_eq!(capture.keep(Bytes::from_static(b"x"), at(0)).await, Kept::Failed);
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join(".writing-x"), "half").unwrap();
        std::fs::write(inner.join("notes.txt"), "an administrator's").unwrap();
        Capture::open(&inner, 10, 1000).unwrap();
        assert_eq!(kept(&inner), [b"an administrator's"]);
    }
}
