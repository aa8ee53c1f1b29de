//! Cabinets of every kind that gcab, the `cab` crate or our own encoder writes: read as cabextract reads them.

use super::{Files, assert_same, cabextract, read, succeed, varied};
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::process::Command;
use sync::cabinet::{Cabinet, Limits, Piece};
use sync::package::unpack;
use tests::cab::{CabBuilder, Field, Packing};
use tests::lzx::{Block, Lzx};

/// Bytes of a frame.
const FRAME: usize = 32 << 10;

fn lzx(window_bits: u32, blocks: &[Block], block_bytes: usize, translation_size: Option<i32>) -> Packing {
    Packing::Lzx(Lzx { window_bits, blocks: blocks.to_vec(), block_bytes, translation_size })
}

/// The cabinet holds these files in this order; cabextract must say so too.
#[track_caller]
fn check(packing: Packing, files: &[(&str, Vec<u8>)]) {
    let mut builder = CabBuilder::new().folder(packing);
    for (name, bytes) in files {
        builder = builder.file(name, bytes);
    }
    let cab = builder.build();
    let expected: Files = files.iter().map(|(name, bytes)| (name.replace('\\', "/"), bytes.clone())).collect();
    assert_same(&cabextract(&cab.bytes), &expected);
    assert_same(&read(&cab.bytes, &Limits::default()).unwrap(), &expected);
}

fn sizes(seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let of = |length| varied(seed + length as u64, length);
    vec![("a", of(1)), ("b\\empty", of(0)), ("b\\c", of(32_768)), ("d", of(100_001)), ("e", of(150_000)), ("z", of(0))]
}

#[test]
fn stored_and_mszip_folders_are_read_as_cabextract_reads_them() {
    check(Packing::Stored, &sizes(1));
    check(Packing::MsZip, &sizes(2));
}

#[test]
fn lzx_folders_are_read_as_cabextract_reads_them() {
    use Block::{Aligned, Uncompressed, Verbatim};
    for window_bits in [15, 16, 17, 18, 19, 20, 21] {
        check(lzx(window_bits, &[Verbatim, Aligned, Uncompressed], FRAME, None), &sizes(u64::from(window_bits)));
    }
    for block in [Verbatim, Aligned, Uncompressed] {
        check(lzx(21, &[block], FRAME, None), &sizes(30));
    }
    // Blocks that begin and end inside frames, that span several, and that end with one after an odd number of bytes.
    for block_bytes in [1_001, 10_922, 16_383, 50_000, 99_999, 500_000] {
        check(lzx(16, &[Uncompressed, Verbatim, Uncompressed, Aligned], block_bytes, None), &sizes(31));
        check(lzx(17, &[Verbatim, Uncompressed, Uncompressed], block_bytes, None), &sizes(32));
    }
}

#[test]
fn calls_of_x86_programs_are_translated_back() {
    for seed in 40..44 {
        check(lzx(18, &[Block::Verbatim, Block::Aligned], FRAME, Some(200_000)), &sizes(seed));
        check(lzx(16, &[Block::Verbatim, Block::Uncompressed], FRAME, Some(1_000)), &sizes(seed));
    }
    // A call at the very start: relative and absolute target are the same, and nothing.
    check(
        lzx(15, &[Block::Verbatim], FRAME, Some(12_000_000)),
        &[("a", [&[0xe8, 0, 0, 0, 0][..], &[7; 100]].concat())],
    );
}

#[test]
fn reserved_fields_and_several_folders_are_read_as_cabextract_reads_them() {
    let mut builder = CabBuilder::new().reserve(20, 3, 5);
    let mut expected = Files::new();
    let packings = [Packing::MsZip, Packing::Stored, lzx(16, &[Block::Verbatim], FRAME, None), Packing::MsZip];
    for (number, packing) in packings.into_iter().enumerate() {
        builder = builder.folder(packing);
        for (name, bytes) in sizes(50 + number as u64) {
            let name = format!("{number}/{name}").replace('\\', "/");
            builder = builder.file(&name.replace('/', "\\"), &bytes);
            expected.insert(name, bytes);
        }
    }
    let cab = builder.build();
    assert_same(&cabextract(&cab.bytes), &expected);
    assert_same(&read(&cab.bytes, &Limits::default()).unwrap(), &expected);
}

/// A cabinet that gcab makes of these files.
fn gcab(options: &[&str], files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let names = files.iter().map(|(name, _)| name);
    succeed(Command::new("gcab").args(options).arg("out.cab").args(names).current_dir(folder.path()));
    fs::read(folder.path().join("out.cab")).unwrap()
}

#[test]
fn cabinets_of_gcab_are_read_as_cabextract_reads_them() {
    let files = [
        ("updateInfo.xml", b"<Updates/>".to_vec()),
        ("UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt", varied(60, 1_000_000)),
        ("UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.cat", varied(61, 7_777)),
        ("M\u{fc}ller/\u{65e5}\u{672c}.bin", varied(62, 50_000)),
        ("empty", Vec::new()),
    ];
    let expected: Files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    for options in [&["-c"][..], &["-c", "-z"]] {
        let cabinet = gcab(options, &files);
        assert_same(&cabextract(&cabinet), &expected);
        assert_same(&read(&cabinet, &Limits::default()).unwrap(), &expected);
    }
}

/// The order of files in the table need not be that of their data.
#[test]
fn files_may_be_listed_in_any_order() {
    let files = [("a", varied(70, 40_000)), ("b", varied(71, 40_000)), ("c", varied(72, 40_000))];
    let build = |order: [usize; 3]| {
        order
            .iter()
            .fold(CabBuilder::new().folder(Packing::MsZip), |builder, n| builder.file(files[*n].0, &files[*n].1))
    };
    let cab = build([0, 1, 2]).build();
    let swapped = cab.clone().with(Field::FileOffset(0), 80_000).with(Field::FileOffset(2), 0);
    let expected: Files = [("a", 2), ("b", 1), ("c", 0)].map(|(name, n)| (name.to_owned(), files[n].1.clone())).into();
    assert_same(&cabextract(&swapped.bytes), &expected);
    assert_same(&read(&swapped.bytes, &Limits::default()).unwrap(), &expected);
}

/// Counts the bytes that are asked of it.
struct Counting<R>(R, u64);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

/// The `cab` crate unpacks a folder from its start for each file; here the bytes of a cabinet are read twice: once to see
/// that they fit together, once to unpack them.
#[test]
fn the_cost_does_not_grow_with_the_number_of_files() {
    let image = varied(80, 2_000_000);
    let folder = CabBuilder::new().folder(Packing::MsZip);
    let files = image.chunks(200).enumerate();
    let cab = files.fold(folder, |builder, (n, bytes)| builder.file(&format!("{n}.bin"), bytes)).build();
    let mut reader = Counting(Cursor::new(&cab.bytes), 0);
    let mut cabinet = Cabinet::open(&mut reader, 0, &Limits::default()).unwrap();
    assert_eq!(cabinet.entries().len(), 10_000);
    let mut unpacked: Vec<u8> = Vec::new();
    let collect = |piece: Piece<'_>| {
        if let Piece::Bytes(bytes) = piece {
            unpacked.extend(bytes);
        }
        Ok(())
    };
    cabinet.unpack(collect).unwrap();
    assert!(unpacked == image);
    let (read, size) = (reader.1, cab.bytes.len() as u64);
    assert!(read <= 2 * size + 1_000_000, "{read} bytes read of {size}");
}

/// A package of several devices and an interim build, as an administrator would make it with gcab.
#[test]
fn packages_of_gcab_hold_the_updates_that_their_description_names() {
    let description = "<Updates><Updates><Update version=\"4.0.7577.4387\"/>\
        <Update interim=\"true\"><File name=\"CPE.nbt\" signature=\"CPE.cat\" path=\"OCInterim\\ENU\"/></Update></Updates></Updates>";
    let utf16: Vec<u8> = format!("\u{feff}{description}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let device = |model: &str, file: &str| format!("UCPhone/Polycom/{model}/A/ENU/4.0.7577.4387/CPE/{file}");
    let (image, other) = (varied(100, 200_000), varied(101, 200_000));
    let paths = [device("CX600", "CPE.nbt"), device("CX600", "CPE.cat"), device("CX500", "CPE.nbt")];
    let mut files = vec![("updateInfo.xml", utf16), ("OCInterim/ENU/CPE.nbt", other.clone()), ("readme.txt", vec![1])];
    files.push(("OCInterim/ENU/CPE.cat", b"catalog".to_vec()));
    files.extend(paths.iter().map(|path| (path.as_str(), image.clone())));
    for options in [&["-c"][..], &["-c", "-z"]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("UCUpdates.cab");
        fs::write(&path, gcab(options, &files)).unwrap();
        let staging = tempfile::tempdir().unwrap();
        let package = unpack(&path, staging.path(), &Limits::default()).unwrap();
        let told: Vec<String> = package
            .updates
            .iter()
            .map(|staged| format!("{} {}", staged.update.target(), staged.update.version()))
            .collect();
        assert_eq!(
            told,
            [
                "UCPhone/Polycom/CX600/A/ENU/CPE 4.0.7577.4387",
                "UCPhone/Polycom/CX500/A/ENU/CPE 4.0.7577.4387",
                "interim UCPhone/ENU/CPE 1.0.522.103",
            ]
        );
        assert_eq!(package.ignored, ["readme.txt"]);
        let interim = &package.updates[2];
        assert_eq!(interim.update.image().path.as_str(), "OCInterim/ENU/CPE.nbt");
        assert!(fs::read(&interim.sources[0]).unwrap() == other);
    }
}
