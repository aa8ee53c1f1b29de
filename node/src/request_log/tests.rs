//! The handle and the writer together: nothing waits, nothing is lost unseen, and a disk that refuses is waited for.

use super::*;
use crate::audit_log::{AuditLimits, open, spooled_files};
use crate::decide::world::World;
use crate::update::tests::Bench;
use schema::audit::AuditRecord;
use std::path::PathBuf;
use std::time::Instant;

fn record(user: &str) -> AuditRecord {
    record_at("2009-03-06T17:07:20Z", user)
}

/// A record that says little but when, and who.
pub(super) fn record_at(logged_at: &str, user: &str) -> AuditRecord {
    AuditRecord {
        logged_at: logged_at.parse().unwrap(),
        user: user.into(),
        host: "10.1.1.123".parse().unwrap(),
        device_type: "UCPhone".into(),
        request_date_time: None,
        mac: String::new(),
        serial: String::new(),
        vendor: String::new(),
        model: String::new(),
        revision: String::new(),
        locale: String::new(),
        requested: vec![],
        offered: vec![],
    }
}

fn spool(bench: &Bench) -> PathBuf {
    bench.folder.path().join("audit")
}

/// The users of all lines, file by file.
fn users(spool: &Path) -> Vec<Vec<String>> {
    let users = |file: &SpooledFile| {
        let text = std::fs::read_to_string(&file.path).unwrap();
        text.lines().filter_map(|line| AuditRecord::parse(line).ok()).map(|record| record.user).collect()
    };
    spooled_files(spool).unwrap_or_default().iter().map(users).collect()
}

#[tokio::test]
async fn records_past_the_buffer_are_dropped_and_counted() {
    let bench = Bench::new(None);
    for _ in 0..AuditLimits::default().most_lines + 3 {
        bench.plane.audit_log.record(record("a"));
    }
    assert_eq!(bench.plane.audit_log.dropped(), 3);
}

/// A phone may say what it likes in 64 KiB, thousands of times a second, while the disk stands still.
#[tokio::test]
async fn long_records_are_bounded_by_their_bytes_and_what_is_written_makes_room() {
    let bench = Bench::new(None);
    let long = "x".repeat(60_000);
    let fit = 3;
    let limits = AuditLimits { most_bytes: fit * record(&long).size_bytes(), ..AuditLimits::default() };
    let (log, writer) = open(&spool(&bench), NodeName::parse("node1").unwrap(), limits).unwrap();
    for _ in 0..fit + 2 {
        log.record(record(&long));
    }
    assert_eq!(log.dropped(), 2);
    let (plane, stop) = (Arc::clone(&bench.plane), CancellationToken::new());
    let writing = tokio::spawn(writer.run(Arc::clone(&plane), stop.clone()));
    let start = Instant::now();
    while log.buffer.bytes.load(Ordering::Relaxed) > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "what is written still counts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log.record(record(&long));
    assert_eq!(log.dropped(), 2);
    stop.cancel();
    writing.await.unwrap();
    let text = plane.metrics.text();
    for line in
        ["audit_lines_dropped_total 2", "audit_buffer_lines 0", &format!("audit_lines_written_total {}", fit + 1)]
    {
        assert!(text.contains(&format!("ucupdates_{line}\n")), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_line_is_on_disk_within_a_second() {
    let bench = Bench::new(None);
    let (spool, stop) = (spool(&bench), CancellationToken::new());
    let writing = tokio::spawn(bench.writer.run(Arc::clone(&bench.plane), stop.clone()));
    for user in ["a", "b"] {
        let start = Instant::now();
        bench.plane.audit_log.record(record(user));
        while users(&spool).concat().last().is_none_or(|last| last != user) {
            assert!(start.elapsed() < Duration::from_secs(1), "{user} is not on disk");
            tokio::task::yield_now().await;
        }
    }
    stop.cancel();
    writing.await.unwrap();
}

#[tokio::test]
async fn a_stop_writes_what_waits() {
    let bench = Bench::new(None);
    let (spool, stop) = (spool(&bench), CancellationToken::new());
    let names: Vec<String> = (0..2 * BATCH_RECORDS + 1).map(|index| index.to_string()).collect();
    names.iter().for_each(|name| bench.plane.audit_log.record(record(name)));
    stop.cancel();
    bench.writer.run(Arc::clone(&bench.plane), stop).await;
    assert_eq!(users(&spool).concat(), names);
}

#[tokio::test]
async fn files_are_as_large_as_the_configuration_says() {
    let bench = Bench::new(Some(&World::new().max_log_file_size(4096)));
    let (spool, stop) = (spool(&bench), CancellationToken::new());
    let long = "x".repeat(4096);
    let mut writer = bench.writer;
    for user in [long.as_str(), "b", "c"] {
        writer.write(vec![record(user)], &bench.plane, &stop).await;
    }
    assert_eq!(users(&spool), [vec![long], vec!["b".to_owned(), "c".to_owned()]]);
}

#[tokio::test]
async fn a_disk_that_refuses_is_waited_for_and_no_line_is_lost() {
    let bench = Bench::new(None);
    let (spool, stop) = (spool(&bench), CancellationToken::new());
    std::fs::remove_dir(&spool).unwrap();
    std::fs::write(&spool, "in the way").unwrap();
    let mut writer = bench.writer;
    let mut writing = Box::pin(writer.write(vec![record("a"), record("b")], &bench.plane, &stop));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut writing).await;
    assert!(early.is_err(), "the writer gave up");
    let told = bench.plane.metrics.faults.sentences();
    assert!(told.len() == 1 && told[0].contains(&spool.display().to_string()), "{told:?}");
    std::fs::remove_file(&spool).unwrap();
    std::fs::create_dir(&spool).unwrap();
    writing.await;
    assert_eq!(bench.plane.metrics.faults.sentences(), Vec::<String>::new());
    writer.write(vec![record("c")], &bench.plane, &stop).await;
    assert_eq!(users(&spool), [["a", "b", "c"]]);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_disk_that_refuses() {
    let bench = Bench::new(None);
    let (spool, stop) = (spool(&bench), CancellationToken::new());
    std::fs::remove_dir(&spool).unwrap();
    bench.plane.audit_log.record(record("a"));
    stop.cancel();
    bench.writer.run(Arc::clone(&bench.plane), stop).await;
    assert!(!spool.exists());
}
