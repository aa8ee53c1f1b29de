//! The drop folder: a folder, local or on a share, that administrators put packages into. Here is what its files go
//! through: a candidate settles, is claimed by one node (a rename into `working/<node>@<pool>/`, which only one node can
//! win), and is filed into `imported/` or `refused/` with its report beside it. A claim survives its node. What is in a
//! package is the importer's affair. Blocking, and a hung share blocks it for ever: call it off the runtime's threads.

mod filing;
mod settling;
#[cfg(test)]
mod tests;
mod watch;

pub use filing::Verdict;
pub use settling::{Candidate, Settling, Stamp};
pub use watch::Watch;

use nix::fcntl::OFlag;
use schema::topology::{NodeName, PoolFqdn};
use std::ffi::{OsStr, OsString};
use std::fs::{DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Files that wait are looked at so many at a time: what a look costs is bounded, however many there are.
pub const MOST_CANDIDATES: usize = 1000;

/// Claims of one node that are listed at a time.
const MOST_CLAIMS_LISTED: usize = 100;

/// Folders of nodes that are looked into for claims.
const MOST_NODES: usize = 1000;

/// A drop folder, as one node uses it.
#[derive(Debug, Clone)]
pub struct DropFolder {
    folder: PathBuf,
    claimant: String,
}

/// What lies in the drop folder.
#[derive(Debug, Default)]
pub struct Look {
    /// What may become a package.
    pub candidates: Vec<Candidate>,
    /// This node's claims, by name.
    pub claims: Vec<Claim>,
    /// Claims of other nodes.
    pub of_others: Vec<Claim>,
    /// Names that end like a package's and are none: folders, links, pipes.
    pub no_files: Vec<OsString>,
}

/// A file that a node has taken for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is: `<node>@<pool>`.
    pub claimant: String,
    /// Its name, as it was dropped.
    pub name: OsString,
    path: PathBuf,
}

impl Claim {
    /// The name, as people and records get to see it.
    pub fn shown(&self) -> String {
        filing::printable(&self.name)
    }

    /// The file for reading, and what it is. A link, a pipe or a folder is [`io::ErrorKind::InvalidInput`].
    pub fn open(&self) -> io::Result<(File, Stamp)> {
        open(&self.path)
    }
}

fn open(path: &Path) -> io::Result<(File, Stamp)> {
    // A pipe would keep us waiting for its writer, and a link leads who knows where.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Err(no_file()),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(no_file());
    }
    Ok((file, Stamp::of(&metadata)))
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

impl DropFolder {
    /// The drop folder at this path. It must be there: one that is made where a share should be mounted is looked into by
    /// nobody.
    pub fn new(folder: &Path, node: &NodeName, pool: &PoolFqdn) -> Self {
        Self { folder: folder.to_owned(), claimant: format!("{node}@{pool}") }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn working(&self) -> PathBuf {
        self.folder.join("working")
    }

    /// What lies there now.
    pub fn look(&self) -> io::Result<Look> {
        let mut look = Look::default();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !is_package_name(&name) {
                continue;
            }
            // What vanished meanwhile was none.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() {
                look.no_files.push(name);
            } else {
                look.candidates.push(Candidate { name, stamp: Stamp::of(&metadata) });
            }
            if look.candidates.len() + look.no_files.len() >= MOST_CANDIDATES {
                break;
            }
        }
        for entry in listed(&self.working())?.into_iter().take(MOST_NODES) {
            let Ok(claimant) = entry.file_name().into_string() else { continue };
            let found = claims(&claimant, &entry.path())?;
            if claimant == self.claimant { &mut look.claims } else { &mut look.of_others }.extend(found);
        }
        Ok(look)
    }

    /// Whether this node may read a candidate: it is asked before it is claimed, so that what cannot be read stays where
    /// it is.
    pub fn readable(&self, name: &OsStr) -> io::Result<Stamp> {
        Ok(open(&self.folder.join(name))?.1)
    }

    /// Takes a file; none when it is gone, to another node or otherwise.
    pub fn claim(&self, name: &OsStr) -> io::Result<Option<Claim>> {
        self.take(&self.folder.join(name), name)
    }

    /// Takes the claim of a node that is no more.
    pub fn take_over(&self, claim: &Claim) -> io::Result<Option<Claim>> {
        self.take(&claim.path, &claim.name)
    }

    fn take(&self, from: &Path, name: &OsStr) -> io::Result<Option<Claim>> {
        let folder = self.working().join(&self.claimant);
        make_folder(&folder)?;
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            // A claim of this name waits already. Only this node puts anything here, so that nothing comes in between.
            return Ok(None);
        }
        match std::fs::rename(from, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed?,
        }
        sync_folder(&folder)?;
        Ok(Some(Claim { claimant: self.claimant.clone(), name: name.to_owned(), path }))
    }
}

/// The claims in the folder of one node. Whatever else lies there is passed over.
fn claims(claimant: &str, folder: &Path) -> io::Result<Vec<Claim>> {
    let mut claims: Vec<Claim> = Vec::new();
    for entry in listed(folder)?.into_iter().take(MOST_CLAIMS_LISTED) {
        let name = entry.file_name();
        if is_package_name(&name) {
            claims.push(Claim { claimant: claimant.to_owned(), name, path: entry.path() });
        }
    }
    claims.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(claims)
}

/// The entries of a folder, which may not be there, or be none.
fn listed(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        entries => entries?.take(MOST_NODES).collect(),
    }
}

/// Whether a file of this name is meant: `.cab` or `.exe` in any case, and not the hidden or temporary name of a program
/// that is still copying.
fn is_package_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let ends =
        |ending: &[u8]| bytes.len() > ending.len() && bytes[bytes.len() - ending.len()..].eq_ignore_ascii_case(ending);
    !bytes.starts_with(b".") && !bytes.starts_with(b"~") && (ends(b".cab") || ends(b".exe"))
}

/// Makes a folder and those above it; two nodes may do that at once.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Puts the names in a folder on disk, where the file system knows how: some shares do it by themselves.
fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn modified_ns(metadata: &Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt as _;
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}
