//! The data blocks of a folder (CFDATA): their headers, walked once before unpacking, and their checksums.

use super::error::CabinetError;
use super::layout::Folder;
use super::source::{Source, u16_at, u32_at};
use std::io::{Read, Seek};

/// Bytes that a block unpacks to at most, and every block of LZX but the last exactly.
pub(super) const BLOCK_BYTES: usize = 32 << 10;
/// The header of a block, without what is reserved behind it.
const BLOCK_HEADER_BYTES: usize = 8;

/// What all blocks of a cabinet have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockFormat {
    /// Reserved bytes between a block's header and its data.
    pub(super) reserve: usize,
}

/// The header of a block.
#[derive(Debug)]
struct BlockHeader {
    checksum: u32,
    lengths: [u8; 4],
    packed: usize,
    unpacked: usize,
}

/// Walks the headers of all blocks: fills in what each folder unpacks to, and sees that no byte belongs to two folders
/// or to a folder and a table. Folders are visited in the order of their data, each byte at most once.
pub(super) fn measure<R: Read + Seek>(
    source: &mut Source<R>,
    folders: &mut [Folder],
    format: BlockFormat,
    files: (u64, u64),
    tables_end: u64,
) -> Result<(), CabinetError> {
    let mut order: Vec<usize> = (0..folders.len()).filter(|index| folders[*index].blocks > 0).collect();
    order.sort_by_key(|index| folders[*index].data_offset);
    let mut before = (tables_end, "the table of folders".to_owned());
    let mut files = Some(files);
    for number in order {
        let folder = &mut folders[number];
        let what = format!("the data of folder {number}");
        if let Some((start, end)) = files.filter(|(start, _)| *start <= folder.data_offset) {
            before = after(before, start, end, "the table of files")?;
            files = None;
        }
        let start = folder.data_offset;
        if start < before.0 {
            return Err(CabinetError::Overlapping { first: before.1, second: what });
        }
        let end = measure_folder(source, number, folder, format)?;
        before = after(before, start, end, &what)?;
    }
    match files {
        Some((start, end)) => after(before, start, end, "the table of files").map(drop),
        None => Ok(()),
    }
}

/// What lies from `start` to `end` comes next, and must not begin before what came last has ended.
fn after(before: (u64, String), start: u64, end: u64, what: &str) -> Result<(u64, String), CabinetError> {
    if start < before.0 {
        return Err(CabinetError::Overlapping { first: before.1, second: what.to_owned() });
    }
    Ok((end, what.to_owned()))
}

/// Walks one folder, and returns where its data ends.
fn measure_folder<R: Read + Seek>(
    source: &mut Source<R>,
    number: usize,
    folder: &mut Folder,
    format: BlockFormat,
) -> Result<u64, CabinetError> {
    source.seek(folder.data_offset)?;
    for block in 0..folder.blocks {
        let header = read_header(source, number, block)?;
        folder.size_bytes += header.unpacked as u64;
        let end = source.position() + (format.reserve + header.packed) as u64;
        if end > source.end() {
            let what = format!("block {block} of folder {number}");
            return Err(CabinetError::Truncated { what, needs: end, has: source.end() });
        }
        source.seek(end)?;
    }
    Ok(source.position())
}

fn read_header<R: Read + Seek>(
    source: &mut Source<R>,
    folder: usize,
    block: usize,
) -> Result<BlockHeader, CabinetError> {
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    source.read(&mut bytes, || format!("the header of block {block} of folder {folder}"))?;
    let (packed, unpacked) = (usize::from(u16_at(&bytes, 4)), usize::from(u16_at(&bytes, 6)));
    // A block of no bytes goes on in the next cabinet of a set.
    if unpacked == 0 {
        return Err(CabinetError::MultiCabinetSet);
    }
    if unpacked > BLOCK_BYTES {
        let reason = format!("it declares {unpacked} bytes, expected {BLOCK_BYTES} at most");
        return Err(CabinetError::Damaged { folder, block, reason });
    }
    let lengths = [bytes[4], bytes[5], bytes[6], bytes[7]];
    Ok(BlockHeader { checksum: u32_at(&bytes, 0), lengths, packed, unpacked })
}

/// Reads the next block into `data`, verifies its checksum, and returns what it unpacks to.
pub(super) fn read<R: Read + Seek>(
    source: &mut Source<R>,
    format: BlockFormat,
    folder: usize,
    block: usize,
    data: &mut Vec<u8>,
) -> Result<usize, CabinetError> {
    let header = read_header(source, folder, block)?;
    source.seek(source.position() + format.reserve as u64)?;
    data.resize(header.packed, 0);
    source.read(data, || format!("block {block} of folder {folder}"))?;
    // Zero means that the packer left it out.
    if header.checksum != 0 {
        let found = checksum(&header.lengths, checksum(data, 0));
        if found != header.checksum {
            return Err(CabinetError::Checksum { folder, block, expected: header.checksum, found });
        }
    }
    Ok(header.unpacked)
}

/// The format's checksum: words of four bytes, little end first, exclusive-or; the last one to three bytes count as
/// a word with the last byte lowest.
fn checksum(bytes: &[u8], seed: u32) -> u32 {
    let mut words = bytes.chunks_exact(4);
    let sum = words.by_ref().fold(seed, |sum, word| sum ^ u32_at(word, 0));
    sum ^ words.remainder().iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_takes_the_last_bytes_the_other_way_round() {
        assert_eq!(checksum(b"", 7), 7);
        assert_eq!(checksum(&[1, 2, 3, 4], 0), 0x0403_0201);
        assert_eq!(checksum(&[1, 2, 3, 4, 5, 6, 7], 0), 0x0403_0201 ^ 0x0005_0607);
        assert_eq!(checksum(&[1, 2, 3, 4, 5], 0), 0x0403_0201 ^ 5);
    }
}
