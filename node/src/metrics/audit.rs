//! The request audit log: what is written, what waits, what is dropped, and how its files get to the store.

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The request audit log.
#[derive(Debug, Default)]
pub struct AuditMetrics {
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

impl AuditMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let mut counter = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        counter("audit_lines_written", "Audit lines that are on the local disk", &new.written);
        let help = "Audit lines that were dropped, because the disk took none, or not as fast as phones asked";
        counter("audit_lines_dropped", help, &new.dropped);
        counter("audit_write_failures", "Writes to the audit spool that failed", &new.write_failures);
        counter("audit_ship_failures", "Attempts to take audit files to the store that failed", &new.ship_failures);
        registry.register("audit_buffer_lines", "Audit lines in memory", new.buffer_lines.clone());
        let mut gauge = |name, help, unit, gauge: &Gauge| registry.register_with_unit(name, help, unit, gauge.clone());
        gauge("audit_buffer", "Bytes of the audit lines in memory, about", Unit::Bytes, &new.buffer);
        gauge("audit_spool", "Bytes of the audit files on the local disk", Unit::Bytes, &new.spool);
        let help = "Bytes of audit files on the local disk that are not in the store";
        gauge("audit_spool_waiting", help, Unit::Bytes, &new.waiting);
        let help = "When audit lines were last written, in seconds since 1970; 0 before the first";
        gauge("audit_last_write_timestamp", help, Unit::Seconds, &new.last_written);
        let help = "When audit files were last taken to the store, in seconds since 1970; 0 before the first time";
        gauge("audit_last_ship_timestamp", help, Unit::Seconds, &new.last_shipped);
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
