//! Walks a folder name by name, each opened in the folder above it and none through a symbolic link: whoever can write
//! into the store cannot lead a node out of it, not even by changing it in the middle of a walk.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Folders below one another at most; the deepest that is written has nine.
const MOST_DEEP: usize = 32;

const BELOW: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A folder that is open, and a name in it.
#[derive(Debug)]
pub(super) struct Parent {
    folder: OwnedFd,
    name: String,
}

/// The store's own folder, which may be named through links.
fn root(path: &Path) -> io::Result<OwnedFd> {
    open(path, FOLDER, Mode::empty()).map_err(|error| match error {
        Errno::ENOENT | Errno::ENOTDIR => {
            let path = path.display();
            io::Error::other(format!("there is no folder {path}: mount the share, or make the folder"))
        }
        error => error.into(),
    })
}

fn split(path: &str) -> (Vec<&str>, &str) {
    let mut names: Vec<&str> = path.split('/').collect();
    let last = names.pop().unwrap_or_default();
    (names, last)
}

/// The folder of this path and the last name of it.
pub(super) fn parent(root_path: &Path, path: &str) -> io::Result<Parent> {
    let (folders, name) = split(path);
    let mut folder = root(root_path)?;
    for name in folders {
        folder = inner(&folder, name)?;
    }
    Ok(Parent { folder, name: name.to_owned() })
}

/// The same; folders that are missing are made.
pub(super) fn made_parent(root_path: &Path, path: &str) -> io::Result<Parent> {
    let (folders, name) = split(path);
    let mut folder = root(root_path)?;
    for name in folders {
        folder = match inner(&folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => made(&folder, name)?,
            opened => opened?,
        };
    }
    Ok(Parent { folder, name: name.to_owned() })
}

fn made(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(folder, name, Mode::from_bits_truncate(0o777)) {
        // Another node may have made it, and not yet synced it.
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    nix::unistd::fsync(folder)?;
    inner(folder, name)
}

fn inner(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    openat(folder, name, FOLDER | BELOW, Mode::empty()).map_err(|error| told(folder, name, error))
}

/// An error that says so when a link is the reason.
fn told(folder: &OwnedFd, name: &str, error: Errno) -> io::Error {
    let found = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    let link = found.is_ok_and(|found| found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFLNK);
    if link && matches!(error, Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK) {
        return io::Error::other(format!("{name} is a symbolic link, and none is followed in the store: remove it"));
    }
    error.into()
}

impl Parent {
    /// Opens the file. Without `O_NONBLOCK`, opening a named pipe would wait for a writer.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | BELOW;
        let opened = openat(&self.folder, self.name.as_str(), flags, Mode::empty());
        let file = File::from(opened.map_err(|error| told(&self.folder, &self.name, error))?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is no file", self.name)));
        }
        Ok(file)
    }

    /// Makes the file, which must not be there: not even a link to nothing.
    pub(super) fn create(&self) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | BELOW;
        Ok(File::from(openat(&self.folder, self.name.as_str(), flags, Mode::from_bits_truncate(0o666))?))
    }

    /// Deletes the file; of a link, the link.
    pub(super) fn delete(&self) -> io::Result<()> {
        Ok(unlinkat(&self.folder, self.name.as_str(), UnlinkatFlags::NoRemoveDir)?)
    }

    /// Makes sure that the name is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.folder)?)
    }

    /// Moves the file to where nothing stands.
    pub(super) fn move_to_new(&self, target: &Self) -> io::Result<()> {
        let (from, to) = ((&self.folder, self.name.as_str()), (&target.folder, target.name.as_str()));
        match renameat2(from.0, from.1, to.0, to.1, RenameFlags::RENAME_NOREPLACE) {
            // NFS knows links, but not this flag.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?;
                self.delete()
            }
            moved => Ok(moved?),
        }
    }

    /// Moves the file in place of what stands there; a link is replaced, not followed.
    pub(super) fn move_over(&self, target: &Self) -> io::Result<()> {
        Ok(renameat(&self.folder, self.name.as_str(), &target.folder, target.name.as_str())?)
    }
}

/// Removes the folders of a file that was deleted, as far as they are empty.
pub(super) fn remove_empty_folders(root_path: &Path, path: &str) {
    let mut path = path;
    while let Some((above, _)) = path.rsplit_once('/') {
        let Ok(parent) = parent(root_path, above) else { return };
        if unlinkat(&parent.folder, parent.name.as_str(), UnlinkatFlags::RemoveDir).is_err() {
            return;
        }
        path = above;
    }
}

/// All files below a path, which may not be there, with their paths from the root. Links are passed over.
pub(super) fn files(root_path: &Path, prefix: &str) -> io::Result<Vec<(String, Metadata)>> {
    let mut folder = root(root_path)?;
    for name in prefix.split('/').filter(|name| !name.is_empty()) {
        folder = match inner(&folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
    }
    let mut found = Vec::new();
    collect(&folder, prefix, MOST_DEEP, &mut found)?;
    Ok(found)
}

fn collect(folder: &OwnedFd, path: &str, deeper: usize, found: &mut Vec<(String, Metadata)>) -> io::Result<()> {
    for name in names(folder)? {
        let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let opened = openat(folder, name.as_str(), OFlag::O_PATH | BELOW, Mode::empty());
        let opened = match opened {
            Ok(opened) => opened,
            // Deleted meanwhile.
            Err(Errno::ENOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let metadata = File::from(opened).metadata()?;
        if metadata.is_file() {
            found.push((below, metadata));
        } else if metadata.is_dir() && deeper > 0 {
            match inner(folder, &name) {
                Ok(inner) => collect(&inner, &below, deeper - 1, found)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The names in a folder, which are text in a store.
fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::openat(folder.as_fd(), ".", FOLDER, Mode::empty())?.iter() {
        if let Ok(name) = entry?.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
