//! Any bytes as a package file, on a disk: a cabinet, a program with one inside, a cabinet in a cabinet; checksums of the
//! outermost are mended.

#![no_main]

use fuzz::oracle::limits;
use fuzz::repair::repair_checksums;
use libfuzzer_sys::fuzz_target;
use std::fs;
use sync::package::unpack;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    let start = bytes.windows(4).position(|window| window == b"MSCF").unwrap_or_default();
    repair_checksums(&mut bytes[start..]);
    let folder = tempfile::tempdir_in("/dev/shm").expect("there is memory");
    let (source, staging) = (folder.path().join("package"), folder.path().join("staging"));
    fs::write(&source, &bytes).expect("there is memory");
    fs::create_dir(&staging).expect("there is memory");
    match unpack(&source, &staging, &limits()) {
        Ok(package) => {
            assert!(!package.updates.is_empty());
            for staged in &package.updates {
                assert_eq!(staged.update.files().len(), staged.sources.len());
                for (file, source) in staged.update.files().iter().zip(&staged.sources) {
                    assert_eq!(fs::metadata(source).expect("it is staged").len(), file.size_bytes);
                }
            }
        }
        Err(error) => {
            assert!(!error.is_failure(), "{error}");
            let text = error.to_string();
            let says_what = text.contains("expected") || text.contains(" is not valid: ");
            assert!(says_what && text.len() < 3_000, "{text}");
        }
    }
    for entry in fs::read_dir(folder.path()).expect("it is there") {
        let name = entry.expect("it is there").file_name();
        assert!(name == "package" || name == "staging", "{name:?} was written outside the staging folder");
    }
});
