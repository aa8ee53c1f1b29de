//! Bytes that are other bytes, that are too many, or that are not there.

use super::{Expected, Maker};
use tests::cab::Field;
use tests::repair::repair_checksums;

/// Cut off at every byte: as it is, and with a header that knows of it.
pub(super) fn truncated(maker: &mut Maker<'_>) {
    let whole = maker.base.cab.bytes.clone();
    for end in 0..whole.len() {
        maker.add("truncated", format!("at {end}"), whole[..end].to_vec(), Expected::Refused);
        let mut cab = maker.base.cab.clone();
        cab.set(Field::CabinetBytes, u32::try_from(end).unwrap());
        cab.bytes.truncate(end);
        maker.add("truncated", format!("at {end}, and says so"), cab.bytes, Expected::Refused);
    }
}

/// A byte more, or less, at every place; the header knows of it and the checksums are mended.
pub(super) fn inserted_and_removed(maker: &mut Maker<'_>) {
    let length = maker.base.cab.bytes.len();
    for at in 0..length {
        for (what, kind) in [("one more", "inserted"), ("one less", "removed"), ("twice", "inserted")] {
            let mut cab = maker.base.cab.clone();
            let said = if kind == "removed" { length - 1 } else { length + 1 };
            cab.set(Field::CabinetBytes, u32::try_from(said).unwrap());
            match what {
                "one more" => cab.bytes.insert(at, maker.random.byte()),
                "twice" => cab.bytes.insert(at, cab.bytes[at]),
                _ => drop(cab.bytes.remove(at)),
            }
            repair_checksums(&mut cab.bytes);
            maker.add(kind, format!("{what} at {at}"), cab.bytes, Expected::Any);
        }
    }
}

/// Packed data: one byte without mending the checksum, which must be noticed; then, mended, each bit of where streams
/// begin, and bytes anywhere, so that decompressors see them.
pub(super) fn packed(maker: &mut Maker<'_>) {
    let data: Vec<_> = maker.base.cab.blocks().collect();
    for (number, block) in data.iter().enumerate() {
        for at in block.clone().take(12) {
            for bit in 0..8 {
                let mut bytes = maker.base.cab.bytes.clone();
                bytes[at] ^= 1 << bit;
                let name = format!("bit {bit} of byte {} of block {number}", at - block.start);
                maker.add("checksum", &name, bytes.clone(), Expected::Refused);
                repair_checksums(&mut bytes);
                maker.add("packed", name, bytes, Expected::Any);
            }
        }
    }
    for _ in 0..350 {
        let block = data[maker.random.below(data.len())].clone();
        let mut bytes = maker.base.cab.bytes.clone();
        let mut name = Vec::new();
        for _ in 0..=maker.random.below(5) {
            let at = block.start + maker.random.below(block.len());
            bytes[at] = maker.random.byte();
            name.push(format!("{at} = {:#x}", bytes[at]));
        }
        repair_checksums(&mut bytes);
        maker.add("packed", format!("bytes {}", name.join(", ")), bytes, Expected::Any);
    }
}
