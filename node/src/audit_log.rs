//! The request audit log of this node (PROTOCOL.md 9): a handle that never waits, and the task that writes. Lines go to
//! files in a local spool, on disk within a second; taking those files to the shared store is not done here, so that the
//! phone plane reaches no store.

mod spool;

pub use spool::{SpooledFile, spooled_files};

use crate::plane::PhonePlane;
use schema::audit::AuditRecord;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::NodeName;
use spool::Spool;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that may wait for the writer: some seconds of the heaviest load. More are dropped and counted.
const BUFFER_RECORDS: usize = 65_536;

/// Records that one write takes at most.
const BATCH_RECORDS: usize = 4096;

/// How long the writer gathers records before it writes and syncs them, so that a storm of checks is not a storm of
/// syncs; well under the second that is promised.
const GATHER: Duration = Duration::from_millis(200);

/// How long the writer waits before it tries again to write what it could not.
const RETRY: Duration = Duration::from_secs(1);

/// Takes the audit records of the phone plane.
#[derive(Debug, Clone)]
pub struct AuditLog {
    records: mpsc::Sender<AuditRecord>,
    dropped: Arc<AtomicU64>,
}

impl AuditLog {
    /// Hands a record to the writer, without waiting: when the buffer is full the record is dropped and counted.
    pub fn record(&self, record: AuditRecord) {
        if self.records.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Writes the records; run it as a task of its own.
#[derive(Debug)]
pub struct AuditWriter {
    records: mpsc::Receiver<AuditRecord>,
    dropped: Arc<AtomicU64>,
    spool: Spool,
}

/// The handle and the writer of a node's audit log in the folder `spool`.
pub fn open(spool: &Path, node: NodeName) -> std::io::Result<(AuditLog, AuditWriter)> {
    let (sender, records) = mpsc::channel(BUFFER_RECORDS);
    let dropped = Arc::new(AtomicU64::new(0));
    let writer = AuditWriter { records, dropped: Arc::clone(&dropped), spool: Spool::open(spool, node)? };
    Ok((AuditLog { records: sender, dropped }, writer))
}

impl AuditWriter {
    /// Writes until `stop`, then writes what still waits. Cancellation is looked at between writes only. While the disk
    /// refuses, lines wait: first here, then in the buffer.
    pub async fn run(mut self, plane: Arc<PhonePlane>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        let mut told_dropped = 0;
        loop {
            let stopping = tokio::select! {
                biased;
                received = self.records.recv_many(&mut batch, BATCH_RECORDS) => received == 0,
                () = stop.cancelled() => true,
            };
            if stopping {
                self.records.close();
            } else if batch.len() < BATCH_RECORDS {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = stop.cancelled() => {}
                }
            }
            while let Ok(record) = self.records.try_recv() {
                batch.push(record);
                if batch.len() >= BATCH_RECORDS {
                    break;
                }
            }
            if batch.is_empty() && stopping {
                return;
            }
            self = self.write(std::mem::take(&mut batch), &plane, &stop).await;
            self.tell_dropped(&mut told_dropped);
        }
    }

    /// Writes one batch, off the runtime's threads, until the disk takes it or the node stops.
    async fn write(mut self, batch: Vec<AuditRecord>, plane: &PhonePlane, stop: &CancellationToken) -> Self {
        let mut failing = false;
        let batch = Arc::new(batch);
        loop {
            let snapshot = plane.snapshot.load_full();
            let size_limit = snapshot.map_or_else(
                || DeviceUpdateConfiguration::default().max_log_file_size_bytes,
                |snapshot| snapshot.rules.configuration().max_log_file_size_bytes,
            );
            let mut spool = self.spool;
            let lines = Arc::clone(&batch);
            let work = tokio::task::spawn_blocking(move || {
                let written = spool.write(&lines, u64::from(size_limit));
                (spool, written)
            });
            let (spool, written) = work.await.expect("the writer does not panic");
            self.spool = spool;
            match written {
                Ok(()) if failing => {
                    tracing::info!("the request audit log is written again");
                    return self;
                }
                Ok(()) => return self,
                Err(error) if !failing => {
                    let folder = self.spool.folder().display();
                    tracing::error!(%error, %folder, "the request audit log cannot be written; its lines wait in memory");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => {
                    tracing::error!(lines = batch.len(), "audit lines are lost: the disk refuses them and the node stops");
                    return self;
                }
            }
        }
    }

    fn tell_dropped(&self, told: &mut u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > *told {
            tracing::error!(lines = dropped - *told, "audit lines were dropped: the disk is too slow for this load");
            *told = dropped;
        }
    }
}

#[cfg(test)]
mod tests;
