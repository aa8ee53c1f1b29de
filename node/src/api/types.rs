//! The JSON bodies of `/api/v1`, shared by the server and the command line. Texts, not domain types: each converts
//! explicitly. Field names are the administrators' words (the cmdlets' properties) in snake case.

pub mod devices;
pub mod nodes;
pub mod packages;
pub mod replicas;
pub mod rules;
pub mod settings;
pub mod snapshot;

use serde::{Deserialize, Serialize};

/// Every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word a program can act on: `invalid`, `unauthorized`, `not_found`, `already_exists`, `refused`, `too_large`,
    /// `full`, `unavailable`, `internal`.
    pub code: String,
    /// A sentence that says what is wrong and what to do.
    pub message: String,
}

/// An account of phones outside, or an administrator's token: a name and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedBody {
    /// The name.
    pub name: String,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
}

/// The answer of `POST /tokens`: the only time that the secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The administrator it acts as.
    pub name: String,
    /// What goes behind `Authorization: Bearer`.
    pub token: String,
}

/// An administrator's act (who did what to what).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminEventBody {
    /// Counts up from 1.
    pub number: i64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// Who.
    pub actor: String,
    /// What was done: `approve`, `import`, ...
    pub action: String,
    /// To what.
    pub object: String,
    /// How it was; none when it was not there.
    pub before: Option<serde_json::Value>,
    /// How it is now; none when it is gone.
    pub after: Option<serde_json::Value>,
}

/// Whether the chain of admin events is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainReport {
    /// Events whose hash was checked.
    pub checked: u64,
    /// The first event that does not fit the one before it.
    pub broken_at: Option<i64>,
}

/// How this node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusBody {
    /// The node's name.
    pub node: String,
    /// Its pool.
    pub pool: String,
    /// The program's version.
    pub version: String,
    /// The generation that its phones are answered from; none before the first snapshot.
    pub generation: Option<i64>,
    /// Rules in the snapshot.
    pub rules: usize,
    /// Update files that the node holds, of those that its pool has.
    pub files_held: usize,
    /// Update files that its pool has.
    pub files_wanted: usize,
    /// Where the rules came from: `database`, `disk` (the store has not confirmed them since the node started), `none`.
    pub snapshot_source: String,
    /// Seconds since the Central Management store confirmed the rules.
    pub snapshot_age_s: Option<u64>,
    /// What has to be mended; none when all is well.
    pub alarm: Option<String>,
    /// What is wrong with the node now that somebody has to mend, a sentence each.
    #[serde(default)]
    pub faults: Vec<String>,
}
