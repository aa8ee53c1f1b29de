//! Every field of every header says something else.

use super::{Expected, Maker};
use std::collections::BTreeSet;
use tests::cab::{Cab, Field};
use tests::repair::repair_checksums;

/// Each field with each value that is likely to matter; checksums as they were, and where they cover the field also
/// mended.
pub(super) fn each(maker: &mut Maker<'_>) {
    for field in maker.base.cab.fields() {
        for value in values(maker, field) {
            let cab = maker.base.cab.clone().with(field, value);
            let name = format!("{field:?} = {value:#x}");
            let expected = expected(&maker.base.cab, field);
            if matches!(field, Field::BlockPacked(..) | Field::BlockUnpacked(..) | Field::FolderBlocks(..)) {
                let mut mended = cab.bytes.clone();
                repair_checksums(&mut mended);
                maker.add("field, mended", &name, mended, expected);
            }
            maker.add("field", name, cab.bytes, expected);
        }
    }
}

/// Zero, one, all bits, one more, one less, the bytes swapped, each bit, what the same field of the neighbours says, and
/// some at random.
fn values(maker: &mut Maker<'_>, field: Field) -> BTreeSet<u32> {
    let cab = &maker.base.cab;
    let (value, width) = (cab.get(field), cab.width(field));
    let most = u32::MAX >> (32 - 8 * u32::try_from(width).unwrap());
    let swapped = value.swap_bytes() >> (32 - 8 * u32::try_from(width).unwrap());
    let mut values = BTreeSet::from([0, 1, most, most - 1, value.wrapping_add(1), value.wrapping_sub(1), swapped]);
    values.extend((0..8 * width).step_by(3).map(|bit| value ^ 1 << bit));
    let alike = |other: &Field| std::mem::discriminant(other) == std::mem::discriminant(&field);
    values.extend(cab.fields().iter().filter(|other| alike(other)).map(|other| cab.get(*other)));
    values.extend([maker.random.word(), maker.random.word() >> 24]);
    values.into_iter().map(|changed| changed & most).filter(|changed| *changed != value).collect()
}

/// Fields that say nothing of the content must not change it.
fn expected(cab: &Cab, field: Field) -> Expected {
    match field {
        Field::SetId | Field::SetIndex | Field::FileDate(_) | Field::FileTime(_) | Field::FileAttributes(_) => {
            Expected::Same
        }
        Field::Signature | Field::Reserved1 | Field::Reserved2 | Field::Reserved3 | Field::Version => Expected::Refused,
        Field::BlockChecksum(..) if cab.get(field) != 0 => Expected::Any,
        _ => Expected::Any,
    }
}

/// Two fields at once, and checksums mended.
pub(super) fn pairs(maker: &mut Maker<'_>) {
    let fields = maker.base.cab.fields();
    for _ in 0..250 {
        let mut cab = maker.base.cab.clone();
        let mut name = Vec::new();
        for _ in 0..2 {
            let field = fields[maker.random.below(fields.len())];
            let values: Vec<u32> = values(maker, field).into_iter().collect();
            let value = values[maker.random.below(values.len())];
            cab.set(field, value);
            name.push(format!("{field:?} = {value:#x}"));
        }
        repair_checksums(&mut cab.bytes);
        maker.add("two fields", name.join(" and "), cab.bytes, Expected::Any);
    }
}

/// All flags, with reserved fields of every size, whether they are there or not.
pub(super) fn flags(maker: &mut Maker<'_>) {
    for flags in 0..8 {
        for sizes in [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 255, 255], [255, 255, 255, 255]] {
            let mut cab = maker.base.cab.clone().with(Field::Flags, flags);
            cab.bytes[36..40].copy_from_slice(&sizes);
            repair_checksums(&mut cab.bytes);
            let expected = if flags & 3 != 0 { Expected::Refused } else { Expected::Any };
            maker.add("flags", format!("{flags} with {sizes:?}"), cab.bytes, expected);
        }
    }
}
