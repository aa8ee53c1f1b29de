//! The replica: this node's own copies of update files, from which alone phones are served. A file stands under its digest
//! (`<first two digits>/<sha256>`), because a path of the store may get other bytes one day. It is there exactly when its
//! name is: it is written beside, verified, synced and renamed. Blocking, but for what is said otherwise.

mod folder;
mod part;

pub(crate) use part::Part;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use schema::package::Digest;
use schema::rule_set::Servable;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The folder of what is on its way in.
const INCOMING: &str = ".incoming";

/// A file of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its length.
    pub size_bytes: u64,
    /// Whether it has been here for a while. A new one may belong to an import whose rules this node does not know yet.
    pub settled: bool,
}

/// The replica of a node.
#[derive(Debug)]
pub struct Replica {
    folder: PathBuf,
    /// What is held. Sent by whoever changes the files, while it holds `turn`.
    servable: watch::Sender<Arc<Servable>>,
    turn: Mutex<()>,
}

impl Replica {
    /// The replica in this folder, before anything is known of it.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), servable: watch::Sender::default(), turn: Mutex::default() }
    }

    /// Makes the folder if it is not there, and looks at what it holds. What an adoption left that a crash interrupted is
    /// deleted: one process at a time has a replica.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder.join(INCOMING))?;
        folder::sweep_adoptions(&folder.join(INCOMING))?;
        let replica = Self::at(folder);
        replica.look()?;
        Ok(replica)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is held, as of the last look or change. Does not block.
    pub fn servable(&self) -> Arc<Servable> {
        Arc::clone(&self.servable.borrow())
    }

    /// Tells of each change of what is held. Does not block.
    pub fn changes(&self) -> watch::Receiver<Arc<Servable>> {
        self.servable.subscribe()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half changed.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file that is held; it has the length that is expected. No symbolic link below the folder is followed, so
    /// that whoever can write there can't make the node serve what lies elsewhere.
    pub fn open_file(&self, digest: &Digest, size_bytes: u64) -> io::Result<File> {
        let name = digest.to_string();
        let opened = open_below(&self.folder, &[&name[..2], &name])?;
        let found = opened.metadata()?.len();
        if found != size_bytes {
            let problem = format!("has {found} bytes, {size_bytes} are expected");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(opened)
    }

    /// Where a file stands that is held.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(&name)
    }

    /// Looks at every file anew.
    pub fn look(&self) -> io::Result<BTreeMap<Digest, Held>> {
        let _turn = self.turn();
        let held = folder::held(&self.folder)?;
        let servable: Servable = held.keys().copied().collect();
        self.servable.send_if_modified(|before| {
            let changed = **before != servable;
            if changed {
                *before = Arc::new(servable);
            }
            changed
        });
        Ok(held)
    }

    /// Takes a verified file in: from now on it is offered. The file at `source` must be on the same file system, and is
    /// synced here.
    fn publish(&self, source: &Path, digest: &Digest) -> io::Result<()> {
        File::open(source)?.sync_all()?;
        let target = self.path(digest);
        let above = target.parent().unwrap_or(&self.folder);
        if !above.is_dir() {
            std::fs::create_dir_all(above)?;
            folder::sync(&self.folder)?;
        }
        let _turn = self.turn();
        std::fs::rename(source, &target)?;
        folder::sync(above)?;
        self.servable.send_if_modified(|held| Arc::make_mut(held).insert(*digest));
        Ok(())
    }

    /// Takes in a file whose bytes were verified just now: the importing node's own. It is linked where the file system
    /// can, else copied.
    pub fn adopt(&self, source: &Path, digest: &Digest, size_bytes: u64) -> io::Result<()> {
        if self.open_file(digest, size_bytes).is_ok() {
            return Ok(());
        }
        let incoming = self.folder.join(INCOMING);
        std::fs::create_dir_all(&incoming)?;
        let beside = incoming.join(format!("{digest}.{}", uuid::Uuid::new_v4()));
        let linked = std::fs::hard_link(source, &beside);
        let taken = linked.or_else(|_| std::fs::copy(source, &beside).map(drop));
        let taken = taken.and_then(|()| {
            let copied = open_below(&incoming, &[&beside.file_name().unwrap_or_default().to_string_lossy()])?;
            match copied.metadata()?.len() == size_bytes {
                true => self.publish(&beside, digest),
                false => Err(io::Error::new(io::ErrorKind::InvalidData, "has another length than a moment ago")),
            }
        });
        if taken.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        taken
    }

    /// Drops a file; one that is not there is as good as dropped. Downloads that run go on: they have it open.
    pub fn evict(&self, digest: &Digest) -> io::Result<()> {
        let _turn = self.turn();
        self.servable.send_if_modified(|held| Arc::make_mut(held).remove(digest));
        match std::fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Deletes what is on its way in and will not be gone on with: all but the parts of `keep`. Other names are of an
    /// adoption that a crash interrupted, or that runs at this moment: those must be old.
    pub(crate) fn sweep(&self, keep: &BTreeSet<Digest>) -> io::Result<u64> {
        folder::sweep(&self.folder.join(INCOMING), keep)
    }
}

/// Opens a regular file below `root`, name by name, following no link. Without `O_NONBLOCK`, opening a named pipe would wait
/// for a writer.
fn open_below(root: &Path, names: &[&str]) -> io::Result<File> {
    let below = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let (file, folders) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
    let mut folder = nix::fcntl::open(root, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    for name in folders {
        folder = openat(&folder, *name, below | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    let opened = File::from(openat(&folder, *file, below | OFlag::O_NONBLOCK, Mode::empty())?);
    match opened.metadata()?.is_file() {
        true => Ok(opened),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "is no regular file")),
    }
}

#[cfg(test)]
mod tests;
