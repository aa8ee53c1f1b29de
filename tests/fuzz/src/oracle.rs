//! What must be true of a cabinet that is read, whatever its bytes.

use std::collections::BTreeMap;
use std::io::Cursor;
use sync::cabinet::{Cabinet, CabinetError, Limits, Piece};

/// Files by their path with `/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Limits that let a run take its two seconds and 64 MiB, and no more.
pub fn limits() -> Limits {
    Limits { unpacked_bytes: 16 << 20, file_bytes: 8 << 20, ..Limits::default() }
}

/// Reads a cabinet. Every file comes once, one after the other, and has exactly the bytes that the table declares; a
/// refusal says where and what.
pub fn read(bytes: &[u8]) -> Result<Files, CabinetError> {
    let result = read_files(bytes);
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(text.contains("expected") && !text.contains('\n') && text.len() < 1_000, "{text}");
    }
    result
}

fn read_files(bytes: &[u8]) -> Result<Files, CabinetError> {
    let mut cabinet = Cabinet::open(Cursor::new(bytes), 0, &limits())?;
    let declared: BTreeMap<String, u64> =
        cabinet.entries().iter().map(|entry| (entry.name.clone(), entry.size_bytes)).collect();
    assert_eq!(declared.len(), cabinet.entries().len(), "two files have one name");
    assert!(declared.values().sum::<u64>() <= cabinet.unpacked_bytes());
    let mut files = Files::new();
    let mut open: Option<String> = None;
    cabinet.unpack(|piece| {
        match piece {
            Piece::Begin(entry) => {
                assert_eq!(open.replace(entry.name.clone()), None, "a file begins inside another");
                assert!(files.insert(entry.name.clone(), Vec::new()).is_none(), "a file comes twice");
            }
            Piece::Bytes(bytes) => {
                let name = open.as_ref().expect("bytes belong to a file");
                files.get_mut(name).expect("it began").extend(bytes);
            }
            Piece::End => {
                let name = open.take().expect("a file ends that began");
                assert_eq!(files[&name].len() as u64, declared[&name], "{name} has other bytes than declared");
            }
        }
        Ok(())
    })?;
    assert_eq!(open, None, "a file does not end");
    assert!(files.keys().eq(declared.keys()), "a file is missing");
    Ok(files)
}
