//! Downloads of update files: how many run, how fast they are, and how many had to come later.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Upper ends of the buckets of a whole download, in seconds: from a small catalog to an image over a slow line.
const DOWNLOAD_SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Upper ends of the buckets of the time to the first byte, in seconds.
const FIRST_BYTE_SECONDS: [f64; 9] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Downloads of update files.
#[derive(Debug)]
pub struct DownloadMetrics {
    in_flight: Gauge,
    started: Counter,
    finished: Counter,
    refused: Counter,
    bytes: Counter,
    duration: Histogram,
    first_byte: Histogram,
}

impl DownloadMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            in_flight: Gauge::default(),
            started: Counter::default(),
            finished: Counter::default(),
            refused: Counter::default(),
            bytes: Counter::default(),
            duration: Histogram::new(DOWNLOAD_SECONDS),
            first_byte: Histogram::new(FIRST_BYTE_SECONDS),
        };
        registry.register("downloads_in_flight", "Downloads that are being sent", metrics.in_flight.clone());
        registry.register("downloads_started", "Downloads begun", metrics.started.clone());
        registry.register("downloads_finished", "Downloads sent to their last byte", metrics.finished.clone());
        let help = "Downloads refused with 503 because every slot, or every one of the address, was taken";
        registry.register("downloads_refused", help, metrics.refused.clone());
        registry.register_with_unit("downloads_sent", "Bytes of update files sent", Unit::Bytes, metrics.bytes.clone());
        let help = "From the request's head to the last byte, of downloads that finished";
        registry.register_with_unit("download_duration", help, Unit::Seconds, metrics.duration.clone());
        let help = "From the request's head to the first bytes of the file";
        registry.register_with_unit("download_first_byte", help, Unit::Seconds, metrics.first_byte.clone());
        metrics
    }

    /// A download begins.
    pub fn start(&self) {
        self.started.inc();
        self.in_flight.inc();
    }

    /// The first bytes are there, so long after the request.
    pub fn first_byte(&self, after: Duration) {
        self.first_byte.observe(after.as_secs_f64());
    }

    /// So many bytes go out.
    pub fn send(&self, length_bytes: u64) {
        self.bytes.inc_by(length_bytes);
    }

    /// A download ended before its last byte.
    pub fn abort(&self) {
        self.in_flight.dec();
    }

    /// A download was sent whole, so long after the request.
    pub fn finish(&self, after: Duration) {
        self.in_flight.dec();
        self.finished.inc();
        self.duration.observe(after.as_secs_f64());
    }

    /// Every slot was taken.
    pub fn refuse(&self) {
        self.refused.inc();
    }
}
