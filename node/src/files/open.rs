//! Opens a file of the replica. The path is the snapshot's, made of names; no symbolic link below the replica's root
//! is followed, so that whoever can write there can't make the node serve what lies elsewhere.

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use schema::package::UpdateFile;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the file and verifies that it has the length that the snapshot says.
pub(super) async fn open_held(replica: PathBuf, file: Arc<UpdateFile>) -> io::Result<File> {
    let opening = tokio::task::spawn_blocking(move || open_at(&replica, &file));
    opening.await.map_err(io::Error::other)?
}

fn open_at(replica: &Path, file: &UpdateFile) -> io::Result<File> {
    let mut folder: OwnedFd = open(replica, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let below = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for name in file.path.folder().split('/') {
        folder = openat(&folder, name, below | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    let opened = File::from(openat(&folder, file.path.file_name(), below | OFlag::O_NONBLOCK, Mode::empty())?);
    let metadata = opened.metadata()?;
    if !metadata.is_file() || metadata.len() != file.size_bytes {
        let problem = format!("has {} bytes, {} are expected", metadata.len(), file.size_bytes);
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(opened)
}
