//! The data folder of a node: whose it is, and where in it what stands.

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where the node's own files are, below its data folder.
pub(super) struct Folders {
    pub(super) tls: PathBuf,
    pub(super) audit_spool: PathBuf,
    pub(super) capture: PathBuf,
    pub(super) packages: PathBuf,
}

impl Folders {
    pub(super) fn new(data: &Path) -> Self {
        let below = |name| data.join(name);
        Self {
            tls: below("tls"),
            audit_spool: below("spool/audit"),
            capture: below("capture"),
            packages: below("incoming"),
        }
    }
}

/// A data folder that is this process's alone until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    pub(super) path: PathBuf,
    _lock: Flock<File>,
}

impl DataFolder {
    /// Makes the folder if it is not there, and refuses one that another process has.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("making the data folder {}", path.display()))?;
        let lock = path.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.with_context(|| format!("opening {}", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            anyhow::anyhow!(
                "another ucupdates runs on the data folder {}: stop it, or give this one a folder of its own",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}
