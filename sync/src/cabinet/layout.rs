//! Header, folders and files of a cabinet, validated against each other and against the limits before anything is
//! unpacked. Every byte of the tables and every block header is visited at most once, so the cost is linear.

use super::blocks::{self, BlockFormat};
use super::error::CabinetError;
use super::limits::Limits;
use super::names::{self, Encoding};
use super::source::{Source, u16_at, u32_at};
use jiff::civil::{DateTime, date};
use std::collections::HashSet;
use std::io::{Read, Seek};

/// A file of a cabinet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the cabinet, with `/`; harmless, but not to be used as a path on a disk.
    pub name: String,
    /// Its bytes, unpacked.
    pub size_bytes: u64,
    /// Its date and time, local to whoever packed it; 1601-01-01T00:00:00 when the cabinet's is none (ours).
    pub time_stamp: DateTime,
    pub(super) folder: usize,
    pub(super) offset: u64,
}

/// How a folder is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Stored,
    MsZip,
    /// With a window of two to this power, 15 to 21.
    Lzx(u16),
}

/// A run of data blocks that unpacks to one run of bytes.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) data_offset: u64,
    pub(super) blocks: usize,
    pub(super) compression: Compression,
    /// Bytes that its blocks declare, unpacked.
    pub(super) size_bytes: u64,
    /// Its files, in the order of their bytes.
    pub(super) entries: Vec<usize>,
}

/// What a cabinet holds.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) entries: Vec<Entry>,
    pub(super) folders: Vec<Folder>,
    pub(super) block_format: BlockFormat,
}

/// The fixed part of the header.
pub(super) const HEADER_BYTES: usize = 36;
const FOLDER_BYTES: usize = 8;
const FILE_BYTES: usize = 16;
const FLAG_PREVIOUS: u16 = 1;
const FLAG_NEXT: u16 = 2;
const FLAG_RESERVE: u16 = 4;
/// A file whose folder number is this or more continues from, or in, another cabinet.
const FIRST_CONTINUED: u16 = 0xfffd;
const ATTRIBUTE_UTF8: u16 = 0x80;
/// What stands for a time that is none, as in the protocol's "none" time stamp (PROTOCOL.md 3).
const NO_TIME: DateTime = date(1601, 1, 1).at(0, 0, 0, 0);

struct Header {
    folders: usize,
    files: usize,
    files_offset: u64,
    folder_reserve: usize,
    block_format: BlockFormat,
}

/// Whether these first 36 bytes look like a cabinet's: what a scan of a program asks before it tries a place.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(b"MSCF")
        && [4, 12, 20].iter().all(|reserved| u32_at(bytes, *reserved) == 0)
        && bytes[24..26] == [3, 1]
}

/// Reads and validates all tables. The source ends afterwards where the cabinet says that it ends.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Layout, CabinetError> {
    let header = read_header(source, limits)?;
    let mut folders = read_folders(source, &header)?;
    let tables_end = source.position();
    if header.files_offset < tables_end {
        return Err(CabinetError::BadOffset {
            what: "the table of files".to_owned(),
            offset: header.files_offset,
            expected: format!("byte {tables_end} or later, behind the table of folders"),
        });
    }
    source.seek(header.files_offset)?;
    let entries = read_files(source, &header, limits)?;
    let files_range = (header.files_offset, source.position());
    blocks::measure(source, &mut folders, header.block_format, files_range, tables_end)?;
    place_files(&mut folders, &entries)?;
    check_volume(source.end(), &folders, limits)?;
    Ok(Layout { entries, folders, block_format: header.block_format })
}

fn read_header<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Header, CabinetError> {
    let mut fixed = [0; HEADER_BYTES];
    let mut signature = [0; 4];
    let read = source.read(&mut signature, || "the signature".to_owned());
    if read.is_err() && source.end() >= 4 {
        read?;
    }
    if signature != *b"MSCF" {
        return Err(CabinetError::NotACabinet);
    }
    fixed[..4].copy_from_slice(&signature);
    source.read(&mut fixed[4..], || "the header".to_owned())?;
    if !is_header(&fixed) {
        return Err(CabinetError::NotACabinet);
    }
    let flags = u16_at(&fixed, 30);
    if flags & (FLAG_PREVIOUS | FLAG_NEXT) != 0 {
        return Err(CabinetError::MultiCabinetSet);
    }
    source.end_at(u64::from(u32_at(&fixed, 8)))?;
    let (folders, files) = (usize::from(u16_at(&fixed, 26)), usize::from(u16_at(&fixed, 28)));
    if folders > limits.folders {
        return Err(CabinetError::TooManyFolders { count: folders, limit: limits.folders });
    }
    if files > limits.entries {
        return Err(CabinetError::TooManyEntries { count: files, limit: limits.entries });
    }
    let mut reserve = [0; 4];
    if flags & FLAG_RESERVE != 0 {
        source.read(&mut reserve, || "the sizes of the reserved fields".to_owned())?;
        let end = source.position() + u64::from(u16_at(&reserve, 0));
        source.seek(end)?;
    }
    let files_offset = u64::from(u32_at(&fixed, 16));
    let block_format = BlockFormat { reserve: usize::from(reserve[3]) };
    Ok(Header { folders, files, files_offset, folder_reserve: usize::from(reserve[2]), block_format })
}

fn read_folders<R: Read + Seek>(source: &mut Source<R>, header: &Header) -> Result<Vec<Folder>, CabinetError> {
    let mut folders = Vec::new();
    let mut bytes = vec![0; FOLDER_BYTES + header.folder_reserve];
    for number in 0..header.folders {
        source.read(&mut bytes, || format!("the entry of folder {number}"))?;
        folders.push(Folder {
            data_offset: u64::from(u32_at(&bytes, 0)),
            blocks: usize::from(u16_at(&bytes, 4)),
            compression: compression(number, u16_at(&bytes, 6))?,
            size_bytes: 0,
            entries: Vec::new(),
        });
    }
    Ok(folders)
}

fn compression(folder: usize, kind: u16) -> Result<Compression, CabinetError> {
    match (kind & 0x000f, kind >> 8) {
        (0, _) => Ok(Compression::Stored),
        (1, _) => Ok(Compression::MsZip),
        (2, _) => Err(CabinetError::Quantum { folder }),
        (3, window @ 15..=21) => Ok(Compression::Lzx(window)),
        _ => Err(CabinetError::UnknownCompression { folder, kind }),
    }
}

fn read_files<R: Read + Seek>(
    source: &mut Source<R>,
    header: &Header,
    limits: &Limits,
) -> Result<Vec<Entry>, CabinetError> {
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    for number in 0..header.files {
        let mut bytes = [0; FILE_BYTES];
        source.read(&mut bytes, || format!("the entry of file {number}"))?;
        let folder = u16_at(&bytes, 8);
        if folder >= FIRST_CONTINUED {
            return Err(CabinetError::MultiCabinetSet);
        }
        let utf8 = u16_at(&bytes, 14) & ATTRIBUTE_UTF8 != 0;
        let encoding = if utf8 { Encoding::Utf8 } else { Encoding::Latin1 };
        let name = source.read_text(limits.name_bytes, || format!("the name of file {number}"))?;
        let name = names::read(&name, encoding, limits)?;
        if usize::from(folder) >= header.folders {
            let expected = format!("a folder below {}", header.folders);
            let what = format!("file {name:?} in folder {folder}");
            return Err(CabinetError::BadOffset { what, offset: u64::from(u32_at(&bytes, 4)), expected });
        }
        if !names.insert(name.to_lowercase()) {
            return Err(CabinetError::DuplicateName { name });
        }
        let size_bytes = u64::from(u32_at(&bytes, 0));
        if size_bytes > limits.file_bytes {
            return Err(CabinetError::FileTooLarge { name, size_bytes, limit: limits.file_bytes });
        }
        let time_stamp = dos_time(u16_at(&bytes, 10), u16_at(&bytes, 12));
        let (folder, offset) = (usize::from(folder), u64::from(u32_at(&bytes, 4)));
        entries.push(Entry { name, size_bytes, time_stamp, folder, offset });
    }
    Ok(entries)
}

/// Sorts the files into their folders, and sees that each has bytes of its own there.
fn place_files(folders: &mut [Folder], entries: &[Entry]) -> Result<(), CabinetError> {
    for (index, entry) in entries.iter().enumerate() {
        let folder = &mut folders[entry.folder];
        if entry.offset > folder.size_bytes {
            return Err(CabinetError::BadOffset {
                what: format!("file {:?} in folder {}", entry.name, entry.folder),
                offset: entry.offset,
                expected: format!("a byte of the {} that the folder holds", folder.size_bytes),
            });
        }
        if entry.offset + entry.size_bytes > folder.size_bytes {
            return Err(CabinetError::ShortData {
                name: entry.name.clone(),
                offset: entry.offset,
                declared: entry.size_bytes,
                holds: folder.size_bytes,
            });
        }
        folder.entries.push(index);
    }
    for folder in folders {
        folder.entries.sort_by_key(|index| (entries[*index].offset, entries[*index].size_bytes));
        for pair in folder.entries.windows(2) {
            let (first, second) = (&entries[pair[0]], &entries[pair[1]]);
            if first.offset + first.size_bytes > second.offset {
                let named = |entry: &Entry| format!("file {:?}", entry.name);
                return Err(CabinetError::Overlapping { first: named(first), second: named(second) });
            }
        }
    }
    Ok(())
}

fn check_volume(packed: u64, folders: &[Folder], limits: &Limits) -> Result<(), CabinetError> {
    let unpacked: u64 = folders.iter().map(|folder| folder.size_bytes).sum();
    if unpacked > limits.unpacked_bytes {
        return Err(CabinetError::TooMuchUnpacked { size_bytes: unpacked, limit: limits.unpacked_bytes });
    }
    if unpacked > packed.saturating_mul(limits.ratio) {
        return Err(CabinetError::RatioTooHigh { packed, unpacked, limit: limits.ratio });
    }
    Ok(())
}

/// MS-DOS date and time; years from 1980, seconds in steps of two.
fn dos_time(date: u16, time: u16) -> DateTime {
    let field = |bits: u16, shift: u16, width: u16| i8::try_from((bits >> shift) & ((1 << width) - 1)).ok();
    let read = || {
        let year = i16::try_from((date >> 9) + 1980).ok()?;
        let (month, day) = (field(date, 5, 4)?, field(date, 0, 5)?);
        let (hour, minute, second) = (field(time, 11, 5)?, field(time, 5, 6)?, field(time, 0, 5)? * 2);
        DateTime::new(year, month, day, hour, minute, second, 0).ok()
    };
    read().unwrap_or(NO_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_read_and_impossible_ones_are_none() {
        let packed = |year: u16, month: u16, day: u16| (year - 1980) << 9 | month << 5 | day;
        assert_eq!(dos_time(packed(2008, 12, 16), 4 << 11 | 43 << 5 | 29), date(2008, 12, 16).at(4, 43, 58, 0));
        assert_eq!(dos_time(packed(2107, 12, 31), 23 << 11 | 59 << 5 | 29), date(2107, 12, 31).at(23, 59, 58, 0));
        for (date, time) in
            [(0, 0), (packed(2008, 13, 1), 0), (packed(2009, 2, 29), 0), (packed(2008, 1, 1), 30), (0xffff, 0xffff)]
        {
            assert_eq!(dos_time(date, time), NO_TIME, "{date:#x} {time:#x}");
        }
    }
}
