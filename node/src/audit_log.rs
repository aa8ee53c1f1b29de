//! The request audit log of this node (PROTOCOL.md 9): a handle that never waits, and the task that writes. Lines go to
//! files in a local spool, on disk within a second; taking those files to the shared store is not done here, so that the
//! phone plane reaches no store.

mod spool;

pub use spool::{Spool, SpoolLimits, SpooledFile, spooled_files};

use crate::metrics::Fault;
use crate::plane::PhonePlane;
use schema::audit::AuditRecord;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::NodeName;
use spool::Unwritten;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Records that one write takes at most.
const BATCH_RECORDS: usize = 4096;

/// Bytes of one write, about: a batch of the longest lines must not be a hundred megabytes.
const BATCH_BYTES: u64 = 1 << 20;

/// How long the writer gathers records before it writes and syncs them, so that a storm of checks is not a storm of
/// syncs; well under the second that is promised.
const GATHER: Duration = Duration::from_millis(200);

/// How long the writer waits before it tries again to write what it could not; also how often it looks up while a disk
/// does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// A disk that has not answered for this long is told of.
const SLOW: Duration = Duration::from_secs(5);

/// How often dropped lines are told of at most.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What may wait in memory, and on the disk.
#[derive(Debug, Clone, Copy)]
pub struct AuditLimits {
    /// Lines that wait for the disk.
    pub most_lines: usize,
    /// Their bytes, about.
    pub most_bytes: u64,
    /// The spool.
    pub spool: SpoolLimits,
}

impl Default for AuditLimits {
    /// Some seconds of the heaviest load in memory; on the disk some millions of checks.
    fn default() -> Self {
        let spool = SpoolLimits { most_bytes: 1 << 30 };
        Self { most_lines: 65_536, most_bytes: 64 << 20, spool }
    }
}

/// Takes the audit records of the phone plane.
#[derive(Debug, Clone)]
pub struct AuditLog {
    records: mpsc::Sender<AuditRecord>,
    buffer: Arc<Buffer>,
}

/// What is between the handle and the disk.
#[derive(Debug)]
struct Buffer {
    bytes: AtomicU64,
    most_bytes: u64,
    dropped: AtomicU64,
}

impl AuditLog {
    /// Hands a record to the writer, without waiting: when too many wait, or too long ones, it is dropped and counted.
    pub fn record(&self, record: AuditRecord) {
        let buffer = &self.buffer;
        let size_bytes = record.size_bytes();
        let before = buffer.bytes.fetch_add(size_bytes, Ordering::Relaxed);
        if before + size_bytes > buffer.most_bytes || self.records.try_send(record).is_err() {
            buffer.bytes.fetch_sub(size_bytes, Ordering::Relaxed);
            buffer.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.buffer.dropped.load(Ordering::Relaxed)
    }
}

/// Writes the records; run it as a task of its own.
#[derive(Debug)]
pub struct AuditWriter {
    records: mpsc::Receiver<AuditRecord>,
    buffer: Arc<Buffer>,
    spool: Arc<Spool>,
    told: Told,
}

/// What the log was told of dropped lines.
#[derive(Debug, Default)]
struct Told {
    counted: u64,
    logged: u64,
    at: Option<Instant>,
}

/// The handle and the writer of a node's audit log in the folder `spool`.
pub fn open(spool: &Path, node: NodeName, limits: AuditLimits) -> std::io::Result<(AuditLog, AuditWriter)> {
    let (sender, records) = mpsc::channel(limits.most_lines);
    let buffer =
        Arc::new(Buffer { bytes: AtomicU64::new(0), most_bytes: limits.most_bytes, dropped: AtomicU64::new(0) });
    let spool = Arc::new(Spool::open(spool, node, limits.spool)?);
    let writer = AuditWriter { records, buffer: Arc::clone(&buffer), spool, told: Told::default() };
    Ok((AuditLog { records: sender, buffer }, writer))
}

impl AuditWriter {
    /// Where it writes.
    pub fn spool(&self) -> Arc<Spool> {
        Arc::clone(&self.spool)
    }

    /// Writes until `stop`, then writes what still waits. Cancellation is looked at between writes only. While the disk
    /// refuses, lines wait: first here, then in the buffer.
    pub async fn run(mut self, plane: Arc<PhonePlane>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let stopping = tokio::select! {
                biased;
                received = self.records.recv() => match received {
                    Some(record) => {
                        batch.push(record);
                        false
                    }
                    None => true,
                },
                () = stop.cancelled() => true,
            };
            let backlog =
                self.records.len() >= BATCH_RECORDS || self.buffer.bytes.load(Ordering::Relaxed) >= BATCH_BYTES;
            if stopping {
                self.records.close();
            } else if !backlog {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = stop.cancelled() => {}
                }
            }
            let mut size_bytes: u64 = batch.iter().map(AuditRecord::size_bytes).sum();
            while batch.len() < BATCH_RECORDS && size_bytes < BATCH_BYTES {
                let Ok(record) = self.records.try_recv() else { break };
                size_bytes += record.size_bytes();
                batch.push(record);
            }
            if batch.is_empty() && stopping {
                return;
            }
            self.write(std::mem::take(&mut batch), &plane, &stop).await;
            self.buffer.bytes.fetch_sub(size_bytes, Ordering::Relaxed);
            self.tell(&plane, 0);
        }
    }

    /// Writes one batch, off the runtime's threads, until the disk takes it or the node stops.
    async fn write(&mut self, batch: Vec<AuditRecord>, plane: &PhonePlane, stop: &CancellationToken) {
        let mut failing = false;
        let batch: Arc<[AuditRecord]> = batch.into();
        let mut done = 0;
        loop {
            let (spool, lines, size_limit) = (Arc::clone(&self.spool), Arc::clone(&batch), size_limit(plane));
            let work = tokio::task::spawn_blocking(move || spool.write(&lines[done..], size_limit));
            let Some(written) = self.answered(work, batch.len() - done, plane, stop).await else { return };
            let lines = written.as_ref().map_or_else(|stopped| stopped.written, |()| batch.len() - done);
            if lines > 0 {
                plane.metrics.audit.wrote(lines, plane.clock.now());
            }
            done += lines;
            match written {
                Ok(()) => {
                    if failing {
                        tracing::info!("the request audit log is written again");
                    }
                    plane.metrics.faults.is_over(Fault::AuditNotWritten);
                    return;
                }
                Err(Unwritten { reason, .. }) => {
                    let folder = self.spool.folder().display();
                    let text = format!("the request audit log cannot be written to {folder}: {reason}");
                    if !failing {
                        tracing::error!("{text}; its lines wait in memory");
                        failing = true;
                    }
                    plane.metrics.audit.write_failed();
                    plane.metrics.faults.stands(Fault::AuditNotWritten, text);
                }
            }
            self.tell(plane, batch.len() - done);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => {
                    let lines = batch.len() - done;
                    tracing::error!(lines, "audit lines are lost: the disk refuses them and the node stops");
                    return;
                }
            }
        }
    }

    /// What the disk answers to a write; none when it does not and the node stops.
    async fn answered(
        &mut self,
        mut work: JoinHandle<Result<(), Unwritten>>,
        lines: usize,
        plane: &PhonePlane,
        stop: &CancellationToken,
    ) -> Option<Result<(), Unwritten>> {
        let began = Instant::now();
        let mut stopping = None;
        loop {
            tokio::select! {
                written = &mut work => return Some(written.expect("the writer does not panic")),
                () = tokio::time::sleep(RETRY) => {}
            }
            self.tell(plane, lines);
            if began.elapsed() >= SLOW {
                let text = format!("the disk of {} does not answer", self.spool.folder().display());
                plane.metrics.faults.stands(Fault::AuditNotWritten, text);
            }
            if stop.is_cancelled() && stopping.get_or_insert_with(Instant::now).elapsed() >= SLOW {
                tracing::error!(lines, "audit lines are lost: the disk does not answer and the node stops");
                return None;
            }
        }
    }

    /// Shows what waits, `in_hand` lines of it here; tells of dropped lines, to the log not more often than once a minute.
    fn tell(&mut self, plane: &PhonePlane, in_hand: usize) {
        let buffer = &self.buffer;
        plane.metrics.audit.buffered(self.records.len() + in_hand, buffer.bytes.load(Ordering::Relaxed));
        let dropped = buffer.dropped.load(Ordering::Relaxed);
        plane.metrics.audit.dropped(dropped - self.told.counted);
        self.told.counted = dropped;
        if dropped > self.told.logged && self.told.at.is_none_or(|at| at.elapsed() >= TELL_INTERVAL) {
            let lines = dropped - self.told.logged;
            tracing::error!(lines, "audit lines were dropped: the disk takes none, or not as fast as phones ask");
            (self.told.logged, self.told.at) = (dropped, Some(Instant::now()));
        }
    }
}

/// The MaxLogFileSize of now.
fn size_limit(plane: &PhonePlane) -> u64 {
    let snapshot = plane.snapshot.load();
    let limit = snapshot.as_ref().map(|snapshot| snapshot.rules.configuration().max_log_file_size_bytes);
    u64::from(limit.unwrap_or_else(|| DeviceUpdateConfiguration::default().max_log_file_size_bytes))
}

#[cfg(test)]
mod tests;
