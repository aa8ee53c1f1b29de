//! A cabinet of stored, MSZIP and LZX folders, read back; then changed, with its checksums mended, and read again.

#![no_main]

use fuzz::built::Built;
use fuzz::oracle::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|built: Built| {
    let result = read(&built.bytes());
    if built.is_honest() {
        let files = result.expect("a cabinet that is as it was built is read");
        assert!(files == built.files(), "a cabinet is read as it was built");
    }
});
