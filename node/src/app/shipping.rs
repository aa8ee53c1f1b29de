//! Takes the audit files from the local spool to the shared store: each whole, every LogFlushInterval, or sooner when
//! MaxLogCacheLimit bytes wait (rows G04, G05). While the store is down they wait.

use crate::api::Admin;
use crate::audit_log::{SpooledFile, spooled_files};
use bytes::Bytes;
use jiff::tz::TimeZone;
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::ServiceId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs};
use tokio_util::sync::CancellationToken;

/// How often the spool is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What this process has shipped of each file: a file's path, and the bytes of it that are in the store.
#[derive(Debug, Default)]
pub(super) struct Shipper {
    shipped: HashMap<std::path::PathBuf, u64>,
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
            let today = now.to_zoned(TimeZone::UTC).date();
            match shipper.ship(&admin.blobs, &admin.pool.service_id, &admin.audit_spool, today).await {
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
        files.iter().map(|file| file.size_bytes - self.shipped(file).min(file.size_bytes)).sum()
    }

    fn shipped(&self, file: &SpooledFile) -> u64 {
        self.shipped.get(&file.path).copied().unwrap_or(0)
    }

    /// Ships every file that grew, and deletes those of past days once they are whole in the store.
    async fn ship(
        &mut self,
        blobs: &Blobs,
        service: &ServiceId,
        spool: &Path,
        today: jiff::civil::Date,
    ) -> Result<(), BlobError> {
        let local = |error: std::io::Error| BlobError::Unavailable {
            doing: format!("reading {}", spool.display()),
            cause: error.to_string(),
        };
        for file in spooled_files(spool).map_err(local)? {
            if self.shipped(&file) < file.size_bytes {
                let lines = file.read_whole_lines().map_err(local)?;
                let length = lines.len() as u64;
                blobs.put_audit_log(service, &file.name.to_string(), Bytes::from(lines)).await?;
                self.shipped.insert(file.path.clone(), length);
            }
            if file.name.day < today && self.shipped(&file) >= file.size_bytes {
                std::fs::remove_file(&file.path).map_err(local)?;
                self.shipped.remove(&file.path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[tokio::test]
    async fn files_are_shipped_whole_when_they_grow_and_past_days_leave_the_spool() {
        let folder = tempfile::tempdir().unwrap();
        let [spool, store] = ["spool", "store"].map(|name| folder.path().join(name));
        std::fs::create_dir(&spool).unwrap();
        let blobs = Blobs::open_folder(&store).unwrap();
        let service = ServiceId::parse("1-WebServices-1").unwrap();
        let name = "RequestHandlerAuditLog_node1_20090306.log";
        let mut shipper = Shipper::default();
        let today = date(2009, 3, 6);
        for text in ["one\r\n", "one\r\ntwo\r\n"] {
            std::fs::write(spool.join(name), text).unwrap();
            assert!(shipper.waiting_bytes(&spool) > 0);
            shipper.ship(&blobs, &service, &spool, today).await.unwrap();
            assert_eq!(shipper.waiting_bytes(&spool), 0);
            assert_eq!(blobs.audit_log(&service, name).await.unwrap(), text);
        }
        assert!(spool.join(name).exists());
        shipper.ship(&blobs, &service, &spool, today.tomorrow().unwrap()).await.unwrap();
        assert!(!spool.join(name).exists());
        assert_eq!(blobs.audit_log(&service, name).await.unwrap(), "one\r\ntwo\r\n");
    }
}
