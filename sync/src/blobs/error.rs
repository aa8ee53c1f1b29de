//! Why the shared file store did not do what it was asked: one sentence each.

use crate::disk::Full;
use schema::package::Digest;
use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Another file stands where this one belongs.
    #[error(
        "the store already holds another file at {path}: SHA-256 {held}, the package's is {offered}; if no rule uses it, `ucupdates clear files` removes it"
    )]
    Conflict {
        /// Where, below the store's root.
        path: String,
        /// The digest of the file that is there.
        held: Digest,
        /// The digest of the file that was to be put there.
        offered: Digest,
    },
    /// The bytes changed between unpacking and storing.
    #[error("{path} has other bytes than a moment ago; import the package again")]
    Changed {
        /// The file that was read.
        path: PathBuf,
    },
    /// The store has no space left.
    #[error(transparent)]
    Full(#[from] Full),
    /// The store does not keep what must be kept.
    #[error(
        "{store} cannot be trusted: {why}. Nothing is imported into it: take a server that keeps conditional puts (If-None-Match) and shows at once what it took"
    )]
    Untrustworthy {
        /// Which store.
        store: String,
        /// What it did.
        why: String,
    },
    /// The store, or the disk below it, failed.
    #[error("the file store failed while {doing}: {cause}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// What it said.
        cause: String,
    },
}
