//! A broken cabinet inside a whole one, and inside a program.

use super::{Expected, Maker};
use crate::packages::varied;
use tests::cab::{CabBuilder, Packing};
use tests::repair::repair_checksums;

pub(super) fn nested_and_in_programs(maker: &mut Maker<'_>) {
    let whole = maker.base.cab.bytes.clone();
    maker.add("nested", "whole", nested(&whole), Expected::Same);
    maker.add("in a program", "whole", program(&whole), Expected::Same);
    maker.add("in a program", "whole and nested", program(&nested(&whole)), Expected::Same);
    // A place that looks like a header, before the one that counts.
    for length in [4, 20, 35, 36, 60, whole.len() - 1] {
        let decoy = [&whole[..length], &whole].concat();
        maker.add("in a program", format!("behind {length} bytes of itself"), program(&decoy), Expected::Any);
    }
    for _ in 0..400 {
        let (name, bytes) = broken(maker, &whole);
        maker.add("nested", &name, nested(&bytes), Expected::Any);
        maker.add("in a program", &name, program(&bytes), Expected::Any);
    }
    // The wrapping broken too.
    for (kind, wrapped) in [("nested", nested(&whole)), ("in a program", program(&nested(&whole)))] {
        for _ in 0..200 {
            let (name, bytes) = broken(maker, &wrapped);
            maker.add(kind, format!("the whole of it, {name}"), bytes, Expected::Any);
        }
    }
}

/// Some bytes anywhere, or a cut; checksums mended.
fn broken(maker: &mut Maker<'_>, whole: &[u8]) -> (String, Vec<u8>) {
    let random = &mut maker.random;
    let mut bytes = whole.to_vec();
    let mut name = Vec::new();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        bytes[at] = random.byte();
        name.push(format!("{at} = {:#x}", bytes[at]));
    }
    if random.below(8) == 0 {
        let end = random.below(bytes.len());
        bytes.truncate(end);
        name.push(format!("cut off at {end}"));
    }
    let start = bytes.windows(4).position(|window| window == b"MSCF").unwrap_or_default();
    repair_checksums(&mut bytes[start..]);
    (name.join(", "), bytes)
}

fn nested(cabinet: &[u8]) -> Vec<u8> {
    let outer = CabBuilder::new().folder(Packing::MsZip).file("UCUpdates.cab", cabinet);
    outer.file("eula.txt", b"read me").build().bytes
}

/// What a self-extracting program looks like to who searches it: code, the signature as a number in it, the cabinet, and
/// what follows.
fn program(cabinet: &[u8]) -> Vec<u8> {
    [b"MZ".as_slice(), &varied(6, 200), b"MSCF", &varied(7, 100), cabinet, &varied(8, 50)].concat()
}
