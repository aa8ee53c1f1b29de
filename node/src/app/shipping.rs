//! Takes the audit files from the local spool to the shared store: each whole, every LogFlushInterval, or sooner when
//! MaxLogCacheLimit bytes wait (rows G04, G05), and at the start what an earlier run left. While the store is down they
//! wait; when they fill half of what the spool may hold, those that are in the store leave it early.

use crate::api::Admin;
use crate::audit_log::{Spool, SpooledFile};
use crate::metrics::{Fault, Metrics};
use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schema::audit::AuditFileName;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::ServiceId;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs};
use tokio_util::sync::CancellationToken;

/// How often the spool is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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
    blobs: Blobs,
    service: ServiceId,
    spool: Arc<Spool>,
    shipped: HashMap<PathBuf, Shipped>,
}

/// A file that is in the store.
#[derive(Debug, Clone)]
struct Shipped {
    /// Its length in the spool when it was shipped, a torn last line included.
    size_bytes: u64,
    /// Its name in the store.
    name: AuditFileName,
}

/// Ships until `stop`, and once more then. A shipment that is under way may be interrupted some time after the stop: the
/// spool keeps what the store did not confirm.
pub(super) async fn run(admin: Arc<Admin>, writers_done: CancellationToken) {
    let mut shipper = Shipper::new(admin.blobs.clone(), admin.pool.service_id.clone(), Arc::clone(&admin.audit_spool));
    let metrics = &admin.plane.metrics;
    let mut timer = tokio::time::interval(LOOK_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last: Option<Timestamp> = None;
    let mut patience_ends = std::pin::pin!(patience_ends(&writers_done));
    loop {
        let stopping = tokio::select! {
            () = writers_done.cancelled() => true,
            _ = timer.tick() => false,
        };
        let now = admin.clock.now();
        let files = listed(&admin.audit_spool).await.unwrap_or_default();
        let (waiting, spooled_bytes) = (shipper.waiting_bytes(&files), total_bytes(&files));
        metrics.audit.spooled(spooled_bytes, waiting);
        let (configuration, limits) = (configuration(&admin), admin.audit_spool.limits());
        let most_waiting = u64::from(configuration.max_log_cache_limit_bytes).min(limits.most_waiting_bytes());
        let flush = |last: Timestamp| now.duration_since(last).unsigned_abs() >= configuration.log_flush_interval;
        let due = match last {
            // What a killed process left is not made to wait: the next one may be killed as soon.
            None => !files.is_empty(),
            Some(last) if waiting > 0 => waiting >= most_waiting || flush(last),
            Some(last) => {
                flush(last) && (limits.tight(spooled_bytes) || files.iter().any(|file| is_over(&file.name, now)))
            }
        };
        if due || stopping {
            tokio::select! {
                shipped = shipper.ship(now) => tell(metrics, shipped, now),
                () = &mut patience_ends => return tell(metrics, Err(too_slow()), now),
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

/// Ends [`STOP_LIMIT`] after the stop.
async fn patience_ends(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_LIMIT).await;
}

fn too_slow() -> BlobError {
    let cause = format!("no answer within {} s", STOP_LIMIT.as_secs());
    BlobError::Unavailable { doing: "taking the last audit lines to it".to_owned(), cause }
}

/// Tells the log once, and everybody else as long as it lasts.
fn tell(metrics: &Metrics, shipped: Result<(), BlobError>, now: Timestamp) {
    match shipped {
        Ok(()) => {
            metrics.audit.shipped(now);
            metrics.faults.is_over(Fault::AuditNotShipped);
        }
        Err(error) => {
            metrics.audit.ship_failed();
            let text = format!("audit files wait on the local disk: {error}");
            if metrics.faults.stands(Fault::AuditNotShipped, &text) {
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
    pub(super) fn new(blobs: Blobs, service: ServiceId, spool: Arc<Spool>) -> Self {
        Self { blobs, service, spool, shipped: HashMap::new() }
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
            None => free_name(&self.blobs, &self.service, &file.name, &lines).await?,
        };
        if stored_bytes < lines.len() {
            self.blobs.put_audit_log(&self.service, &name.to_string(), lines).await?;
        }
        self.shipped.insert(file.path.clone(), Shipped { size_bytes: file.size_bytes, name });
        Ok(())
    }

    /// Deletes a file that is in the store, unless a line came meanwhile. The store is asked for it once more: what
    /// somebody removed or cut there since is shipped again instead.
    async fn delete(&mut self, file: &SpooledFile) -> Result<bool, BlobError> {
        let Some(shipped) = self.shipped.get(&file.path) else { return Ok(false) };
        let stored = self.blobs.audit_log(&self.service, &shipped.name.to_string()).await?;
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
async fn free_name(
    blobs: &Blobs,
    service: &ServiceId,
    own: &AuditFileName,
    lines: &Bytes,
) -> Result<(AuditFileName, usize), BlobError> {
    let mut name = own.clone();
    for _ in 0..PARTS {
        match blobs.audit_log(service, &name.to_string()).await? {
            Some(stored) if !lines.starts_with(&stored) => name = name.next(),
            Some(stored) => return Ok((name, stored.len())),
            None => return Ok((name, 0)),
        }
    }
    Err(BlobError::Unavailable {
        doing: format!("looking for a name for {own}"),
        cause: format!("the store holds {PARTS} audit files of that node and day"),
    })
}

/// Whether the file's day is over for good.
fn is_over(name: &AuditFileName, now: Timestamp) -> bool {
    let end = name.day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    end.is_ok_and(|end| now.duration_since(end.timestamp()) >= SignedDuration::try_from(STAYS).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_log::{AuditLimits, SpoolLimits, open};
    use schema::audit::AuditRecord;
    use schema::topology::NodeName;
    use std::path::Path;
    use tempfile::TempDir;

    const NAME: &str = "RequestHandlerAuditLog_node1_20090306.log";

    struct Setting {
        folder: TempDir,
        blobs: Blobs,
        service: ServiceId,
    }

    impl Setting {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let [spool, store] = ["spool", "store"].map(|name| folder.path().join(name));
            std::fs::create_dir(&spool).unwrap();
            std::fs::create_dir(&store).unwrap();
            let blobs = Blobs::open_folder(&store, &node()).unwrap();
            Self { folder, blobs, service: ServiceId::parse("1-WebServices-1").unwrap() }
        }

        fn spool(&self) -> PathBuf {
            self.folder.path().join("spool")
        }

        /// As a start of the node makes it, with a limit of the spool.
        fn limited(&self, most_bytes: u64) -> Shipper {
            let limits = AuditLimits { spool: SpoolLimits { most_bytes }, ..AuditLimits::default() };
            let (_, writer) = open(&self.spool(), node(), limits).unwrap();
            Shipper::new(self.blobs.clone(), self.service.clone(), writer.spool())
        }

        fn shipper(&self) -> Shipper {
            self.limited(1 << 30)
        }

        fn write(&self, text: &str) {
            std::fs::write(self.spool().join(NAME), text).unwrap();
        }

        async fn ship(&self, shipper: &mut Shipper, now: &str) {
            shipper.ship(now.parse().unwrap()).await.unwrap();
        }

        async fn stored(&self, name: &str) -> Option<String> {
            let bytes = self.blobs.audit_log(&self.service, name).await.unwrap()?;
            Some(String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    fn node() -> NodeName {
        NodeName::parse("node1").unwrap()
    }

    fn waiting(shipper: &Shipper) -> u64 {
        shipper.waiting_bytes(&shipper.spool.files().unwrap())
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = crate::audit_log::spooled_files(folder).unwrap();
        files.iter().map(|file| file.name.to_string()).collect()
    }

    #[tokio::test]
    async fn files_are_shipped_whole_when_they_grow_and_past_days_leave_the_spool() {
        let setting = Setting::new();
        let mut shipper = setting.shipper();
        // A torn last line stays behind until it is whole, and keeps nothing from leaving.
        for (text, whole) in [("one\r\n", "one\r\n"), ("one\r\ntwo\r\nto", "one\r\ntwo\r\n")] {
            setting.write(text);
            assert!(waiting(&shipper) > 0);
            setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
            assert_eq!(waiting(&shipper), 0);
            assert_eq!(setting.stored(NAME).await.as_deref(), Some(whole));
        }
        setting.ship(&mut shipper, "2009-03-07T00:59:59Z").await;
        assert!(setting.spool().join(NAME).exists());
        setting.ship(&mut shipper, "2009-03-07T01:00:00Z").await;
        assert!(!setting.spool().join(NAME).exists());
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
    }

    #[tokio::test]
    async fn lines_in_the_store_are_never_overwritten_by_others() {
        let setting = Setting::new();
        setting.write("one\r\n");
        setting.ship(&mut setting.shipper(), "2009-03-06T12:00:00Z").await;
        // A restart goes on with the same file.
        setting.write("one\r\ntwo\r\n");
        setting.ship(&mut setting.shipper(), "2009-03-06T12:05:00Z").await;
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
        // A machine that lost its disk, or another node of the same name.
        for text in ["three\r\n", "three\r\nfour\r\n"] {
            setting.write(text);
            setting.ship(&mut setting.shipper(), "2009-03-06T12:10:00Z").await;
            let next = "RequestHandlerAuditLog_node1_20090306_1.log";
            assert_eq!(setting.stored(next).await.as_deref(), Some(text));
        }
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
    }

    #[tokio::test]
    async fn what_the_store_lost_is_shipped_again_before_it_leaves_the_spool() {
        let setting = Setting::new();
        setting.write("one\r\ntwo\r\n");
        let mut shipper = setting.shipper();
        setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
        let stored = setting.folder.path().join("store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates");
        std::fs::write(stored.join(NAME), "one\r\n").unwrap();
        setting.ship(&mut shipper, "2009-03-07T01:00:00Z").await;
        assert_eq!(names(&setting.spool()), [NAME]);
        assert!(waiting(&shipper) > 0);
        setting.ship(&mut shipper, "2009-03-07T01:00:01Z").await;
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
        assert_eq!(names(&setting.spool()), [""; 0]);
    }

    /// The day may be long, and MaxLogFileSize more than the budget.
    #[tokio::test]
    async fn a_full_spool_takes_lines_again_as_soon_as_the_store_has_its_own() {
        let setting = Setting::new();
        let mut shipper = setting.limited(1600);
        let mut taken = Vec::new();
        for number in 0..20 {
            let serial = format!("S{number}");
            while !shipper.spool.take_line("2009-03-06T10:00:00Z", &serial) {
                let before = total_bytes(&shipper.spool.files().unwrap());
                setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
                assert!(total_bytes(&shipper.spool.files().unwrap()) < before, "after {taken:?}");
            }
            taken.push(serial);
        }
        setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
        let logs = setting.blobs.logs(&setting.service).await.unwrap();
        assert!(logs.len() > 1);
        let mut stored = Vec::new();
        for log in logs {
            let name = log.path.rsplit('/').next().unwrap();
            let text = setting.stored(name).await.unwrap();
            stored.extend(text.lines().skip(1).map(|line| AuditRecord::parse(line).unwrap().user));
        }
        stored.sort_by_key(|serial| serial[1..].parse::<u32>().unwrap());
        assert_eq!(stored, taken);
    }

    #[tokio::test]
    async fn one_file_that_cannot_be_shipped_keeps_no_other_waiting() {
        let setting = Setting::new();
        setting.write("one\r\n");
        let other = "RequestHandlerAuditLog_node1_20090307.log";
        std::fs::write(setting.spool().join(other), "two\r\n").unwrap();
        let logs = setting.folder.path().join("store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates");
        std::fs::create_dir_all(logs.join(NAME)).unwrap();
        let mut shipper = setting.shipper();
        let failed = shipper.ship("2009-03-07T12:00:00Z".parse().unwrap()).await;
        assert!(failed.unwrap_err().to_string().contains(NAME));
        assert_eq!(setting.stored(other).await.as_deref(), Some("two\r\n"));
        assert_eq!(names(&setting.spool()), [NAME, other], "what is not in the store stays, however old");
        std::fs::remove_dir(logs.join(NAME)).unwrap();
        setting.ship(&mut shipper, "2009-03-07T12:00:01Z").await;
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\n"));
        assert_eq!(names(&setting.spool()), [other]);
    }

    #[tokio::test]
    async fn a_spool_that_fills_up_gives_the_shipped_files_away_first() {
        let setting = Setting::new();
        setting.write("one\r\n");
        let mut shipper = setting.limited(1000);
        setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
        assert_eq!(names(&setting.spool()), [NAME], "there is room: it stays where people look for it");
        let mut shipper = setting.limited(6);
        setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
        assert_eq!(names(&setting.spool()), [""; 0]);
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\n"));
    }
}
