//! What the `cab` crate writes is read, and whatever becomes of its bytes, nothing panics. Lies about single fields, LZX
//! and other programs' cabinets are in `tests/it/packages`.

use super::*;
use cab::{CabinetBuilder, CompressionType};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::io::{Cursor, Write};

type Files = Vec<(String, Vec<u8>)>;

fn write(folders: &[(CompressionType, Files)]) -> Vec<u8> {
    let mut builder = CabinetBuilder::new();
    for (compression, files) in folders {
        let folder = builder.add_folder(*compression);
        for (name, _) in files {
            folder.add_file(name.as_str());
        }
    }
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    for (_, bytes) in folders.iter().flat_map(|(_, files)| files) {
        writer.next_file().unwrap().unwrap().write_all(bytes).unwrap();
    }
    assert!(writer.next_file().unwrap().is_none());
    writer.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<Files, CabinetError> {
    let mut cabinet = Cabinet::open(Cursor::new(bytes), 0, &Limits::default())?;
    let mut files = Files::new();
    let mut ended = 0;
    cabinet.unpack(|piece| {
        match piece {
            Piece::Begin(entry) => files.push((entry.name.clone(), Vec::new())),
            Piece::Bytes(bytes) => files.last_mut().unwrap().1.extend(bytes),
            Piece::End => ended += 1,
        }
        Ok(())
    })?;
    assert_eq!((ended, files.len()), (files.len(), cabinet.entries().len()));
    assert!(cabinet.entries().iter().all(|entry| {
        files.iter().any(|(name, bytes)| *name == entry.name && bytes.len() as u64 == entry.size_bytes)
    }));
    Ok(files)
}

fn small() -> Vec<u8> {
    let file = |name: &str, length: usize| (name.to_owned(), (0..length).map(|n| (n % 251).to_le_bytes()[0]).collect());
    write(&[
        (CompressionType::MsZip, vec![file("a", 300), file("empty", 0), file("b", 33_000)]),
        (CompressionType::None, vec![file("c", 50)]),
    ])
}

#[test]
fn a_sink_that_fails_ends_it() {
    let bytes = small();
    let mut cabinet = Cabinet::open(Cursor::new(&bytes), 0, &Limits::default()).unwrap();
    let refused = cabinet.unpack(|_| Err(io::Error::other("the disk is full")));
    assert!(matches!(refused, Err(CabinetError::Write(error)) if error.to_string() == "the disk is full"));
}

#[test]
fn a_cabinet_may_begin_and_end_inside_a_file() {
    let bytes = [vec![9; 1_000], small(), vec![9; 1_000]].concat();
    assert_eq!(Cabinet::open(Cursor::new(&bytes), 1_000, &Limits::default()).unwrap().entries().len(), 4);
    assert!(matches!(Cabinet::open(Cursor::new(&bytes), 999, &Limits::default()), Err(CabinetError::NotACabinet)));
    assert!(matches!(Cabinet::open(Cursor::new(&bytes), u64::MAX, &Limits::default()), Err(CabinetError::NotACabinet)));
}

#[test]
fn a_cabinet_that_is_cut_off_anywhere_is_refused() {
    let bytes = small();
    assert!(read(&bytes).is_ok());
    assert!((0..bytes.len()).all(|end| read(&bytes[..end]).is_err()));
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(
        lengths in proptest::collection::vec(proptest::collection::vec(0_usize..70_000, 1..5), 1..4),
        mszip: bool,
    ) {
        let compression = if mszip { CompressionType::MsZip } else { CompressionType::None };
        let file = |folder: usize, n: usize, length: usize| {
            (format!("{folder}/{n}"), (0..length).map(|at| (at * (n + 1) / 3).to_le_bytes()[0]).collect::<Vec<u8>>())
        };
        let folders: Vec<(CompressionType, Files)> = lengths
            .iter()
            .enumerate()
            .map(|(folder, lengths)| {
                (compression, lengths.iter().enumerate().map(|(n, length)| file(folder, n, *length)).collect())
            })
            .collect();
        let mut found = read(&write(&folders)).unwrap();
        let mut expected: Files = folders.into_iter().flat_map(|(_, files)| files).collect();
        found.sort();
        expected.sort();
        prop_assert!(found == expected);
    }

    #[test]
    fn no_bytes_can_make_it_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let mut bytes = small();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn no_field_can_make_it_panic(at in 0_usize..200, value: u32) {
        let mut bytes = small();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let _ = read(&bytes);
    }

    #[test]
    fn no_program_can_make_the_search_panic(junk in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
        let mut bytes = small();
        bytes.splice(at.min(junk.len())..at.min(junk.len()), junk);
        let found = find_in_program(&mut Cursor::new(&bytes), &Limits::default());
        prop_assert!(!matches!(found, Ok(Some(start)) if start > 300));
    }
}
