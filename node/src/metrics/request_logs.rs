//! The logs of requests: what is written, what waits, what is dropped, and how their files get to the store.

use crate::request_log::Kind;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// One of the logs.
#[derive(Debug, Default)]
pub struct LogMetrics {
    written: Counter,
    dropped: Counter,
    write_failures: Counter,
    buffer_lines: Gauge,
    buffer: Gauge,
    last_written: Gauge,
    spool: Gauge,
    waiting: Gauge,
    ship_failures: Counter,
    last_shipped: Gauge,
}

impl LogMetrics {
    pub(super) fn register(registry: &mut Registry, kind: Kind) -> Self {
        let (new, word) = (Self::default(), kind.word());
        let capital = match kind {
            Kind::Audit => "Audit",
            Kind::Access => "Access",
        };
        let mut counter = |name: &str, help: String, counter: &Counter| {
            registry.register(format!("{word}_{name}"), help, counter.clone());
        };
        counter("lines_written", format!("{capital} lines that are on the local disk"), &new.written);
        let help =
            format!("{capital} lines that were dropped, because the disk took none, or not as fast as phones asked");
        counter("lines_dropped", help, &new.dropped);
        counter("write_failures", format!("Writes to the {word} spool that failed"), &new.write_failures);
        let help = format!("Attempts to take {word} files to the store that failed");
        counter("ship_failures", help, &new.ship_failures);
        let name = format!("{word}_buffer_lines");
        registry.register(name, format!("{capital} lines in memory"), new.buffer_lines.clone());
        let mut gauge = |name: &str, help: String, unit, gauge: &Gauge| {
            registry.register_with_unit(format!("{word}_{name}"), help, unit, gauge.clone());
        };
        gauge("buffer", format!("Bytes of the {word} lines in memory, about"), Unit::Bytes, &new.buffer);
        gauge("spool", format!("Bytes of the {word} files on the local disk"), Unit::Bytes, &new.spool);
        let help = format!("Bytes of {word} files on the local disk that are not in the store");
        gauge("spool_waiting", help, Unit::Bytes, &new.waiting);
        let help = format!("When {word} lines were last written, in seconds since 1970; 0 before the first");
        gauge("last_write_timestamp", help, Unit::Seconds, &new.last_written);
        let help =
            format!("When {word} files were last taken to the store, in seconds since 1970; 0 before the first time");
        gauge("last_ship_timestamp", help, Unit::Seconds, &new.last_shipped);
        new
    }

    /// Lines are on disk.
    pub fn wrote(&self, lines: usize, now: Timestamp) {
        self.written.inc_by(lines as u64);
        self.last_written.set(now.as_second());
    }

    /// A write failed; its lines wait.
    pub fn write_failed(&self) {
        self.write_failures.inc();
    }

    /// Lines were dropped.
    pub fn dropped(&self, lines: u64) {
        self.dropped.inc_by(lines);
    }

    /// What waits in memory.
    pub fn buffered(&self, lines: usize, size_bytes: u64) {
        self.buffer_lines.set(i64::try_from(lines).unwrap_or(i64::MAX));
        self.buffer.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
    }

    /// What lies on the disk, and how much of it is not in the store.
    pub fn spooled(&self, size_bytes: u64, waiting_bytes: u64) {
        self.spool.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting_bytes).unwrap_or(i64::MAX));
    }

    /// All files are in the store.
    pub fn shipped(&self, now: Timestamp) {
        self.last_shipped.set(now.as_second());
    }

    /// Not all files could be taken to the store.
    pub fn ship_failed(&self) {
        self.ship_failures.inc();
    }
}
