//! What the fuzz targets share: cabinets built from a fuzzer's bytes, and what must be true of everything that is read.
//! The builders are the test harness's own files: the harness itself would bring the whole service into every target.

#[path = "../../src/cab.rs"]
pub mod cab;
#[path = "../../src/lzx.rs"]
pub mod lzx;
#[path = "../../src/repair.rs"]
pub mod repair;

pub mod built;
pub mod oracle;
