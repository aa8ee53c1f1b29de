//! What an import does to each pool (PROTOCOL.md 6, rows S01, S02, I13), as a pure plan: values in, records out.
//! `store` loads what stands and writes what is planned; reading packages and keeping blobs are `sync`'s.

mod plan;

pub use plan::plan;

use crate::device::DeviceKey;
use crate::package::{Catalog, Digest, Update, UpdateTarget};
use crate::rule::RuleVersions;
use crate::topology::PoolFqdn;
use crate::version::FirmwareVersion;

/// A package whose files have been read and hashed, and not yet announced.
#[derive(Debug, Clone)]
pub struct StagedPackage {
    /// SHA-256 of the file that was uploaded.
    pub digest: Digest,
    /// The name it was uploaded under.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The updates it holds.
    pub updates: Vec<Update>,
    /// What its security catalogs list, of those that could be read; each catalog once.
    pub catalogs: Vec<Catalog>,
}

/// What happens, or happened, to one update in one pool: a line of the import's report card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// The pool.
    pub pool: PoolFqdn,
    /// The update's place in the package's list.
    pub index: usize,
    /// What the update is for.
    pub target: UpdateTarget,
    /// Its version.
    pub version: FirmwareVersion,
    /// What happens.
    pub outcome: ImportOutcome,
    /// Whether the pool does not hold the update's files yet, so that they must be stored before the commit.
    pub needs_files: bool,
}

/// What an import does with one update in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The pool had no rule for the devices (or not this interim build); now it has.
    Created,
    /// The rule was there; its pending version is now this one.
    Replaced {
        /// The version that was pending before, if any.
        pending: Option<FirmwareVersion>,
    },
    /// Nothing changes.
    Unchanged(AlreadyThere),
    /// Nothing changes, because it must not.
    Refused(ImportRefusal),
}

/// Where the same version with the same bytes already is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlreadyThere {
    /// The rule's approved version.
    #[error("this version is approved already")]
    Approved,
    /// The rule's pending version.
    #[error("this version is pending already")]
    Pending,
    /// An interim build, which has no rule.
    #[error("this interim build is stored already")]
    Stored,
}

/// Why an update is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// A published version's files never change (PROTOCOL.md 8).
    #[error(
        "{file} of this version is stored already with other bytes in pool {pool}: stored {}, in the package {}; a version \
         never changes, so give the new files a higher one, or remove the rules that name this and clear files first",
        shown(.stored), shown(.offered)
    )]
    OtherBytes {
        /// A pool that holds the version.
        pool: PoolFqdn,
        /// The first file that differs.
        file: String,
        /// The digest of the stored file; none if the stored version has no such file.
        stored: Option<Digest>,
        /// The digest of the package's file; none if the package has no such file.
        offered: Option<Digest>,
    },
    /// Interim builds have no version in their path, so that one locale holds one of them.
    #[error(
        "{path} is taken by {target} {version}: remove the stepping stone that names it and clear files, then import again"
    )]
    PathTaken {
        /// The path in the store.
        path: String,
        /// What the file that stands there belongs to.
        target: String,
        /// Its version.
        version: FirmwareVersion,
    },
    /// The package holds the version twice, with different files.
    #[error("the package holds this version twice with different files")]
    TwiceInPackage,
}

fn shown(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "no such file".to_owned(), |digest| digest.to_string())
}

/// What stands before an import, of all that the package's updates could meet.
#[derive(Debug, Default)]
pub struct Standing {
    /// Stored updates, in any pool, of the package's targets or at the paths of its files.
    pub updates: Vec<(PoolFqdn, Update)>,
    /// The rules of the pools imported to, for the package's targets.
    pub rules: Vec<(PoolFqdn, DeviceKey, RuleVersions)>,
}
