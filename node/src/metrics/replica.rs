//! The replica of update files: what came from the store, what failed, what the scrub found. Counted by the replication loop,
//! which knows no metrics, and taken over at each scrape.

use super::counters;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use schema::replica::ReplicaState;
use sync::replicate::{Counts, FailureReason};

/// How a transfer ended: done, then the reasons of failures in their order.
const OUTCOMES: [&str; 1 + FailureReason::ALL.len()] = ["done", "store", "missing", "wrong_bytes", "disk", "no_room"];

/// The replica.
#[derive(Debug)]
pub struct ReplicaMetrics {
    transfers: [Counter; OUTCOMES.len()],
    fetched: Counter,
    read_throughs: Counter,
    evicted: Counter,
    scrubbed: Counter,
    damaged: Counter,
    given_back: Counter,
    needed: Gauge,
    held: Gauge,
    failed: Gauge,
}

impl ReplicaMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Transfers of update files from the store, by how they ended";
        let transfers = counters(registry, ("replica_transfers", help), "outcome", OUTCOMES);
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let read_throughs =
            counter("replica_read_throughs", "Files that were fetched at once because a phone asked for them");
        let evicted = counter("replica_evicted_files", "Files that no rule needs and that were dropped");
        let damaged = counter("replica_damaged_files", "Files that the scrub found damaged and dropped");
        let given_back =
            counter("replica_given_back_files", "Files that the store had lost and that this node put back there");
        let bytes = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
            counter
        };
        let fetched = bytes(registry, "replica_fetched", "Bytes of update files that came from the store");
        let scrubbed = bytes(registry, "replica_scrubbed", "Bytes of update files that the scrub has hashed again");
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
            gauge
        };
        let needed = gauge(registry, "replica_needed", "Bytes of the update files that rules need");
        let held = gauge(registry, "replica_held", "Bytes of those that this node holds");
        let failed = Gauge::default();
        let help = "Update files that rules need and that could not be fetched the last time";
        registry.register("replica_failed_files", help, failed.clone());
        Self { transfers, fetched, read_throughs, evicted, scrubbed, damaged, given_back, needed, held, failed }
    }

    /// Takes over what was counted, and what is true now.
    pub fn set(&self, counts: &Counts, state: &ReplicaState) {
        // Two scrapes at one time could both find a count behind; then it is ahead by what came in between, until that is caught
        // up with.
        let reach = |counter: &Counter, value: u64| {
            counter.inc_by(value.saturating_sub(counter.get()));
        };
        reach(&self.transfers[0], counts.fetched_files());
        for (counter, reason) in self.transfers[1..].iter().zip(FailureReason::ALL) {
            reach(counter, counts.failed(reason));
        }
        reach(&self.fetched, counts.fetched_bytes());
        reach(&self.read_throughs, counts.read_throughs());
        reach(&self.evicted, counts.evicted_files());
        reach(&self.scrubbed, counts.scrubbed_bytes());
        reach(&self.damaged, counts.damaged_files());
        reach(&self.given_back, counts.given_back_files());
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.needed.set(signed(state.needed.bytes));
        self.held.set(signed(state.held.bytes));
        self.failed.set(signed(state.failed_files));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_in_the_order_of_the_reasons() {
        let reasons = FailureReason::ALL.map(FailureReason::as_str);
        assert_eq!(OUTCOMES[1..], reasons);
        assert!(FailureReason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
    }
}
