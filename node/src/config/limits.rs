//! The limits of a node: sections of the configuration that only hold numbers, with their defaults.

use crate::audit_log::AuditLimits;
use crate::downloads::DownloadLimits;
use crate::listen::{AdmissionLimits, LeastRate, ListenerLimits};
use crate::phone_auth::PhoneAuthLimits;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use sync::cabinet::Limits;

/// What a connection may do, on every listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSettings {
    /// Connections of phones at one time.
    pub most: usize,
    /// Of those, from one address.
    pub most_per_address: usize,
    /// Connections of administrators at one time.
    pub most_management: usize,
    /// Of those, from one address.
    pub most_management_per_address: usize,
    /// A TLS handshake must be done within this time.
    pub tls_handshake_timeout_ms: u64,
    /// The head of a request must be there within this time.
    pub header_timeout_ms: u64,
    /// How long a connection may wait for its next request.
    pub idle_timeout_ms: u64,
    /// From a request's head to the first byte of the answer; imports take their time.
    pub request_timeout_ms: u64,
    /// At least so fast a client must send a body and take a response.
    pub least_bytes_per_s: u64,
    /// On average over so much time of waiting for its body.
    pub request_window_ms: u64,
    /// On average over so much time of waiting for it to take the response.
    pub response_window_ms: u64,
    /// Large bodies of checks in memory at one time.
    pub most_large_checks: usize,
    /// How long a node that is told to stop goes on as before, while `/ready` says so to the balancer.
    pub drain_notice_ms: u64,
    /// How long requests may go on when the node stops.
    pub drain_timeout_ms: u64,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        let (limits, admission) = (ListenerLimits::default(), AdmissionLimits::default());
        Self {
            most: admission.connections,
            most_per_address: admission.per_address,
            most_management: 1024,
            most_management_per_address: 256,
            tls_handshake_timeout_ms: milliseconds(limits.handshake_timeout),
            header_timeout_ms: milliseconds(limits.header_timeout),
            idle_timeout_ms: milliseconds(limits.idle_timeout),
            request_timeout_ms: 30_000,
            least_bytes_per_s: limits.request_rate.bytes_per_s,
            request_window_ms: milliseconds(limits.request_rate.window),
            response_window_ms: milliseconds(limits.response_rate.window),
            most_large_checks: 256,
            drain_notice_ms: 0,
            drain_timeout_ms: milliseconds(limits.drain_timeout),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ConnectionSettings {
    /// From a request's head to the first byte of the answer.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// How long a node that is told to stop goes on as before.
    pub fn drain_notice(&self) -> Duration {
        Duration::from_millis(self.drain_notice_ms)
    }

    /// What a connection may cost in time.
    pub fn limits(&self) -> ListenerLimits {
        let least =
            |window_ms| LeastRate { bytes_per_s: self.least_bytes_per_s, window: Duration::from_millis(window_ms) };
        ListenerLimits {
            handshake_timeout: Duration::from_millis(self.tls_handshake_timeout_ms),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            request_rate: least(self.request_window_ms),
            response_rate: least(self.response_window_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
        }
    }

    /// How many connections of phones there may be.
    pub fn phones(&self) -> AdmissionLimits {
        AdmissionLimits { connections: self.most, per_address: self.most_per_address, ..AdmissionLimits::default() }
    }

    /// How many connections of administrators there may be.
    pub fn management(&self) -> AdmissionLimits {
        AdmissionLimits {
            connections: self.most_management,
            per_address: self.most_management_per_address,
            ..AdmissionLimits::default()
        }
    }
}

/// What downloads of update files may cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DownloadSettings {
    /// Downloads at one time.
    pub slots: usize,
    /// Downloads of one address at one time; a quarter of the slots when it is not given.
    pub slots_per_address: Option<usize>,
    /// Bytes a second, of all downloads together; 0 is no limit.
    pub most_bytes_per_s: u64,
}

impl Default for DownloadSettings {
    fn default() -> Self {
        let limits = DownloadLimits::default();
        Self { slots: limits.slots, slots_per_address: None, most_bytes_per_s: limits.bytes_per_s }
    }
}

impl DownloadSettings {
    /// As the phone plane takes them.
    pub fn limits(&self) -> DownloadLimits {
        DownloadLimits {
            slots: self.slots,
            slots_per_address: self.slots_per_address.unwrap_or_else(|| self.slots.div_ceil(4)),
            bytes_per_s: self.most_bytes_per_s,
        }
    }
}

/// What a package may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSettings {
    /// Imports at one time.
    pub most_imports: usize,
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
            most_imports: 4,
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

/// This node's own copies of update files, from which phones are served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicaSettings {
    /// Where they are; `replica` in the data folder when not given.
    pub folder: Option<PathBuf>,
    /// Bytes that they may have together; 0 is no limit.
    pub most_bytes: u64,
    /// Transfers from the store at one time; as many again for files that phones wait for.
    pub most_transfers: usize,
    /// Bytes a second of all transfers together, but of those that phones wait for; 0 is no limit.
    pub most_bytes_per_s: u64,
    /// How often everything is looked at when nothing happened.
    pub poll_interval_ms: u64,
    /// How often every file is hashed again; 0 is never.
    pub scrub_interval_s: u64,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self {
            folder: None,
            most_bytes: 0,
            most_transfers: 4,
            most_bytes_per_s: 0,
            poll_interval_ms: 5000,
            scrub_interval_s: 24 * 60 * 60,
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

/// The access log, and what of it may wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogSettings {
    /// Whether it is written.
    pub enabled: bool,
    /// Lines in memory.
    pub most_waiting_lines: usize,
    /// Bytes in memory, about.
    pub most_waiting_bytes: u64,
    /// Bytes of the files on the local disk.
    pub most_spool_bytes: u64,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        let limits = AuditLimits::default();
        Self {
            enabled: true,
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
