//! The data folder of a node: whose it is, and where in it what stands.

use crate::durable;
use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where the node's own files are, below its data folder.
pub(super) struct Folders {
    pub(super) tls: PathBuf,
    pub(super) audit_spool: PathBuf,
    pub(super) access_spool: PathBuf,
    pub(super) capture: PathBuf,
    pub(super) packages: PathBuf,
    pub(super) snapshots: PathBuf,
    pub(super) replica: PathBuf,
}

impl Folders {
    pub(super) fn new(data: &Path) -> Self {
        let below = |name| data.join(name);
        Self {
            tls: below("tls"),
            audit_spool: below("spool/audit"),
            access_spool: below("spool/access"),
            capture: below("capture"),
            packages: below("incoming"),
            snapshots: below("snapshots"),
            replica: below("replica"),
        }
    }
}

/// A data folder that is this process's alone until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    pub(super) path: PathBuf,
    /// Its id, by which the pool tells its node from another of the same name.
    pub(super) instance: Uuid,
    _lock: Flock<File>,
}

impl DataFolder {
    /// Makes the folder if it is not there, and refuses one that another process has.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        durable::create_folder(path).with_context(|| {
            let shown = path.display();
            format!("the data folder {shown} can't be made; name a folder that this user may write (--data FOLDER, or data_folder in [node])")
        })?;
        let lock = path.join("lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&lock);
        let file =
            file.with_context(|| format!("opening {}: the data folder must be writable by this user", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, error)| match error {
            Errno::EWOULDBLOCK => anyhow::anyhow!(
                "another ucupdates{} runs on the data folder {}: stop it, or give this one a folder of its own",
                process_in(&file),
                path.display()
            ),
            _ => anyhow::Error::new(error).context(format!("locking {}", lock.display())),
        })?;
        for folder in [path.to_owned(), path.join("tls")] {
            durable::sweep(&folder).with_context(|| format!("sweeping {}", folder.display()))?;
        }
        // For whoever is refused. On a full disk they are told no number.
        let _ = lock.set_len(0).and_then(|()| writeln!(&*lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), instance: instance(&path.join("node-id")), _lock: lock })
    }
}

/// The id in this file, which is made once. Where that can't be written the id is good until the process ends: the pool
/// then takes a start after a kill for another node, until the one that was killed is silent.
fn instance(path: &Path) -> Uuid {
    let found = std::fs::read_to_string(path).ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
    found.unwrap_or_else(|| {
        let made = Uuid::new_v4();
        if let Err(error) = durable::replace(path, format!("{made}\n").as_bytes()) {
            tracing::warn!(%error, file = %path.display(), "the node's id could not be kept");
        }
        made
    })
}

/// ` (process 1234)`, as the one that holds the lock wrote it; nothing when it could not.
fn process_in(mut lock: &File) -> String {
    let mut text = String::new();
    // No process id is longer, and nothing else of a file that anybody may have made is shown.
    let read = Read::take(&mut lock, 20).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(id) if read.is_ok() => format!(" (process {id})"),
        _ => String::new(),
    }
}
