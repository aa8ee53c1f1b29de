//! The limits of a node: sections of the configuration that only hold numbers, with their defaults.

use serde::Deserialize;
use std::time::Duration;

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
    /// The body of a check must be there within this time.
    pub body_timeout_ms: u64,
    /// How long requests may go on when the node stops.
    pub drain_timeout_ms: u64,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            most: 20_000,
            tls_handshake_timeout_ms: 10_000,
            header_timeout_ms: 30_000,
            body_timeout_ms: 30_000,
            drain_timeout_ms: 20_000,
        }
    }
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

    /// The body of a check must be there within this time.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
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
    /// Bytes of all its files, unpacked.
    pub most_unpacked_bytes: u64,
    /// Files in it.
    pub most_files: usize,
    /// Unpacked bytes for each packed byte.
    pub most_ratio: u64,
    /// Cabinets inside cabinets.
    pub most_nesting: usize,
}

impl Default for PackageSettings {
    fn default() -> Self {
        Self {
            most_bytes: 2 << 30,
            most_file_bytes: 1 << 30,
            most_unpacked_bytes: 4 << 30,
            most_files: 65_535,
            most_ratio: 2000,
            most_nesting: 3,
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
        Self { most_hashes: 2, most_waiting: 256, most_failures: 20 }
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
