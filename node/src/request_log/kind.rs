//! The logs of requests that there are: their names, their files' names and first lines, what is counted of them.

use crate::metrics::{Fault, LogMetrics, Metrics};
use jiff::Timestamp;
use jiff::civil::Date;
use schema::access::{self, AccessFileName};
use schema::audit::{self, AuditFileName};
use schema::topology::NodeName;
use std::fmt;

/// What wrote the access log, as its first line says.
const SOFTWARE: &str = concat!("ucupdates ", env!("CARGO_PKG_VERSION"));

/// Bytes after which an access file is followed by another of the same day: some hundred thousand lines. A file goes to
/// the store whole, again and again, as long as it grows.
const ACCESS_FILE_BYTES: u64 = 16 << 20;

/// A log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request audit log (PROTOCOL.md 9).
    Audit,
    /// The access log (PROTOCOL.md 10).
    Access,
}

impl Kind {
    /// What its lines and files are called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Access => "access",
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "the request audit log",
            Self::Access => "the access log",
        }
    }

    /// Its section of the configuration.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Access => "access_log",
        }
    }

    /// What is counted of it.
    pub fn metrics(self, metrics: &Metrics) -> &LogMetrics {
        match self {
            Self::Audit => &metrics.audit,
            Self::Access => &metrics.access,
        }
    }

    /// Its lines cannot be written.
    pub const fn not_written(self) -> Fault {
        match self {
            Self::Audit => Fault::AuditNotWritten,
            Self::Access => Fault::AccessNotWritten,
        }
    }

    /// Its files cannot be taken to the store.
    pub const fn not_shipped(self) -> Fault {
        match self {
            Self::Audit => Fault::AuditNotShipped,
            Self::Access => Fault::AccessNotShipped,
        }
    }

    /// Bytes after which a file is followed by the next one of its day, where MaxLogFileSize is `configured`.
    pub fn file_bytes(self, configured: u64) -> u64 {
        match self {
            Self::Audit => configured,
            Self::Access => ACCESS_FILE_BYTES,
        }
    }

    /// The lines before the first one of a process, which is of `at`; none where a file that goes on needs none.
    pub(super) fn header(self, at: Timestamp, file: Continues) -> Option<String> {
        match (self, file) {
            (Self::Audit, Continues::No) => Some(audit::HEADER.to_owned()),
            (Self::Audit, Continues::Yes) => None,
            // As IIS does: whoever reads the file sees where the service began anew.
            (Self::Access, _) => Some(access::header(SOFTWARE, at)),
        }
    }

    /// The first file of a day.
    pub(super) fn first_file(self, node: &NodeName, day: Date) -> LogFileName {
        match self {
            Self::Audit => LogFileName::Audit(AuditFileName { node: node.clone(), day, part: 0 }),
            Self::Access => LogFileName::Access(AccessFileName { day, part: 0 }),
        }
    }

    /// Reads the name of one of its files.
    pub(super) fn file_name(self, text: &str) -> Option<LogFileName> {
        match self {
            Self::Audit => AuditFileName::parse(text).ok().map(LogFileName::Audit),
            Self::Access => AccessFileName::parse(text).ok().map(LogFileName::Access),
        }
    }
}

/// Whether a file was there already when a process began to write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continues {
    Yes,
    No,
}

/// The name of a file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFileName {
    /// Of the request audit log.
    Audit(AuditFileName),
    /// Of the access log.
    Access(AccessFileName),
}

impl LogFileName {
    /// The day (UTC) of its lines.
    pub fn day(&self) -> Date {
        match self {
            Self::Audit(name) => name.day,
            Self::Access(name) => name.day,
        }
    }

    /// Its place in the day.
    pub fn part(&self) -> u32 {
        match self {
            Self::Audit(name) => name.part,
            Self::Access(name) => name.part,
        }
    }

    /// The file that follows on the same day.
    pub fn next(&self) -> Self {
        match self {
            Self::Audit(name) => Self::Audit(name.next()),
            Self::Access(name) => Self::Access(name.next()),
        }
    }

    /// Whether the node writes it; in an audit file's name stands whose it is.
    pub(super) fn is_of(&self, node: &NodeName) -> bool {
        !matches!(self, Self::Audit(name) if name.node != *node)
    }
}

impl fmt::Display for LogFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit(name) => name.fmt(f),
            Self::Access(name) => name.fmt(f),
        }
    }
}
