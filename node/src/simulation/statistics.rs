//! What happened, in numbers: counted while phones run, shown at the end. Pure.

use crate::simulation::failure::{Failure, FailureKind};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Wrong answers, and failures, that are told in full.
const TOLD_LIMIT: usize = 20;

/// The longest time that is told apart: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// What happened so far.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Update requests that were answered, by the reason.
    pub answers: BTreeMap<&'static str, u64>,
    /// From the first SYN to the answer's last byte.
    pub check_times: Times,
    /// Files that were downloaded whole and right.
    pub downloads: u64,
    /// Their bytes.
    pub download_bytes: u64,
    /// From the request to the last byte, waiting between attempts included.
    pub download_times: Times,
    /// Downloads that went on where they had broken off.
    pub resumed: u64,
    /// Updates that were installed.
    pub installs: u64,
    /// Attempts that failed, by kind.
    pub failed_attempts: BTreeMap<&'static str, u64>,
    /// Checks and downloads that succeeded at a later attempt.
    pub retried: u64,
    /// Checks and downloads that were given up.
    pub failed: u64,
    /// The first of them.
    pub failed_told: Vec<String>,
    /// Answers and files that were wrong.
    pub wrong: u64,
    /// The first of them.
    pub wrong_told: Vec<String>,
    /// Nothing, where something had to be offered, and the run allows that.
    pub withheld: u64,
    /// Connections that were made.
    pub connections: u64,
}

/// Latencies.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

/// Latencies summed up, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimesSummary {
    /// Half took at most this.
    pub p50_ms: f64,
    /// 90 % did.
    pub p90_ms: f64,
    /// 99 % did.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Times {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("constant bounds that are right"))
    }

    /// Counts one.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// None when there are none.
    pub fn summary(&self) -> Option<TimesSummary> {
        #[expect(clippy::cast_precision_loss, reason = "an hour of microseconds fits")]
        let ms = |us: u64| us as f64 / 1000.0;
        let quantile = |quantile| ms(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| TimesSummary {
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            max_ms: ms(self.0.max()),
        })
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            answers: BTreeMap::new(),
            check_times: Times::new(),
            downloads: 0,
            download_bytes: 0,
            download_times: Times::new(),
            resumed: 0,
            installs: 0,
            failed_attempts: BTreeMap::new(),
            retried: 0,
            failed: 0,
            failed_told: Vec::new(),
            wrong: 0,
            wrong_told: Vec::new(),
            withheld: 0,
            connections: 0,
        }
    }
}

impl Statistics {
    /// An update request was answered, and the answer came.
    pub fn answered(&mut self, time: Duration) {
        self.check_times.record(time);
    }

    /// What the answer meant.
    pub fn meant(&mut self, reason: &'static str) {
        *self.answers.entry(reason).or_default() += 1;
    }

    /// A file was downloaded whole and right.
    pub fn downloaded(&mut self, bytes: u64, time: Duration) {
        self.downloads += 1;
        self.download_bytes += bytes;
        self.download_times.record(time);
    }

    /// An attempt failed; another may follow.
    pub fn attempt_failed(&mut self, kind: FailureKind) {
        *self.failed_attempts.entry(kind.as_str()).or_default() += 1;
    }

    /// A check or a download was given up.
    pub fn gave_up(&mut self, phone: &str, what: &str, failure: &Failure) {
        self.failed += 1;
        if self.failed_told.len() < TOLD_LIMIT {
            self.failed_told.push(format!("{phone}: {what} failed: {failure}"));
        }
    }

    /// An answer or a file was wrong.
    pub fn was_wrong(&mut self, sentence: String) {
        self.wrong += 1;
        if self.wrong_told.len() < TOLD_LIMIT {
            self.wrong_told.push(sentence);
        }
    }

    /// Attempts that failed, of all kinds.
    pub fn all_failed_attempts(&self) -> u64 {
        self.failed_attempts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up() {
        let mut times = Times::new();
        assert_eq!(times.summary(), None);
        (1..=100).for_each(|ms| times.record(Duration::from_millis(ms)));
        times.record(Duration::from_secs(24 * 60 * 60));
        let summary = times.summary().unwrap();
        assert!((50.0..51.5).contains(&summary.p50_ms) && summary.p99_ms < 101.0, "{summary:?}");
        assert!(summary.max_ms > 3_590_000.0, "{summary:?}");
    }

    #[test]
    fn only_the_first_wrong_answers_are_told() {
        let mut statistics = Statistics::default();
        (0..30).for_each(|number| statistics.was_wrong(number.to_string()));
        assert_eq!((statistics.wrong, statistics.wrong_told.len()), (30, 20));
    }
}
