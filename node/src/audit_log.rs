//! The request audit log of this node (PROTOCOL.md 9): one of its [`request_log`]s, with a line for each check.

use crate::request_log::{self, Kind, LogLine, LogWriter, RequestLog};
use jiff::Timestamp;
use schema::audit::AuditRecord;
use schema::topology::NodeName;
use std::io;
use std::path::Path;

pub use crate::request_log::{LogLimits as AuditLimits, Spool, SpoolLimits, SpooledFile};

/// Takes the audit records of the phone plane.
pub type AuditLog = RequestLog<AuditRecord>;

/// Writes the records; run it as a task of its own.
pub type AuditWriter = LogWriter<AuditRecord>;

impl LogLine for AuditRecord {
    const KIND: Kind = Kind::Audit;

    fn at(&self) -> Timestamp {
        self.logged_at
    }

    fn size_bytes(&self) -> u64 {
        Self::size_bytes(self)
    }

    fn line(&self) -> String {
        Self::line(self)
    }
}

/// The handle and the writer of a node's audit log in the folder `spool`.
pub fn open(spool: &Path, node: NodeName, limits: AuditLimits) -> io::Result<(AuditLog, AuditWriter)> {
    request_log::open(spool, node, limits)
}

/// The files in a spool folder of the audit log, oldest first. Whatever else lies there is passed over.
pub fn spooled_files(folder: &Path) -> io::Result<Vec<SpooledFile>> {
    request_log::spooled_files(Kind::Audit, folder)
}
