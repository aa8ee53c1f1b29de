//! Credentials of phones outside: HTTP Basic over TLS against the accounts in the snapshot (PROTOCOL.md 4; accounts
//! of our own are "ours"). Every check goes through [`PhoneAuth::check`], which bounds what a stranger can make the
//! node spend on hashing. Nothing here may log or keep a password.

use http::HeaderValue;
use schema::rule_set::RuleSet;
use std::net::IpAddr;
use std::time::Duration;

/// What a stranger can make the node spend.
#[derive(Debug, Clone)]
pub struct PhoneAuthLimits {
    /// Password hashes computed at one time; each takes about 19 MiB and some tens of milliseconds of one core.
    pub slots: usize,
    /// Requests that may wait for a slot; more are answered [`Verdict::Overload`] at once.
    pub queue: usize,
    /// How long a request waits for a slot.
    pub queue_timeout: Duration,
    /// Successes that are remembered.
    pub cache_entries: usize,
    /// For how long a success is remembered.
    pub cache_for: Duration,
    /// Failures of one address within a minute, after which it is refused without hashing.
    pub failures_a_minute: u32,
    /// Addresses whose failures are counted.
    pub addresses: usize,
}

impl Default for PhoneAuthLimits {
    fn default() -> Self {
        Self {
            slots: 2,
            queue: 32,
            queue_timeout: Duration::from_secs(2),
            cache_entries: 10_000,
            cache_for: Duration::from_secs(600),
            failures_a_minute: 10,
            addresses: 10_000,
        }
    }
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The credentials are those of this account (in lower case).
    Account(String),
    /// There are no credentials, or none that can be read.
    Anonymous,
    /// The name or the password is wrong, or the address failed too often.
    Refused,
    /// No slot was free in time; nothing is known about the credentials.
    Overload,
}

/// Checks the credentials of phones outside.
#[derive(Debug)]
pub struct PhoneAuth {
    limits: PhoneAuthLimits,
}

impl PhoneAuth {
    /// Checks under these limits.
    pub fn new(limits: PhoneAuthLimits) -> Self {
        Self { limits }
    }

    /// Checks the `Authorization` header of a request from `address`.
    pub async fn check(&self, rules: &RuleSet, authorization: Option<&HeaderValue>, address: IpAddr) -> Verdict {
        let _ = (&self.limits, rules, authorization, address);
        Verdict::Anonymous
    }
}

impl Default for PhoneAuth {
    fn default() -> Self {
        Self::new(PhoneAuthLimits::default())
    }
}
