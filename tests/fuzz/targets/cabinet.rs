//! Any bytes as a cabinet: as they are, and once more with their checksums mended.

#![no_main]

use fuzz::oracle::read;
use fuzz::repair::repair_checksums;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes);
    let mut mended = bytes.to_vec();
    repair_checksums(&mut mended);
    let _ = read(&mended);
});
