//! A file on its way into the replica: what came so far, hashed. It survives a break of the transfer and an end of the
//! program; whoever goes on hashes it again, because nothing says that its bytes reached the disk. Blocking.

use super::folder::PART;
use super::{INCOMING, Replica, open_below};
use schema::package::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Bytes that are read and hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What came of a file so far.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    /// How many bytes are there.
    pub(crate) length_bytes: u64,
}

impl Part {
    /// Goes on with what an earlier transfer left, or begins. One longer than the file shall be is thrown away.
    pub(crate) fn resume(replica: &Replica, digest: &Digest, size_bytes: u64) -> io::Result<Self> {
        let incoming = replica.folder.join(INCOMING);
        std::fs::create_dir_all(&incoming)?;
        let name = format!("{digest}{PART}");
        let path = incoming.join(&name);
        let known = open_below(&incoming, &[&name]).and_then(|file| Ok(file.metadata()?.len()));
        if known.is_ok_and(|length| length > 0 && length <= size_bytes) {
            let file = OpenOptions::new().read(true).append(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path)?;
            let mut part = Self { path, file, hasher: Sha256::new(), length_bytes: 0 };
            part.hash_all()?;
            return Ok(part);
        }
        // Not emptied: somebody may be reading it.
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        Ok(Self { path, file, hasher: Sha256::new(), length_bytes: 0 })
    }

    fn hash_all(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            self.hasher.update(&chunk[..read]);
            self.length_bytes += read as u64;
        }
    }

    /// Appends what came.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length_bytes += bytes.len() as u64;
        Ok(())
    }

    /// The digest of all that came.
    pub(crate) fn digest(&self) -> Digest {
        Digest::new(self.hasher.clone().finalize().into())
    }

    /// Takes the whole file in, whose digest is this.
    pub(crate) fn publish(self, replica: &Replica, digest: &Digest) -> io::Result<()> {
        replica.publish(&self.path, digest)
    }

    /// Throws it away.
    pub(crate) fn discard(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

impl Replica {
    /// Opens a file that is on its way in, or has just arrived.
    pub(crate) fn open_arriving(&self, digest: &Digest, size_bytes: u64) -> io::Result<File> {
        let part = open_below(&self.folder.join(INCOMING), &[&format!("{digest}{PART}")]);
        part.or_else(|_| self.open_file(digest, size_bytes))
    }
}
