//! Any bytes as a snapshot on a disk: as they are, and once more behind a first line with their own digest. What is
//! read is written so that it is read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use node::snapshot::file::{parse, render, sealed};

fuzz_target!(|bytes: &[u8]| {
    let refused = |text: String| assert!(!text.is_empty() && !text.contains('\n') && text.len() < 2_000, "{text}");
    if let Err(error) = parse(bytes) {
        refused(error.to_string());
    }
    match parse(&sealed(bytes)) {
        Ok(snapshot) => {
            let written = render(snapshot.taken_at, &snapshot.rules).expect("what was read is within the limits");
            let again = parse(&written).expect("what was written is read");
            assert_eq!(again.taken_at, snapshot.taken_at);
            assert_eq!(render(again.taken_at, &again.rules).expect("likewise"), written);
        }
        Err(error) => refused(error.to_string()),
    }
});
