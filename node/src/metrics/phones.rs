//! Update requests: how many got which answer, and how long the answer took.

use super::counters;
use crate::decide::Reason;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Upper ends of the histogram's buckets, in seconds.
const CHECK_SECONDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Update requests.
#[derive(Debug)]
pub struct PhoneMetrics {
    /// One for each reason, in the order of [`Reason::all`]: no look-up on a phone's way.
    checks: [Counter; Reason::COUNT],
    check_duration: Histogram,
}

impl PhoneMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Update requests, by the reason of their answer";
        let checks = counters(registry, ("checks", help), "reason", Reason::all().map(Reason::as_str));
        let check_duration = Histogram::new(CHECK_SECONDS);
        registry.register_with_unit(
            "check_duration",
            "From the whole body of an update request to its answer",
            Unit::Seconds,
            check_duration.clone(),
        );
        Self { checks, check_duration }
    }

    /// Counts an update request that was refused or put off before its body was read.
    pub fn turned_away(&self, reason: Reason) {
        self.checks[reason as usize].inc();
    }

    /// Counts an answered update request.
    pub fn check(&self, reason: Reason, took: Duration) {
        self.checks[reason as usize].inc();
        self.check_duration.observe(took.as_secs_f64());
    }
}
