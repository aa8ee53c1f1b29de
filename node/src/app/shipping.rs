//! Takes the files of a log of requests from its local spool to the shared store: each whole, every LogFlushInterval,
//! or sooner when MaxLogCacheLimit bytes wait (rows G04, G05), and at the start what an earlier run left. While the
//! store is down they wait, and are taken to it soon after it answers again; when they fill half of what the spool may
//! hold, those that are in the store leave it early.

use crate::api::Admin;
use crate::metrics::{Fault, Metrics};
use crate::request_log::{Kind, LogFileName, Spool, SpooledFile};
use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::{NodeName, ServiceId};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the spool is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Before a shipment that failed is tried again: the first time, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long shipments may take once the node stops, the one that is under way and the last: a hung store must not keep
/// it from stopping. Less than what [`crate::app`] waits for, so that what waits here is told.
const STOP_LIMIT: Duration = Duration::from_secs(7);

/// How long after the end of its day a file stays in the spool: lines of that day may still be on their way.
const STAYS: Duration = Duration::from_secs(3600);

/// Files of one name and day that the store is searched through at most.
const PARTS: usize = 10_000;

/// What this process has shipped, by the path in the spool.
#[derive(Debug)]
pub(super) struct Shipper {
    stored: StoredLogs,
    spool: Arc<Spool>,
    shipped: HashMap<PathBuf, Shipped>,
}

/// Where the files of this node's logs stand in the store.
#[derive(Debug)]
pub(super) struct StoredLogs {
    pub(super) blobs: Blobs,
    pub(super) service: ServiceId,
    pub(super) node: NodeName,
}

impl StoredLogs {
    async fn put(&self, name: &LogFileName, lines: Bytes) -> Result<(), BlobError> {
        match name {
            LogFileName::Audit(name) => self.blobs.put_audit_log(&self.service, &name.to_string(), lines).await,
            LogFileName::Access(name) => {
                self.blobs.put_access_log(&self.service, &self.node, &name.to_string(), lines).await
            }
        }
    }

    async fn get(&self, name: &LogFileName) -> Result<Option<Bytes>, BlobError> {
        match name {
            LogFileName::Audit(name) => self.blobs.audit_log(&self.service, &name.to_string()).await,
            LogFileName::Access(name) => self.blobs.access_log(&self.service, &self.node, &name.to_string()).await,
        }
    }
}

/// A file that is in the store.
#[derive(Debug, Clone)]
struct Shipped {
    /// Its length in the spool when it was shipped, a torn last line included.
    size_bytes: u64,
    /// Its name in the store.
    name: LogFileName,
}

/// Ships until `stop`, and once more then. A shipment that is under way may be interrupted some time after the stop: the
/// spool keeps what the store did not confirm.
pub(super) async fn run(admin: Arc<Admin>, spool: Arc<Spool>, writers_done: CancellationToken) {
    let (metrics, kind) = (&admin.plane.metrics, spool.kind());
    let place =
        StoredLogs { blobs: admin.blobs.clone(), service: admin.pool.service_id.clone(), node: admin.node.clone() };
    let mut shipper = Shipper::new(place, Arc::clone(&spool));
    let mut timer = tokio::time::interval(LOOK_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut last, mut retry): (Option<Timestamp>, _) = (None, Retry::default());
    let mut patience_ends = std::pin::pin!(patience_ends(&writers_done));
    loop {
        let stopping = tokio::select! {
            () = writers_done.cancelled() => true,
            _ = timer.tick() => false,
        };
        let now = admin.clock.now();
        let files = listed(&spool).await.unwrap_or_default();
        let (waiting, spooled_bytes) = (shipper.waiting_bytes(&files), total_bytes(&files));
        kind.metrics(metrics).spooled(spooled_bytes, waiting);
        let (configuration, limits) = (configuration(&admin), spool.limits());
        let most_waiting = u64::from(configuration.max_log_cache_limit_bytes).min(limits.most_waiting_bytes());
        let flush = |last: Timestamp| now.duration_since(last).unsigned_abs() >= configuration.log_flush_interval;
        let again = retry.is_due() && !metrics.faults.is_standing(Fault::StoreSilent);
        let due = again
            || match last {
                // What a killed process left is not made to wait: the next one may be killed as soon.
                None => !files.is_empty(),
                Some(last) if waiting > 0 => waiting >= most_waiting || flush(last),
                Some(last) => {
                    flush(last) && (limits.tight(spooled_bytes) || files.iter().any(|file| is_over(&file.name, now)))
                }
            };
        if due || stopping {
            tokio::select! {
                shipped = shipper.ship(now) => {
                    retry.after(&shipped);
                    tell(metrics, kind, shipped, now);
                }
                () = &mut patience_ends => return tell(metrics, kind, Err(too_slow(kind)), now),
            }
        }
        if due || last.is_none() {
            last = Some(now);
        }
        if stopping {
            return;
        }
    }
}

/// When a shipment that failed is tried again: sooner than after LogFlushInterval, or its fault would stand for minutes
/// after the store is well. Not while the store is known not to answer: each try reads the spool.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Retry {
    fn is_due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    fn after(&mut self, shipped: &Result<(), BlobError>) {
        if shipped.is_ok() {
            return *self = Self::default();
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.at = Some(Instant::now() + pause.mul_f64(rand::rng().random_range(0.5..1.0)));
    }
}

/// Ends [`STOP_LIMIT`] after the stop.
async fn patience_ends(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_LIMIT).await;
}

fn too_slow(kind: Kind) -> BlobError {
    let cause = format!("no answer within {} s", STOP_LIMIT.as_secs());
    BlobError::Unavailable { doing: format!("taking the last {} lines to it", kind.word()), cause }
}

/// Tells the log once, and everybody else as long as it lasts.
fn tell(metrics: &Metrics, kind: Kind, shipped: Result<(), BlobError>, now: Timestamp) {
    match shipped {
        Ok(()) => {
            kind.metrics(metrics).shipped(now);
            metrics.faults.is_over(kind.not_shipped());
        }
        Err(error) => {
            kind.metrics(metrics).ship_failed();
            let text = format!("{} files wait on the local disk: {error}", kind.word());
            if metrics.faults.stands(kind.not_shipped(), &text) {
                tracing::warn!("{text}");
            }
        }
    }
}

fn configuration(admin: &Admin) -> DeviceUpdateConfiguration {
    let snapshot = admin.plane.snapshot.load();
    snapshot.as_ref().map_or_else(DeviceUpdateConfiguration::default, |snapshot| snapshot.rules.configuration().clone())
}

fn total_bytes(files: &[SpooledFile]) -> u64 {
    files.iter().map(|file| file.size_bytes).sum()
}

/// Runs `work` on the spool off the runtime's threads.
async fn spooled<T: Send + 'static>(
    spool: &Arc<Spool>,
    work: impl FnOnce(&Spool) -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let failed = |error: io::Error| BlobError::Unavailable {
        doing: format!("reading {}", spool.folder().display()),
        cause: error.to_string(),
    };
    let spool = Arc::clone(spool);
    let done = tokio::task::spawn_blocking(move || work(&spool)).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(failed)
}

async fn listed(spool: &Arc<Spool>) -> Result<Vec<SpooledFile>, BlobError> {
    spooled(spool, Spool::files).await
}

impl Shipper {
    pub(super) fn new(stored: StoredLogs, spool: Arc<Spool>) -> Self {
        Self { stored, spool, shipped: HashMap::new() }
    }

    /// Bytes in the spool that are not in the store.
    fn waiting_bytes(&self, files: &[SpooledFile]) -> u64 {
        let waiting = |file: &SpooledFile| {
            let shipped = self.shipped.get(&file.path).map_or(0, |shipped| shipped.size_bytes);
            file.size_bytes.abs_diff(shipped)
        };
        files.iter().map(waiting).sum()
    }

    /// Ships every file that changed, and deletes those of past days once they are whole in the store. One that cannot
    /// be shipped keeps none of the others waiting; the first failure is the answer.
    async fn ship(&mut self, now: Timestamp) -> Result<(), BlobError> {
        let files = listed(&self.spool).await?;
        self.shipped.retain(|path, _| files.iter().any(|file| file.path == *path));
        let mut spool_bytes = total_bytes(&files);
        let mut result = Ok(());
        for file in files {
            if let Err(error) = self.ship_file(&file).await {
                result = result.and(Err(error));
                continue;
            }
            // The newest comes last: the file that is written to goes only when nothing else makes room.
            let leaves = is_over(&file.name, now) || self.spool.limits().tight(spool_bytes);
            if leaves && self.delete(&file).await? {
                spool_bytes = spool_bytes.saturating_sub(file.size_bytes);
            }
        }
        result
    }

    /// Makes sure that all lines which the file had when it was listed are in the store.
    async fn ship_file(&mut self, file: &SpooledFile) -> Result<(), BlobError> {
        let known = self.shipped.get(&file.path);
        if known.is_some_and(|known| known.size_bytes == file.size_bytes) {
            return Ok(());
        }
        let listed = file.clone();
        let lines = Bytes::from(spooled(&self.spool, move |spool| spool.read(&listed)).await?);
        if lines.is_empty() {
            return Ok(());
        }
        let (name, stored_bytes) = match known {
            Some(known) => (known.name.clone(), 0),
            None => free_name(&self.stored, &file.name, &lines).await?,
        };
        if stored_bytes < lines.len() {
            self.stored.put(&name, lines).await?;
        }
        self.shipped.insert(file.path.clone(), Shipped { size_bytes: file.size_bytes, name });
        Ok(())
    }

    /// Deletes a file that is in the store, unless a line came meanwhile. The store is asked for it once more: what
    /// somebody removed or cut there since is shipped again instead.
    async fn delete(&mut self, file: &SpooledFile) -> Result<bool, BlobError> {
        let Some(shipped) = self.shipped.get(&file.path) else { return Ok(false) };
        let stored = self.stored.get(&shipped.name).await?;
        let listed = file.clone();
        let lines = spooled(&self.spool, move |spool| spool.read(&listed)).await?;
        let shipped = usize::try_from(file.size_bytes).ok().and_then(|end| lines.get(..end)).unwrap_or(&lines);
        if !stored.is_some_and(|stored| stored.starts_with(shipped)) {
            self.shipped.remove(&file.path);
            return Ok(false);
        }
        let listed = file.clone();
        let deleted = spooled(&self.spool, move |spool| spool.delete(&listed)).await?;
        if deleted {
            self.shipped.remove(&file.path);
        }
        Ok(deleted)
    }
}

/// The name under which a file goes to the store: its own, unless the store holds lines there that are not the beginning
/// of this file. That is so when the spool was lost on the same day, or when two nodes have one name: nothing that is in
/// the store may be overwritten then.
async fn free_name(stored: &StoredLogs, own: &LogFileName, lines: &Bytes) -> Result<(LogFileName, usize), BlobError> {
    let mut name = own.clone();
    for _ in 0..PARTS {
        match stored.get(&name).await? {
            Some(stored) if !lines.starts_with(&stored) => name = name.next(),
            Some(stored) => return Ok((name, stored.len())),
            None => return Ok((name, 0)),
        }
    }
    Err(BlobError::Unavailable {
        doing: format!("looking for a name for {own}"),
        cause: format!("the store holds {PARTS} files of that node and day"),
    })
}

/// Whether the file's day is over for good.
fn is_over(name: &LogFileName, now: Timestamp) -> bool {
    let end = name.day().tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    end.is_ok_and(|end| now.duration_since(end.timestamp()) >= SignedDuration::try_from(STAYS).unwrap_or_default())
}

#[cfg(test)]
mod tests;
