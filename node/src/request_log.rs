//! A log of phones' requests: a handle that never waits, and the task that writes. Lines go to files in a local spool, on
//! disk within a second; taking those files to the shared store is not done here, so that the phone plane reaches no store.
//! What a line says is its record's affair; what the logs are called, and what is counted of them, their [`Kind`]'s.

mod kind;
mod spool;

pub use kind::{Kind, LogFileName};
pub use spool::{Spool, SpoolLimits, SpooledFile, spooled_files};

use crate::plane::PhonePlane;
use jiff::Timestamp;
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

/// What a log has lines of.
pub trait LogLine: Clone + Send + Sync + 'static {
    /// The log.
    const KIND: Kind;

    /// When it happened: in UTC, the day of the file that it goes to.
    fn at(&self) -> Timestamp;

    /// Bytes that it takes in memory, about.
    fn size_bytes(&self) -> u64;

    /// The line, without line end.
    fn line(&self) -> String;
}

/// What may wait in memory, and on the disk.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Lines that wait for the disk.
    pub most_lines: usize,
    /// Their bytes, about.
    pub most_bytes: u64,
    /// The spool.
    pub spool: SpoolLimits,
}

impl Default for LogLimits {
    /// Some seconds of the heaviest load in memory; on the disk some millions of checks.
    fn default() -> Self {
        let spool = SpoolLimits { most_bytes: 1 << 30 };
        Self { most_lines: 65_536, most_bytes: 64 << 20, spool }
    }
}

/// Takes the records of the phone plane.
#[derive(Debug)]
pub struct RequestLog<R> {
    records: mpsc::Sender<R>,
    buffer: Arc<Buffer>,
}

/// What is between the handle and the disk.
#[derive(Debug)]
struct Buffer {
    bytes: AtomicU64,
    most_bytes: u64,
    dropped: AtomicU64,
}

impl<R> Clone for RequestLog<R> {
    fn clone(&self) -> Self {
        Self { records: self.records.clone(), buffer: Arc::clone(&self.buffer) }
    }
}

impl<R: LogLine> RequestLog<R> {
    /// Hands a record to the writer, without waiting: when too many wait, or too long ones, it is dropped and counted.
    pub fn record(&self, record: R) {
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
pub struct LogWriter<R> {
    records: mpsc::Receiver<R>,
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

/// The handle and the writer of a log of the node in the folder `spool`.
pub fn open<R: LogLine>(
    spool: &Path,
    node: NodeName,
    limits: LogLimits,
) -> std::io::Result<(RequestLog<R>, LogWriter<R>)> {
    let (sender, records) = mpsc::channel(limits.most_lines);
    let buffer =
        Arc::new(Buffer { bytes: AtomicU64::new(0), most_bytes: limits.most_bytes, dropped: AtomicU64::new(0) });
    let spool = Arc::new(Spool::open(R::KIND, spool, node, limits.spool)?);
    let writer = LogWriter { records, buffer: Arc::clone(&buffer), spool, told: Told::default() };
    Ok((RequestLog { records: sender, buffer }, writer))
}

impl<R: LogLine> LogWriter<R> {
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
            let mut size_bytes: u64 = batch.iter().map(R::size_bytes).sum();
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
    async fn write(&mut self, batch: Vec<R>, plane: &PhonePlane, stop: &CancellationToken) {
        let mut failing = false;
        let batch: Arc<[R]> = batch.into();
        let mut done = 0;
        loop {
            let (spool, lines, size_limit) =
                (Arc::clone(&self.spool), Arc::clone(&batch), R::KIND.file_bytes(size_limit(plane)));
            let work = tokio::task::spawn_blocking(move || spool.write(&lines[done..], size_limit));
            let Some(written) = self.answered(work, batch.len() - done, plane, stop).await else { return };
            let lines = written.as_ref().map_or_else(|stopped| stopped.written, |()| batch.len() - done);
            if lines > 0 {
                R::KIND.metrics(&plane.metrics).wrote(lines, plane.clock.now());
            }
            done += lines;
            match written {
                Ok(()) => {
                    if failing {
                        tracing::info!("{} is written again", R::KIND.name());
                    }
                    plane.metrics.faults.is_over(R::KIND.not_written());
                    return;
                }
                Err(Unwritten { reason, .. }) => {
                    let folder = self.spool.folder().display();
                    let text = format!("{} cannot be written to {folder}: {reason}", R::KIND.name());
                    if !failing {
                        tracing::error!("{text}; its lines wait in memory");
                        failing = true;
                    }
                    R::KIND.metrics(&plane.metrics).write_failed();
                    plane.metrics.faults.stands(R::KIND.not_written(), text);
                }
            }
            self.tell(plane, batch.len() - done);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => {
                    let lines = batch.len() - done;
                    tracing::error!(lines, "{word} lines are lost: the disk refuses them and the node stops", word = R::KIND.word());
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
                plane.metrics.faults.stands(R::KIND.not_written(), text);
            }
            if stop.is_cancelled() && stopping.get_or_insert_with(Instant::now).elapsed() >= SLOW {
                tracing::error!(
                    lines,
                    "{word} lines are lost: the disk does not answer and the node stops",
                    word = R::KIND.word()
                );
                return None;
            }
        }
    }

    /// Shows what waits, `in_hand` lines of it here; tells of dropped lines, to the log not more often than once a minute.
    fn tell(&mut self, plane: &PhonePlane, in_hand: usize) {
        let buffer = &self.buffer;
        R::KIND.metrics(&plane.metrics).buffered(self.records.len() + in_hand, buffer.bytes.load(Ordering::Relaxed));
        let dropped = buffer.dropped.load(Ordering::Relaxed);
        R::KIND.metrics(&plane.metrics).dropped(dropped - self.told.counted);
        self.told.counted = dropped;
        if dropped > self.told.logged && self.told.at.is_none_or(|at| at.elapsed() >= TELL_INTERVAL) {
            let lines = dropped - self.told.logged;
            let word = R::KIND.word();
            tracing::error!(lines, "{word} lines were dropped: the disk takes none, or not as fast as phones ask");
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
