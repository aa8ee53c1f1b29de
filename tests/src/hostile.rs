//! What `hostile_reader` says of a package that it read: shared by that program and by the tests that drive it.

use serde::{Deserialize, Serialize};

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// As a cabinet, in memory.
    Cabinet,
    /// As a package, on a disk: programs, nested cabinets, the description and the catalogs.
    Package,
}

/// What became of it, and what it cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// What became of it.
    pub became: Became,
    /// Bytes that were allocated at once, at most.
    pub peak_bytes: usize,
    /// Time of the processor.
    pub cpu_ms: u64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Became {
    /// It was read, to these files in the order of their bytes.
    Read(Vec<ReadFile>),
    /// It was refused.
    Refused {
        /// The error's variant.
        reason: String,
        /// Its text.
        text: String,
    },
    /// The machine failed.
    Failed(String),
    /// The reader is broken.
    Panicked(String),
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReadFile {
    /// Its path, with `/`.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Their SHA-256.
    pub digest: String,
}
