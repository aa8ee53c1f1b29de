//! Deletes old logs: when an administrator asks (row F04), and every day at LogCleanUpTimeOfDay (rows G01 to G03).
//! Log files only; update files are cleared by hand.

use crate::api::types::packages::ClearReport;
use crate::plane::PhonePlane;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schema::access::AccessFileName;
use schema::audit::AuditFileName;
use schema::settings::DeviceUpdateConfiguration;
use schema::store::DryRun;
use schema::topology::ServiceId;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs, StoredFile};
use tokio_util::sync::CancellationToken;

/// How often the clean-up looks at the clock.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Deletes all logs of the pool that are older than `before`, or lists them.
pub async fn clear_logs(
    blobs: &Blobs,
    service: &ServiceId,
    before: Timestamp,
    dry_run: DryRun,
) -> Result<ClearReport, BlobError> {
    let mut report = ClearReport { dry_run: dry_run == DryRun::Yes, files: Vec::new(), size_bytes: 0 };
    for file in blobs.logs(service).await? {
        if written_last(&file) >= before {
            continue;
        }
        if dry_run == DryRun::No {
            blobs.delete_log(service, &file).await?;
        }
        report.size_bytes += file.size_bytes;
        report.files.push(file.path);
    }
    Ok(report)
}

/// An audit or access file is as old as the end of the day in its name: copying a store must not make it young again.
fn written_last(file: &StoredFile) -> Timestamp {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let audit = AuditFileName::parse(name).map(|name| name.day);
    let day = audit.or_else(|_| AccessFileName::parse(name).map(|name| name.day));
    let day = day.ok().and_then(|day| day.tomorrow().ok());
    let end = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
    end.unwrap_or(file.modified)
}

/// When the clean-up that is due next runs: the first time of day of the configuration after `after`.
fn next_clean_up(configuration: &DeviceUpdateConfiguration, after: Timestamp) -> Timestamp {
    let zoned = after.to_zoned(TimeZone::UTC);
    let today = zoned.date().to_datetime(configuration.clean_up_time()).to_zoned(TimeZone::UTC);
    match today {
        Ok(today) if today.timestamp() > after => today.timestamp(),
        Ok(today) => today.checked_add(Span::new().days(1)).map_or(Timestamp::MAX, |next| next.timestamp()),
        Err(_) => Timestamp::MAX,
    }
}

/// Runs the daily clean-up until `stop`. Cancellation may interrupt between two files; the next run goes on.
pub async fn run(plane: Arc<PhonePlane>, blobs: Blobs, stop: CancellationToken) {
    let mut last = plane.clock.now();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let Some(snapshot) = plane.snapshot.load_full() else { continue };
        let (configuration, pool) = (snapshot.rules.configuration(), snapshot.rules.pool());
        let now = plane.clock.now();
        if next_clean_up(configuration, last) > now {
            continue;
        }
        last = now;
        let before = now - configuration.log_clean_up_interval;
        let clearing = clear_logs(&blobs, &pool.service_id, before, DryRun::No);
        let Some(cleared) = stop.run_until_cancelled(clearing).await else { return };
        match cleared {
            Ok(report) => {
                plane.metrics.upkeep.cleaned_up(report.files.len(), report.size_bytes);
                tracing::info!(files = report.files.len(), size_bytes = report.size_bytes, "old logs were deleted");
            }
            Err(error) => {
                plane.metrics.upkeep.clean_up_failed();
                tracing::warn!(%error, "old logs could not be deleted; the next try is tomorrow");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn logs_are_cleaned_up_once_a_day_at_the_time_set() {
        let mut configuration = DeviceUpdateConfiguration::default();
        assert_eq!(next_clean_up(&configuration, at("2009-03-06T01:59:59Z")), at("2009-03-06T02:00:00Z"));
        assert_eq!(next_clean_up(&configuration, at("2009-03-06T02:00:00Z")), at("2009-03-07T02:00:00Z"));
        configuration.log_clean_up_time_of_day = Some(jiff::civil::time(23, 30, 0, 0));
        assert_eq!(next_clean_up(&configuration, at("2009-03-06T02:00:00Z")), at("2009-03-06T23:30:00Z"));
    }

    #[tokio::test]
    async fn logs_go_by_the_day_in_their_name_and_a_dry_run_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let node = schema::topology::NodeName::parse("node1").unwrap();
        let blobs = Blobs::open_folder(folder.path(), &node).unwrap();
        let service = ServiceId::parse("1-WebServices-1").unwrap();
        for name in ["RequestHandlerAuditLog_node1_20090301.log", "RequestHandlerAuditLog_node1_20090305_1.log"] {
            blobs.put_audit_log(&service, name, "line".into()).await.unwrap();
        }
        for name in ["u_ex090301.log", "u_ex090305.log"] {
            blobs.put_access_log(&service, &node, name, "line".into()).await.unwrap();
        }
        let before = at("2009-03-03T00:00:00Z");
        for dry_run in [DryRun::Yes, DryRun::No] {
            let report = clear_logs(&blobs, &service, before, dry_run).await.unwrap();
            let mut files = report.files;
            files.sort();
            let expected = ["Access/node1/u_ex090301.log", "ImageUpdates/RequestHandlerAuditLog_node1_20090301.log"];
            assert!(files.len() == 2 && files.iter().zip(expected).all(|(file, end)| file.ends_with(end)), "{files:?}");
        }
        assert_eq!(blobs.logs(&service).await.unwrap().len(), 2);
    }
}
