//! Credentials of phones outside: HTTP Basic over TLS against the accounts in the snapshot (PROTOCOL.md 4; accounts
//! of our own are "ours"). Every check goes through [`PhoneAuth::check`], which bounds what a stranger can make the
//! node spend on hashing. Nothing here may log or keep a password.

mod basic;
mod failures;
mod password;
mod successes;

pub use crate::phone_auth::password::{PasswordError, hash_password};

use crate::phone_auth::basic::Credentials;
use crate::phone_auth::failures::Failures;
use crate::phone_auth::successes::Successes;
use http::HeaderValue;
use schema::rule_set::RuleSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The `WWW-Authenticate` headers of a 401: one for each method that is enabled.
pub const CHALLENGES: [&str; 1] = [r#"Basic realm="ucupdates", charset="UTF-8""#];

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
            queue: 256,
            queue_timeout: Duration::from_secs(2),
            cache_entries: 10_000,
            cache_for: Duration::from_secs(600),
            failures_a_minute: 20,
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
    /// The name or the password is wrong.
    Refused,
    /// The address failed too often; nothing is known about the credentials.
    Throttled,
    /// No slot was free in time; nothing is known about the credentials.
    Overload,
}

/// Checks the credentials of phones outside.
#[derive(Debug)]
pub struct PhoneAuth {
    limits: PhoneAuthLimits,
    /// Requests that hash or wait for it.
    admitted: Arc<Semaphore>,
    /// Requests that hash.
    slots: Arc<Semaphore>,
    successes: Mutex<Successes>,
    failures: Mutex<Failures>,
}

impl PhoneAuth {
    /// Checks under these limits.
    pub fn new(limits: PhoneAuthLimits) -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(limits.slots + limits.queue)),
            slots: Arc::new(Semaphore::new(limits.slots)),
            successes: Mutex::new(Successes::new(limits.cache_entries, limits.cache_for)),
            failures: Mutex::new(Failures::new(limits.addresses, limits.failures_a_minute)),
            limits,
        }
    }

    /// Checks the `Authorization` header of a request from `address`.
    pub async fn check(&self, rules: &RuleSet, authorization: Option<&HeaderValue>, address: IpAddr) -> Verdict {
        let Some(credentials) = authorization.and_then(Credentials::read) else { return Verdict::Anonymous };
        let stored = rules.account(&credentials.name).map(str::to_owned);
        let proof = lock(&self.successes).proof(&credentials, stored.as_deref());
        if lock(&self.successes).holds(&proof, Instant::now()) {
            return Verdict::Account(credentials.name.to_lowercase());
        }
        if lock(&self.failures).exhausted(address, Instant::now()) {
            return Verdict::Throttled;
        }
        let Some(permits) = self.admit().await else { return Verdict::Overload };
        // Counted before the outcome is known, so that an address gains nothing by asking many times at once.
        if !lock(&self.failures).count(address, Instant::now()) {
            return Verdict::Throttled;
        }
        if !verify(credentials.password, stored, permits).await {
            return Verdict::Refused;
        }
        lock(&self.failures).uncount(address);
        lock(&self.successes).remember(proof, Instant::now());
        Verdict::Account(credentials.name.to_lowercase())
    }

    /// Slots, those in which a hash is computed, and requests that wait for one.
    pub fn slots(&self) -> (usize, usize, usize) {
        let PhoneAuthLimits { slots, queue, .. } = self.limits;
        let in_use = slots.saturating_sub(self.slots.available_permits());
        let admitted = (slots + queue).saturating_sub(self.admitted.available_permits());
        (slots, in_use, admitted.saturating_sub(in_use))
    }

    /// Waits shortly for a slot. The permits are held until the hash is computed, even when the phone has gone.
    async fn admit(&self) -> Option<Permits> {
        let admitted = self.admitted.clone().try_acquire_owned().ok()?;
        let slot = tokio::time::timeout(self.limits.queue_timeout, self.slots.clone().acquire_owned());
        Some(Permits { _admitted: admitted, _slot: slot.await.ok()?.ok()? })
    }
}

impl Default for PhoneAuth {
    fn default() -> Self {
        Self::new(PhoneAuthLimits::default())
    }
}

struct Permits {
    _admitted: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

/// Computes the hash off the runtime's threads.
async fn verify(password: String, stored: Option<String>, permits: Permits) -> bool {
    let hashing = tokio::task::spawn_blocking(move || {
        let right = password::is_right(&password, stored.as_deref());
        drop(permits);
        right
    });
    hashing.await.unwrap_or(false)
}

/// The tables are valid after every statement, so a panic elsewhere does not spoil them.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
