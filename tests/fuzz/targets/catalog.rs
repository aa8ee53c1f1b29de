//! Any bytes as a security catalog.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sync::catalog::{DIGEST_LIMIT, read};

fuzz_target!(|bytes: &[u8]| {
    let Some(digests) = read(bytes) else { return };
    assert!(digests.len() <= DIGEST_LIMIT);
    for digest in digests {
        assert!(digest.value.len() <= 64);
        assert!(digest.algorithm.split('.').count() >= 2 && digest.algorithm.len() < 200, "{}", digest.algorithm);
    }
});
