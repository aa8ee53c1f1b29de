//! What is in the store, what waits, and what leaves the spool.

use super::*;
use crate::audit_log::{AuditLimits, SpoolLimits, open};
use schema::audit::AuditRecord;
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
        Shipper::new(
            StoredLogs { blobs: self.blobs.clone(), service: self.service.clone(), node: node() },
            writer.spool(),
        )
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
