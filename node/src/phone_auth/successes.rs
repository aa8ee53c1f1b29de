//! Credentials that were right a short while ago, so that a phone's next request costs no argon2 hash. Holds neither
//! names nor passwords, only hashes under a key that lives as long as the process. A changed or removed account is
//! never found here: its stored hash is part of what is looked up. The time is an argument.

use super::basic::Credentials;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// What stands for a name, a password and the stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Proof([u8; 32]);

/// Remembers proofs, bounded in number and time.
pub(super) struct Successes {
    key: [u8; 32],
    until: HashMap<Proof, Instant>,
    limit: usize,
    keep_for: Duration,
}

impl std::fmt::Debug for Successes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Successes").field("entries", &self.until.len()).finish_non_exhaustive()
    }
}

impl Successes {
    pub(super) fn new(limit: usize, keep_for: Duration) -> Self {
        Self { key: rand::random(), until: HashMap::new(), limit, keep_for }
    }

    /// What would be remembered of these credentials.
    pub(super) fn proof(&self, credentials: &Credentials, stored: Option<&str>) -> Proof {
        let mut hash = Sha256::new_with_prefix(self.key);
        for part in [credentials.name.to_lowercase().as_str(), &credentials.password, stored.unwrap_or("")] {
            // With lengths, so that no two triples are one text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Proof(hash.finalize().into())
    }

    /// Whether the proof is remembered.
    pub(super) fn holds(&self, proof: &Proof, now: Instant) -> bool {
        self.until.get(proof).is_some_and(|until| now < *until)
    }

    /// Remembers the proof. When the table is full of proofs that still hold, all are forgotten: they cost one hash
    /// each to come back.
    pub(super) fn remember(&mut self, proof: Proof, now: Instant) {
        if self.until.len() >= self.limit {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= self.limit {
            self.until.clear();
        }
        self.until.insert(proof, now + self.keep_for);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials { name: name.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn only_the_same_name_password_and_stored_hash_are_found() {
        let (mut successes, now) = (Successes::new(10, Duration::from_secs(600)), Instant::now());
        let proof = successes.proof(&credentials("Anna", "secret"), Some("hash"));
        successes.remember(proof, now);
        let found =
            |name, password, stored| successes.holds(&successes.proof(&credentials(name, password), stored), now);
        assert!(found("anna", "secret", Some("hash")));
        assert!(!found("annas", "ecret", Some("hash")));
        assert!(!found("anna", "Secret", Some("hash")));
        assert!(!found("anna", "secret", Some("new hash")));
        assert!(!found("anna", "secret", None));
        let other_process = Successes::new(10, Duration::from_secs(600));
        assert_ne!(other_process.proof(&credentials("anna", "secret"), Some("hash")), proof);
    }

    #[test]
    fn a_success_is_forgotten_in_time_and_the_table_stays_bounded() {
        let (mut successes, now) = (Successes::new(2, Duration::from_secs(600)), Instant::now());
        let proof = |n: u8| Proof([n; 32]);
        successes.remember(proof(1), now);
        assert!(successes.holds(&proof(1), now + Duration::from_secs(599)));
        assert!(!successes.holds(&proof(1), now + Duration::from_secs(600)));
        for n in 2..9 {
            successes.remember(proof(n), now);
            assert!(successes.until.len() <= 2 && successes.holds(&proof(n), now));
        }
    }
}
