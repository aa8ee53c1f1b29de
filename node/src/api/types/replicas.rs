//! The body of `GET /replicas`: how far the update files have come on each node.

use serde::{Deserialize, Serialize};

/// All nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasBody {
    /// Counts the changes of the Central Management store: a node that goes by an older one has not heard of the last.
    pub generation: i64,
    /// By pool and name.
    pub nodes: Vec<ReplicaBody>,
}

/// A node, and how its replica stood when it last told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaBody {
    /// The pool's FQDN.
    pub pool: String,
    /// The node's name.
    pub node: String,
    /// Since when it is silent, or was told to stop (RFC 3339, UTC); none of a node that lives.
    pub silent_since: Option<String>,
    /// What it told last; none before it told.
    pub replica: Option<ReplicaStateBody>,
}

/// What a node told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStateBody {
    /// When it told (RFC 3339, UTC).
    pub reported_at: String,
    /// The generation of its rules.
    pub generation: Option<i64>,
    /// When the Central Management store last confirmed those (RFC 3339, UTC).
    pub confirmed_at: Option<String>,
    /// Files that rules need.
    pub needed_files: u64,
    /// Their bytes.
    pub needed_bytes: u64,
    /// Those of them that it holds.
    pub held_files: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Whether nothing more is on its way: what rules need is held, or failed.
    pub settled: bool,
    /// Files that could not be fetched.
    pub failed_files: u64,
    /// The first of those that are on their way.
    pub fetching: Vec<FetchingBody>,
    /// The first of those that failed.
    pub failed: Vec<FailedBody>,
    /// The first of those that it lacks, by their paths.
    pub lacking: Vec<String>,
}

/// A file on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchingBody {
    /// Its path below the update files' folder.
    pub path: String,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes that it has.
    pub size_bytes: u64,
    /// Bytes a second.
    pub bytes_per_s: u64,
}

/// A file that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedBody {
    /// Its path below the update files' folder.
    pub path: String,
    /// `store`, `missing`, `wrong_bytes`, `disk` or `no_room`.
    pub reason: String,
    /// Why, for people.
    pub told: String,
    /// When it is tried again (RFC 3339, UTC); none when that waits for room.
    pub next_try: Option<String>,
}
