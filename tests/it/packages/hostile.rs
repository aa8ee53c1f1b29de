//! Cabinets that lie: each lie is refused by its name, none is unpacked, none panics, none takes long.

use super::{Files, read, varied};
use proptest::prelude::*;
use std::sync::LazyLock;
use sync::cabinet::{CabinetError, HostileName, Limits};
use tests::cab::{Cab, CabBuilder, Field, Packing};
use tests::lzx::{Block, Lzx};

/// Two folders; three files of 100, 40,000 and 1,000 bytes.
fn honest(packing: &Packing) -> Cab {
    let builder = CabBuilder::new().folder(packing.clone());
    let builder = builder.file("a.nbt", &varied(1, 100)).file("b.nbt", &varied(2, 40_000));
    builder.folder(Packing::Stored).file("c.cat", &varied(3, 1_000)).build()
}

fn refusal(bytes: &[u8], limits: &Limits) -> CabinetError {
    read(bytes, limits).expect_err("it lies")
}

/// Checks that the cabinet with one field changed is refused so.
macro_rules! check {
    ($field:expr, $value:expr, $refusal:pat) => {{
        let cab = honest(&Packing::MsZip).with($field, $value);
        let error = refusal(&cab.bytes, &Limits::default());
        assert!(matches!(error, $refusal), "{:?} = {}: {error}", $field, $value);
    }};
}

#[test]
fn each_lie_is_refused_by_name() {
    use CabinetError::{
        BadOffset, Checksum, Damaged, MultiCabinetSet, NotACabinet, Overlapping, Quantum, ShortData, Truncated,
        UnknownCompression,
    };
    assert_eq!(read(&honest(&Packing::MsZip).bytes, &Limits::default()).unwrap().len(), 3);
    check!(Field::Signature, 0x4643_534e, NotACabinet);
    check!(Field::Reserved1, 1, NotACabinet);
    check!(Field::Reserved2, 1, NotACabinet);
    check!(Field::Reserved3, 1, NotACabinet);
    check!(Field::Version, 0x0104, NotACabinet);
    check!(Field::CabinetBytes, u32::MAX, Truncated { .. });
    check!(Field::CabinetBytes, 35, Truncated { .. });
    check!(Field::CabinetBytes, 2_000, Truncated { .. });
    check!(Field::FilesOffset, 0, BadOffset { .. });
    check!(Field::FilesOffset, u32::MAX, Truncated { .. });
    check!(Field::Folders, 0, BadOffset { .. });
    check!(Field::Folders, 1, BadOffset { .. });
    check!(Field::Files, 4, Truncated { .. } | CabinetError::HostileName { .. } | BadOffset { .. });
    check!(Field::Flags, 1, MultiCabinetSet);
    check!(Field::Flags, 2, MultiCabinetSet);
    for continued in [0xfffd, 0xfffe, 0xffff] {
        check!(Field::FileFolder(0), continued, MultiCabinetSet);
    }
    check!(Field::FileFolder(0), 2, BadOffset { .. });
    check!(Field::FileFolder(1), 1, ShortData { .. });
    check!(Field::FolderData(0), 0, Overlapping { .. });
    check!(Field::FolderData(1), u32::MAX, Truncated { .. });
    check!(Field::FolderBlocks(0), 1, ShortData { .. });
    check!(Field::FolderBlocks(0), 0, ShortData { .. });
    check!(Field::FolderBlocks(1), 2, Truncated { .. });
    check!(Field::FolderPacking(0), 2, Quantum { folder: 0 });
    check!(Field::FolderPacking(0), 4, UnknownCompression { .. });
    check!(Field::FolderPacking(0), 3 | 14 << 8, UnknownCompression { .. });
    check!(Field::FolderPacking(0), 3 | 22 << 8, UnknownCompression { .. });
    check!(Field::FolderPacking(0), 0, Damaged { .. });
    check!(Field::FolderPacking(0), 3 | 15 << 8, Damaged { .. });
    check!(Field::FolderPacking(1), 1, Damaged { .. });
    check!(Field::FileOffset(0), 50, Overlapping { .. });
    check!(Field::FileOffset(1), 41_000, BadOffset { .. });
    check!(Field::FileOffset(1), u32::MAX, BadOffset { .. });
    check!(Field::FileBytes(1), 40_001, ShortData { .. });
    check!(Field::FileBytes(0), 101, Overlapping { .. });
    check!(Field::FileBytes(1), 1_000_000, ShortData { .. });
    check!(Field::BlockChecksum(0, 1), 1, Checksum { folder: 0, block: 1, expected: 1, .. });
    check!(Field::BlockUnpacked(0, 1), 0, MultiCabinetSet);
    check!(Field::BlockUnpacked(0, 0), 32_769, Damaged { .. });
    check!(Field::BlockUnpacked(0, 1), 8_000, Checksum { .. });
    check!(Field::BlockPacked(0, 0), 65_535, Truncated { .. });
}

#[test]
fn one_byte_that_changed_on_the_way_is_noticed() {
    let cab = honest(&Packing::MsZip);
    let mut bytes = cab.bytes.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(refusal(&bytes, &Limits::default()), CabinetError::Checksum { folder: 1, block: 0, .. }));
    // A checksum of zero is none; then the decompressor is what notices.
    let cab = cab.with(Field::BlockChecksum(0, 1), 0).with(Field::BlockUnpacked(0, 1), 7_400);
    assert!(matches!(refusal(&cab.bytes, &Limits::default()), CabinetError::Damaged { folder: 0, block: 1, .. }));
}

#[test]
fn hostile_and_equal_names_are_refused() {
    let named = |names: &[&[u8]]| {
        let folder = CabBuilder::new().folder(Packing::Stored);
        let cab = names.iter().fold(folder, |builder, name| builder.raw_file(name, 0x20, b"x")).build();
        refusal(&cab.bytes, &Limits::default())
    };
    let reason = |name: &[u8]| match named(&[name]) {
        CabinetError::HostileName { reason, .. } => reason,
        error => panic!("{error}"),
    };
    assert_eq!(reason(b"..\\..\\etc\\passwd"), HostileName::Dots);
    assert_eq!(reason(b"C:\\a"), HostileName::Drive);
    assert_eq!(reason(b"\\a"), HostileName::Absolute);
    assert_eq!(reason(b"a\\\\b"), HostileName::EmptySegment);
    assert_eq!(reason(b""), HostileName::EmptySegment);
    assert_eq!(reason(b"a\rb"), HostileName::Control);
    assert_eq!(reason(b"a\\nul.nbt"), HostileName::Device);
    assert_eq!(reason(&[b'a'; 300]), HostileName::TooLong { limit: 255 });
    assert_eq!(reason(&b"a\\".repeat(20)), HostileName::TooDeep { limit: 16 });
    for names in [[&b"a\\CPE.nbt"[..], b"A/cpe.NBT"], [b"a", b"a"]] {
        assert!(matches!(named(&names), CabinetError::DuplicateName { .. }));
    }
}

#[test]
fn every_limit_holds() {
    let cab = honest(&Packing::MsZip).bytes;
    let exact = Limits {
        entries: 3,
        folders: 2,
        file_bytes: 40_000,
        unpacked_bytes: 41_100,
        name_bytes: 5,
        path_depth: 1,
        ..Limits::default()
    };
    assert!(read(&cab, &exact).is_ok());
    assert!(matches!(refusal(&cab, &Limits { entries: 2, ..exact.clone() }), CabinetError::TooManyEntries { .. }));
    assert!(matches!(refusal(&cab, &Limits { folders: 1, ..exact.clone() }), CabinetError::TooManyFolders { .. }));
    let error = refusal(&cab, &Limits { file_bytes: 39_999, ..exact.clone() });
    assert!(matches!(error, CabinetError::FileTooLarge { .. }), "{error}");
    let error = refusal(&cab, &Limits { unpacked_bytes: 41_099, ..exact.clone() });
    assert!(matches!(error, CabinetError::TooMuchUnpacked { .. }), "{error}");
    assert!(matches!(refusal(&cab, &Limits { ratio: 1, ..exact.clone() }), CabinetError::RatioTooHigh { .. }));
    let error = refusal(&cab, &Limits { name_bytes: 4, ..exact.clone() });
    assert!(matches!(error, CabinetError::HostileName { reason: HostileName::TooLong { limit: 4 }, .. }), "{error}");
    let error = refusal(&cab, &Limits { path_depth: 0, ..exact });
    assert!(matches!(error, CabinetError::HostileName { reason: HostileName::TooDeep { limit: 0 }, .. }), "{error}");
}

#[test]
fn folders_that_share_their_data_are_refused() {
    let folders = |count: usize| {
        let bytes = varied(9, 30_000);
        let add = |builder: CabBuilder, n| builder.folder(Packing::Stored).file(&format!("{n}"), &bytes);
        (0..count).fold(CabBuilder::new(), add).build()
    };
    let cab = folders(2);
    let start = u32::from_le_bytes(cab.bytes[36..40].try_into().unwrap());
    let error = refusal(&cab.with(Field::FolderData(1), start).bytes, &Limits::default());
    assert!(matches!(error, CabinetError::Overlapping { .. }), "{error}");
}

#[test]
fn a_cabinet_that_is_cut_off_anywhere_is_refused() {
    for packing in all_packings() {
        let small =
            CabBuilder::new().folder(packing).file("a", &varied(4, 300)).file("b", b"").reserve(2, 1, 3).build();
        assert_eq!(read(&small.bytes, &Limits::default()).unwrap().len(), 2);
        for end in 0..small.bytes.len() {
            refusal(&small.bytes[..end], &Limits::default());
        }
    }
}

fn all_packings() -> [Packing; 3] {
    let lzx = Lzx {
        window_bits: 16,
        blocks: vec![Block::Verbatim, Block::Aligned, Block::Uncompressed],
        block_bytes: 7_001,
        translation_size: Some(50_000),
    };
    [Packing::Stored, Packing::MsZip, Packing::Lzx(lzx)]
}

/// Encoding takes longer than reading.
static HONEST: LazyLock<[Cab; 3]> = LazyLock::new(|| all_packings().map(|packing| honest(&packing)));

/// Reads it with no checksums, so that what was changed reaches the decompressors; they must not write what a limit
/// does not allow.
fn survive(mut cab: Cab) -> Result<Files, CabinetError> {
    for field in cab.fields() {
        if matches!(field, Field::BlockChecksum(..)) {
            cab.set(field, 0);
        }
    }
    let limits = Limits { unpacked_bytes: 1_000_000, ..Limits::default() };
    let files = read(&cab.bytes, &limits)?;
    assert!(files.values().map(Vec::len).sum::<usize>() <= 1_000_000);
    Ok(files)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn no_field_can_make_it_panic(packing in 0_usize..3, field in 0_usize..100, value in prop_oneof![
        any::<u32>(), 0_u32..300, (0_u32..32).prop_map(|bit| 1 << bit), Just(u32::MAX), Just(0xffff)
    ]) {
        let cab = HONEST[packing].clone();
        let fields = cab.fields();
        let changed = cab.with(fields[field % fields.len()], value);
        let _ = read(&changed.bytes, &Limits::default());
    }

    #[test]
    fn no_bytes_can_make_it_panic(packing in 0_usize..3, changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..6)) {
        let mut cab = HONEST[packing].clone();
        for (at, byte) in changes {
            let at = usize::try_from(at).unwrap() % cab.bytes.len();
            cab.bytes[at] = byte;
        }
        let _ = survive(cab);
    }
}
