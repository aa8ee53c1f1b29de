//! The numbers of a node that somebody graphs, in the text format of Prometheus and OpenMetrics. Each part of the node has
//! its own group, registered here; labels come from closed enums only, so that nothing a phone sends makes a series. One
//! value a node, not one a process: tests run many. Nothing is decided by a metric.

mod phones;

pub use phones::PhoneMetrics;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// What stands before every name.
const PREFIX: &str = "ucupdates";

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    /// Update requests.
    pub phones: PhoneMetrics,
    registry: Registry,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        Self { phones: PhoneMetrics::register(&mut registry), registry }
    }

    /// What a scrape gets.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all that is written to it");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reason;
    use std::time::Duration;

    #[test]
    fn a_check_is_counted_by_its_reason_and_timed() {
        let metrics = Metrics::new();
        metrics.phones.check(Reason::Offered, Duration::from_micros(300));
        let text = metrics.text();
        for line in [
            "ucupdates_checks_total{reason=\"offered\"} 1",
            "ucupdates_checks_total{reason=\"no_rule\"} 0",
            "ucupdates_check_duration_seconds_bucket{le=\"0.0005\"} 1",
            "ucupdates_check_duration_seconds_bucket{le=\"0.00025\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
