//! The limits of a node: sections of the configuration that only hold numbers, with their defaults.

use crate::audit_log::AuditLimits;
use crate::listen::ListenerLimits;
use crate::phone_auth::PhoneAuthLimits;
use serde::Deserialize;
use std::time::Duration;
use sync::cabinet::Limits;

/// What a connection may do, on every listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSettings {
    /// Connections of a listener at one time.
    pub most: usize,
    /// A TLS handshake must be done within this time.
    pub tls_handshake_timeout_ms: u64,
    /// The head of a request must be there within this time; also how long a connection may be idle.
    pub header_timeout_ms: u64,
    /// From a phone's request's head to the first byte of the answer.
    pub request_timeout_ms: u64,
    /// How long a node that is told to stop goes on as before, while `/ready` says so to the balancer.
    pub drain_notice_ms: u64,
    /// How long requests may go on when the node stops.
    pub drain_timeout_ms: u64,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        let limits = ListenerLimits::default();
        Self {
            most: limits.connections,
            tls_handshake_timeout_ms: milliseconds(limits.handshake_timeout),
            header_timeout_ms: milliseconds(limits.header_timeout),
            request_timeout_ms: 30_000,
            drain_notice_ms: 0,
            drain_timeout_ms: milliseconds(limits.drain_timeout),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ConnectionSettings {
    /// A TLS handshake must be done within this time.
    pub fn tls_handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.tls_handshake_timeout_ms)
    }

    /// The head of a request must be there within this time.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// From a phone's request's head to the first byte of the answer.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// How long a node that is told to stop goes on as before.
    pub fn drain_notice(&self) -> Duration {
        Duration::from_millis(self.drain_notice_ms)
    }

    /// How long requests may go on when the node stops.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// What a package may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSettings {
    /// Bytes of the package itself.
    pub most_bytes: u64,
    /// Bytes of one file in it, unpacked.
    pub most_file_bytes: u64,
    /// Bytes of all its files, unpacked; also of the files of all its updates, each with its own copy.
    pub most_unpacked_bytes: u64,
    /// Files in it.
    pub most_files: usize,
    /// Unpacked bytes for each packed byte.
    pub most_ratio: u64,
    /// Cabinets inside cabinets.
    pub most_nesting: usize,
    /// Folders (runs of compressed data) in one cabinet.
    pub most_folders: usize,
    /// Bytes of one name with its path.
    pub most_name_bytes: usize,
    /// Segments of one name with its path.
    pub most_path_depth: usize,
    /// Bytes of `updateInfo.xml`.
    pub most_description_bytes: u64,
    /// Bytes of a security catalog that is looked into; a larger one is carried unread.
    pub most_catalog_bytes: u64,
}

impl Default for PackageSettings {
    /// Those that `ucupdates package show` uses, which has no configuration.
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            most_bytes: limits.package_bytes,
            most_file_bytes: limits.file_bytes,
            most_unpacked_bytes: limits.unpacked_bytes,
            most_files: limits.entries,
            most_ratio: limits.ratio,
            most_nesting: limits.nesting,
            most_folders: limits.folders,
            most_name_bytes: limits.name_bytes,
            most_path_depth: limits.path_depth,
            most_description_bytes: limits.description_bytes,
            most_catalog_bytes: limits.catalog_bytes,
        }
    }
}

/// How the credentials of phones outside are checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountSettings {
    /// Password hashes computed at one time (each takes 19 MiB and some 20 ms).
    pub most_hashes: usize,
    /// Requests that wait for one of those.
    pub most_waiting: usize,
    /// Wrong passwords from one address within a minute before it is refused unheard.
    pub most_failures: u32,
}

impl Default for AccountSettings {
    fn default() -> Self {
        let limits = PhoneAuthLimits::default();
        Self { most_hashes: limits.slots, most_waiting: limits.queue, most_failures: limits.failures_a_minute }
    }
}

/// What of the request audit log may wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// Lines in memory.
    pub most_waiting_lines: usize,
    /// Bytes in memory, about.
    pub most_waiting_bytes: u64,
    /// Bytes of the files on the local disk.
    pub most_spool_bytes: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        let limits = AuditLimits::default();
        Self {
            most_waiting_lines: limits.most_lines,
            most_waiting_bytes: limits.most_bytes,
            most_spool_bytes: limits.spool.most_bytes,
        }
    }
}

/// Keeping requests that could not be read, so that a new kind of phone can be supported by editing the dialect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSettings {
    /// Whether they are kept.
    pub enabled: bool,
    /// Requests kept at most.
    pub most_files: usize,
    /// Bytes kept at most.
    pub most_bytes: u64,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self { enabled: false, most_files: 100, most_bytes: 4 << 20 }
    }
}
