//! The spool as a crash, a full disk and a restart leave it.

use super::*;
use crate::audit_log::spooled_files;
use crate::request_log::tests::record_at as record;
use schema::audit::HEADER;

const LIMITS: SpoolLimits = SpoolLimits { most_bytes: 1 << 30 };

fn spool(folder: &Path) -> Spool {
    Spool::open(Kind::Audit, folder, NodeName::parse("node1").unwrap(), LIMITS).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    spooled_files(folder).unwrap().iter().map(|file| file.name.to_string()).collect()
}

#[test]
fn every_file_starts_with_the_header_and_belongs_to_one_day() {
    let folder = tempfile::tempdir().unwrap();
    let records = [record("2009-03-06T23:59:59Z", "a"), record("2009-03-07T00:00:00Z", "b")];
    spool(folder.path()).write(&records, 1_024_000).unwrap();
    let expected = ["RequestHandlerAuditLog_node1_20090306.log", "RequestHandlerAuditLog_node1_20090307.log"];
    assert_eq!(names(folder.path()), expected);
    for (file, record) in expected.iter().zip(&records) {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(text, format!("{HEADER}\r\n{}\r\n", record.line()));
    }
}

#[test]
fn a_full_file_is_followed_by_the_next_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let batch = [record("2009-03-06T10:00:00Z", &"u".repeat(3000))];
    for _ in 0..5 {
        // A spool of its own each time: a restart.
        spool(folder.path()).write(&batch, 4096).unwrap();
    }
    let expected =
        ["20090306", "20090306_1", "20090306_2"].map(|day| format!("RequestHandlerAuditLog_node1_{day}.log"));
    assert_eq!(names(folder.path()), expected);
    let lines = |name: &String| std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
    assert_eq!(expected.iter().map(lines).collect::<Vec<_>>(), [3, 3, 2]);
}

#[test]
fn a_torn_last_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("RequestHandlerAuditLog_node1_20090306.log");
    let whole = format!("{HEADER}\r\nwhole\r\n");
    for (before, kept) in [(format!("{whole}torn"), whole.as_str()), ("Logging Da".to_owned(), "")] {
        std::fs::write(&path, before).unwrap();
        let record = record("2009-03-06T10:00:00Z", "a");
        spool(folder.path()).write(std::slice::from_ref(&record), 1_024_000).unwrap();
        let kept = if kept.is_empty() { format!("{HEADER}\r\n") } else { kept.to_owned() };
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}{}\r\n", record.line()));
    }
}

#[test]
fn lines_are_never_written_to_a_file_that_was_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    let record = record("2009-03-06T10:00:00Z", "a");
    let path = folder.path().join("RequestHandlerAuditLog_node1_20090306.log");
    for _ in 0..2 {
        spool.write(std::slice::from_ref(&record), 1_024_000).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{HEADER}\r\n{}\r\n", record.line()));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn only_whole_lines_are_read_for_shipping() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("RequestHandlerAuditLog_node1_20090306.log"), "one\r\ntw").unwrap();
    std::fs::write(folder.path().join("other.log"), "x").unwrap();
    let files = spooled_files(folder.path()).unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].read_whole_lines().unwrap(), b"one\r\n");
}

/// A restart after midnight never writes to the file of the day before again.
#[test]
fn every_torn_file_is_mended_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let whole = format!("{HEADER}\r\nwhole\r\n");
    let cases = [
        ("20090301", format!("{whole}torn"), Some(whole.clone())),
        ("20090302", whole.clone(), Some(whole.clone())),
        ("20090303", format!("{whole}\0\0\0\0\r\nlater\r\n"), Some(whole.clone())),
        ("20090304", "Logging Da".to_owned(), None),
        ("20090305", String::new(), None),
    ];
    let path = |day: &str| folder.path().join(format!("RequestHandlerAuditLog_node1_{day}.log"));
    for (day, before, _) in &cases {
        std::fs::write(path(day), before).unwrap();
    }
    spool(folder.path());
    for (day, _, after) in cases {
        assert_eq!(std::fs::read_to_string(path(day)).ok(), after, "{day}");
    }
}

#[test]
fn what_was_written_before_a_failure_is_said_so_that_it_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    let records = [record("2009-03-06T23:59:59Z", "a"), record("2009-03-07T00:00:00Z", "b")];
    // A folder stands where the file of the second day belongs.
    let in_the_way = folder.path().join("RequestHandlerAuditLog_node1_20090307.log");
    std::fs::create_dir(&in_the_way).unwrap();
    let stopped = spool.write(&records, 1_024_000).unwrap_err();
    assert_eq!(stopped.written, 1);
    std::fs::remove_dir(&in_the_way).unwrap();
    spool.write(&records[stopped.written..], 1_024_000).unwrap();
    for (file, record) in spool.files().unwrap().iter().zip(&records) {
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), format!("{HEADER}\r\n{}\r\n", record.line()));
    }
}

#[test]
fn the_spool_keeps_to_its_limits_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let record = record("2009-03-06T10:00:00Z", "a");
    let open = |most_bytes| {
        let limits = SpoolLimits { most_bytes };
        Spool::open(Kind::Audit, folder.path(), NodeName::parse("node1").unwrap(), limits).unwrap()
    };
    let limited = open(300);
    limited.write(std::slice::from_ref(&record), 1_024_000).unwrap();
    let refused = limited.write(std::slice::from_ref(&record), 1_024_000).unwrap_err().reason.to_string();
    assert!(refused.contains("300 bytes (most_spool_bytes"), "{refused}");
    assert_eq!(limited.files().unwrap().len(), 1);
}

/// Files that are in the store leave the spool whole: one that were as long as the budget never could.
#[test]
fn a_file_ends_at_a_quarter_of_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let limits = SpoolLimits { most_bytes: 40_000 };
    let spool = Spool::open(Kind::Audit, folder.path(), NodeName::parse("node1").unwrap(), limits).unwrap();
    let batch = [record("2009-03-06T10:00:00Z", &"u".repeat(3000))];
    for _ in 0..9 {
        spool.write(&batch, u64::MAX).unwrap();
    }
    let files = spool.files().unwrap();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.size_bytes < 14_000), "{files:?}");
}

/// A file is deleted when all of it is in the store; a line may have come since it was looked at.
#[test]
fn a_file_that_has_grown_is_not_deleted_and_no_line_goes_into_one_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    let record = record("2009-03-06T10:00:00Z", "a");
    spool.write(std::slice::from_ref(&record), 1_024_000).unwrap();
    let listed = spool.files().unwrap().remove(0);
    spool.write(std::slice::from_ref(&record), 1_024_000).unwrap();
    assert!(!spool.delete(&listed).unwrap());
    let listed = spool.files().unwrap().remove(0);
    assert!(spool.delete(&listed).unwrap());
    spool.write(std::slice::from_ref(&record), 1_024_000).unwrap();
    assert_eq!(
        spool.read(&spool.files().unwrap()[0]).unwrap(),
        format!("{HEADER}\r\n{}\r\n", record.line()).as_bytes()
    );
}

#[test]
fn an_access_file_says_where_each_process_began_and_is_one_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let record = |at: &str, fields: &str| schema::access::AccessRecord {
        at: at.parse().unwrap(),
        fields: fields.into(),
        win32_status: 0,
        took_ms: 7,
    };
    for start in ["10:00:00", "11:00:00"] {
        let spool = Spool::open(Kind::Access, folder.path(), NodeName::parse("node1").unwrap(), LIMITS).unwrap();
        for fields in ["a", "b"] {
            // MaxLogFileSize is not about these.
            spool.write(&[record(&format!("2009-03-06T{start}Z"), fields)], Kind::Access.file_bytes(1)).unwrap();
        }
    }
    let text = std::fs::read_to_string(folder.path().join("u_ex090306.log")).unwrap();
    let lines: Vec<&str> = text.split("\r\n").filter(|line| !line.starts_with("#Fields: ")).collect();
    let software = concat!("#Software: ucupdates ", env!("CARGO_PKG_VERSION"));
    let block = |time| [software.into(), "#Version: 1.0".into(), format!("#Date: 2009-03-06 {time}")];
    let lines_at = |time| ["a", "b"].map(|fields| format!("2009-03-06 {time} {fields} 0 7"));
    let expected: Vec<String> = ["10:00:00", "11:00:00"]
        .into_iter()
        .flat_map(|time| block(time).into_iter().chain(lines_at(time)).collect::<Vec<_>>())
        .chain([String::new()])
        .collect();
    assert_eq!(lines, expected);
    let files = super::spooled_files(Kind::Access, folder.path()).unwrap();
    assert_eq!(files.len(), 1);
}
