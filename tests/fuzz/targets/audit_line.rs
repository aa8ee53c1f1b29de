//! Any text as a line of the request audit log: what is read is written so that it is read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::audit::AuditRecord;

fuzz_target!(|text: &str| {
    let Ok(record) = AuditRecord::parse(text) else { return };
    let line = record.line();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let again = AuditRecord::parse(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!(again.line(), line);
    assert_eq!(
        (again.logged_at, again.host, again.request_date_time),
        (record.logged_at, record.host, record.request_date_time)
    );
    assert_eq!((again.requested.len(), again.offered.len()), (record.requested.len(), record.offered.len()));
});
