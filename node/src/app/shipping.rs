//! Takes the audit files from the local spool to the shared store: each whole, every LogFlushInterval, or sooner when
//! MaxLogCacheLimit bytes wait (rows G04, G05). While the store is down they wait.

use crate::api::Admin;
use crate::audit_log::{SpooledFile, spooled_files};
use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schema::audit::AuditFileName;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::ServiceId;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs};
use tokio_util::sync::CancellationToken;

/// How often the spool is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long after the end of its day a file stays in the spool: lines of that day may still be on their way.
const STAYS: Duration = Duration::from_secs(3600);

/// Files of one name and day that the store is searched through at most.
const PARTS: usize = 10_000;

/// What this process has shipped, by the path in the spool.
#[derive(Debug, Default)]
pub(super) struct Shipper {
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

/// Ships until `stop`, and once more then. Cancellation is looked at between looks only.
pub(super) async fn run(admin: Arc<Admin>, writers_done: CancellationToken) {
    let mut shipper = Shipper::default();
    let mut timer = tokio::time::interval(LOOK_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = admin.clock.now();
    let mut failing = false;
    loop {
        let stopping = tokio::select! {
            () = writers_done.cancelled() => true,
            _ = timer.tick() => false,
        };
        let now = admin.clock.now();
        let due = match shipper.waiting_bytes(&admin.audit_spool) {
            0 => false,
            waiting => {
                let configuration = configuration(&admin);
                waiting >= u64::from(configuration.max_log_cache_limit_bytes)
                    || now.duration_since(last).unsigned_abs() >= configuration.log_flush_interval
            }
        };
        if due || stopping {
            match shipper.ship(&admin.blobs, &admin.pool.service_id, &admin.audit_spool, now).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "audit files could not be taken to the store; they wait on the local disk");
                }
                Err(_) => {}
            }
            last = now;
        }
        if stopping {
            return;
        }
    }
}

fn configuration(admin: &Admin) -> DeviceUpdateConfiguration {
    let snapshot = admin.plane.snapshot.load();
    snapshot.as_ref().map_or_else(DeviceUpdateConfiguration::default, |snapshot| snapshot.rules.configuration().clone())
}

impl Shipper {
    /// Bytes in the spool that are not in the store.
    fn waiting_bytes(&self, spool: &Path) -> u64 {
        let files = spooled_files(spool).unwrap_or_default();
        let waiting = |file: &SpooledFile| {
            let shipped = self.shipped.get(&file.path).map_or(0, |shipped| shipped.size_bytes);
            file.size_bytes.abs_diff(shipped)
        };
        files.iter().map(waiting).sum()
    }

    /// Ships every file that changed, and deletes those of past days once they are whole in the store.
    async fn ship(
        &mut self,
        blobs: &Blobs,
        service: &ServiceId,
        spool: &Path,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let local = |error: std::io::Error| BlobError::Unavailable {
            doing: format!("reading {}", spool.display()),
            cause: error.to_string(),
        };
        for file in spooled_files(spool).map_err(local)? {
            let known = self.shipped.get(&file.path).cloned();
            if known.as_ref().is_none_or(|known| known.size_bytes != file.size_bytes) {
                let lines = Bytes::from(file.read_whole_lines().map_err(local)?);
                let name = match known {
                    Some(known) => known.name,
                    None => free_name(blobs, service, &file.name, &lines).await?,
                };
                blobs.put_audit_log(service, &name.to_string(), lines).await?;
                self.shipped.insert(file.path, Shipped { size_bytes: file.size_bytes, name });
            } else if is_over(&file.name, now) {
                std::fs::remove_file(&file.path).map_err(local)?;
                self.shipped.remove(&file.path);
            }
        }
        Ok(())
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
) -> Result<AuditFileName, BlobError> {
    let mut name = own.clone();
    for _ in 0..PARTS {
        match blobs.audit_log(service, &name.to_string()).await? {
            Some(stored) if !lines.starts_with(&stored) => name = name.next(),
            Some(_) | None => return Ok(name),
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
            let blobs = Blobs::open_folder(&store).unwrap();
            Self { folder, blobs, service: ServiceId::parse("1-WebServices-1").unwrap() }
        }

        fn spool(&self) -> PathBuf {
            self.folder.path().join("spool")
        }

        fn write(&self, text: &str) {
            std::fs::write(self.spool().join(NAME), text).unwrap();
        }

        async fn ship(&self, shipper: &mut Shipper, now: &str) {
            shipper.ship(&self.blobs, &self.service, &self.spool(), now.parse().unwrap()).await.unwrap();
        }

        async fn stored(&self, name: &str) -> Option<String> {
            let bytes = self.blobs.audit_log(&self.service, name).await.unwrap()?;
            Some(String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    #[tokio::test]
    async fn files_are_shipped_whole_when_they_grow_and_past_days_leave_the_spool() {
        let setting = Setting::new();
        let mut shipper = Shipper::default();
        // A torn last line stays behind until it is whole, and keeps nothing from leaving.
        for (text, whole) in [("one\r\n", "one\r\n"), ("one\r\ntwo\r\nto", "one\r\ntwo\r\n")] {
            setting.write(text);
            assert!(shipper.waiting_bytes(&setting.spool()) > 0);
            setting.ship(&mut shipper, "2009-03-06T12:00:00Z").await;
            assert_eq!(shipper.waiting_bytes(&setting.spool()), 0);
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
        setting.ship(&mut Shipper::default(), "2009-03-06T12:00:00Z").await;
        // A restart goes on with the same file.
        setting.write("one\r\ntwo\r\n");
        setting.ship(&mut Shipper::default(), "2009-03-06T12:05:00Z").await;
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
        // A machine that lost its disk, or another node of the same name.
        for text in ["three\r\n", "three\r\nfour\r\n"] {
            setting.write(text);
            setting.ship(&mut Shipper::default(), "2009-03-06T12:10:00Z").await;
            let next = "RequestHandlerAuditLog_node1_20090306_1.log";
            assert_eq!(setting.stored(next).await.as_deref(), Some(text));
        }
        assert_eq!(setting.stored(NAME).await.as_deref(), Some("one\r\ntwo\r\n"));
    }
}
