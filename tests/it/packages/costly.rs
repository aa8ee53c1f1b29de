//! Packages that are valid and made to be dear: many of everything, as small as the format allows. Each is read within
//! two seconds and 64 MiB, or refused.

use super::mutations::{MOST_BYTES, MOST_MS};
use super::reader::HostileReader;
use tests::cab::{CabBuilder, Field, Packing};
use tests::hostile::{Became, Way};
use tests::lzx::{Block, Lzx};

fn lzx(window_bits: u32, block_bytes: usize) -> Packing {
    Packing::Lzx(Lzx { window_bits, blocks: vec![Block::Aligned], block_bytes, translation_size: None })
}

#[track_caller]
fn check(name: &str, way: Way, bytes: &[u8]) {
    let mut reader = HostileReader::start();
    let outcome = reader.read(way, bytes);
    println!(
        "{name}: a package of {} bytes cost {} KiB and {} ms",
        bytes.len(),
        outcome.peak_bytes >> 10,
        outcome.cpu_ms
    );
    assert!(matches!(outcome.became, Became::Read(_)), "{name}: {:?}", outcome.became);
    assert!(outcome.peak_bytes <= MOST_BYTES, "{name}: {} bytes", outcome.peak_bytes);
    assert!(outcome.cpu_ms <= MOST_MS, "{name}: {} ms", outcome.cpu_ms);
    reader.end(MOST_BYTES + (8 << 20));
}

/// As many files as are taken, each with the longest name.
#[test]
fn as_many_files_as_are_allowed_with_the_longest_names_are_cheap() {
    let builder = CabBuilder::new().folder(Packing::MsZip).file("CPE.nbt", b"an image");
    let named = |builder: CabBuilder, number: usize| builder.file(&format!("{number:0>250}.txt"), b"");
    check("files, as a cabinet", Way::Cabinet, &(1..25_000).fold(builder, named).build().bytes);
}

/// Here the file system costs more than we do.
#[test]
fn many_files_in_a_package_are_cheap() {
    let builder = CabBuilder::new().folder(Packing::MsZip).file("OCInterim\\ENU\\CPE.nbt", b"an image");
    let numbered = |builder: CabBuilder, number: usize| builder.file(&format!("{number}.txt"), b"");
    check("files, as a package", Way::Package, &(1..5_000).fold(builder, numbered).build().bytes);
}

/// A folder has a window of up to 2 MiB.
#[test]
fn as_many_folders_as_are_allowed_are_cheap() {
    let folder = |builder: CabBuilder, number: usize| builder.folder(lzx(21, 1 << 15)).file(&format!("{number}"), b"x");
    check("folders", Way::Cabinet, &(0..4_096).fold(CabBuilder::new(), folder).build().bytes);
}

/// Each block of LZX brings trees of its own, and may have one byte.
#[test]
fn trees_for_every_byte_are_cheap() {
    let bytes = super::varied(1, 65_536);
    let cab = CabBuilder::new().folder(lzx(15, 64)).file("a", &bytes).build();
    assert!(cab.get(Field::BlockPacked(0, 0)) > 30_000, "it is trees for the most part");
    check("trees", Way::Cabinet, &cab.bytes);
}
