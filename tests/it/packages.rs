//! Packages: what our reader makes of cabinets that other programs wrote, of hostile ones, and of files that are none.
//! cabextract and gcab are the oracles: what they extract is what we must extract.

mod command;
mod costly;
mod hostile;
mod mutations;
mod oracles;
mod programs;
mod reader;
mod wrong;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use sync::cabinet::{Cabinet, CabinetError, Limits, Piece};

/// Files by their path with `/`.
type Files = BTreeMap<String, Vec<u8>>;

/// What our reader takes out of a cabinet.
fn read(bytes: &[u8], limits: &Limits) -> Result<Files, CabinetError> {
    let mut cabinet = Cabinet::open(Cursor::new(bytes), 0, limits)?;
    let mut files = Files::new();
    let mut name = String::new();
    cabinet.unpack(|piece| {
        match piece {
            Piece::Begin(entry) => {
                name.clone_from(&entry.name);
                assert!(files.insert(name.clone(), Vec::new()).is_none(), "{name} comes twice");
            }
            Piece::Bytes(bytes) => files.get_mut(&name).unwrap().extend(bytes),
            Piece::End => {}
        }
        Ok(())
    })?;
    Ok(files)
}

/// What cabextract takes out of it.
fn cabextract(bytes: &[u8]) -> Files {
    cabextract_or_refusal(bytes).expect("cabextract reads it")
}

/// The same; nothing if it refuses.
fn cabextract_or_refusal(bytes: &[u8]) -> Option<Files> {
    let folder = tempfile::tempdir().unwrap();
    let cabinet = folder.path().join("in.cab");
    fs::write(&cabinet, bytes).unwrap();
    let out = folder.path().join("out");
    let output = Command::new("cabextract").arg("-q").arg("-d").arg(&out).arg(&cabinet).output().unwrap();
    let mut files = Files::new();
    if out.exists() {
        collect(&out, "", &mut files);
    }
    output.status.success().then_some(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compares without printing megabytes.
#[track_caller]
fn assert_same(found: &Files, expected: &Files) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in found {
        let differs = bytes.iter().zip(&expected[name]).position(|(found, expected)| found != expected);
        assert_eq!((differs, bytes.len()), (None, expected[name].len()), "{name}");
    }
}

/// Bytes that compress well in some places and badly in others, with x86 calls in between.
fn varied(seed: u64, length: usize) -> Vec<u8> {
    let noise = tests::gcab::image(seed, length);
    let text: Vec<u8> = b"the quick brown phone jumps over the lazy pool ".repeat(length / 47 + 1);
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (kind, run) = (state >> 60, usize::try_from(state >> 48 & 0x7ff).unwrap());
        let at = bytes.len();
        match kind {
            0..4 => bytes.extend(&noise[at..length.min(at + run)]),
            4..9 => bytes.extend(&text[at..length.min(at + run)]),
            9..11 => bytes.extend(vec![0; run]),
            11 => bytes.extend([0xe8, 0, 0, 0, 0]),
            12 => bytes.extend([&[0xe8][..], &[run.to_le_bytes()[0], kind.to_le_bytes()[0], 3, 0]].concat()),
            _ => bytes.extend_from_within(at.saturating_sub(run * 11)..at.saturating_sub(run * 10)),
        }
    }
    bytes.truncate(length);
    bytes
}
