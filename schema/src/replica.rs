//! How the replica of a node stands: what it holds of the files that rules need, what it fetches, what failed. Told by the
//! node, shown to people; nothing is decided by it.

use jiff::Timestamp;

/// Files, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// How many bytes together.
    pub bytes: u64,
}

impl Amount {
    /// One file more.
    pub fn add(&mut self, size_bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size_bytes);
    }
}

/// A file that is being fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetching {
    /// Its path below the update folder.
    pub path: String,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes that it has.
    pub size_bytes: u64,
    /// Bytes a second since the transfer began.
    pub bytes_per_s: u64,
}

/// A file that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its path below the update folder.
    pub path: String,
    /// Why, as a word.
    pub reason: String,
    /// Why, as a sentence.
    pub told: String,
    /// When it is tried again; none when that waits for room.
    pub next_try: Option<Timestamp>,
}

/// How a replica stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaState {
    /// Of the rules that were planned by; none before there are any.
    pub generation: Option<i64>,
    /// What rules need.
    pub needed: Amount,
    /// What of it is held.
    pub held: Amount,
    /// The first of those that are being fetched.
    pub fetching: Vec<Fetching>,
    /// The first of those that failed.
    pub failed: Vec<Failed>,
    /// How many failed.
    pub failed_files: u64,
    /// The first of those that are needed and not held, by their paths.
    pub lacking: Vec<String>,
    /// Whether nothing that is needed is on its way or about to be: all is held, or failed.
    pub settled: bool,
    /// Whether phones may be sent here: once since the start all that is needed was held, or failed in a way that waiting
    /// does not mend; or the store does not answer, and something is held that phones can be served from meanwhile.
    pub ready: bool,
}
