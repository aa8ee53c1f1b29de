//! The credentials of phones outside: how their checks end, and how busy the hashing is.

use super::counters;
use crate::phone_auth::Verdict;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The labels, in the order of [`place`].
const VERDICTS: [&str; 5] = ["account", "anonymous", "wrong", "throttled", "overload"];

fn place(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Account(_) => 0,
        Verdict::Anonymous => 1,
        Verdict::Refused => 2,
        Verdict::Throttled => 3,
        Verdict::Overload => 4,
    }
}

/// Checks of credentials.
#[derive(Debug)]
pub struct CredentialMetrics {
    checks: [Counter; VERDICTS.len()],
    slots: Gauge,
    slots_in_use: Gauge,
    waiting: Gauge,
}

impl CredentialMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Checks of the credentials of phones outside, by verdict: of an account; anonymous (no credentials, or \
                    none that can be read); wrong; throttled (the address failed too often); overload (no slot was free)";
        let checks = counters(registry, ("credential_checks", help), "verdict", VERDICTS);
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            checks,
            slots: gauge("credential_slots", "Password hashes that may be computed at one time"),
            slots_in_use: gauge("credential_slots_in_use", "Password hashes being computed"),
            waiting: gauge("credential_checks_waiting", "Checks of credentials that wait for a slot"),
        }
    }

    /// Counts a check.
    pub fn checked(&self, verdict: &Verdict) {
        self.checks[place(verdict)].inc();
    }

    /// Sets what a scrape shows of the slots.
    pub fn slots(&self, slots: usize, in_use: usize, waiting: usize) {
        for (gauge, count) in [(&self.slots, slots), (&self.slots_in_use, in_use), (&self.waiting, waiting)] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
