//! Mends the checksums of a cabinet whose bytes were changed, so that what was changed reaches the decompressors.
//! Takes any bytes: walks as far as they make sense, and leaves the rest.

use crate::cab::checksum;

/// Writes the right checksum to every block that can be found.
pub fn repair_checksums(bytes: &mut [u8]) {
    for block in blocks(bytes) {
        let sum = checksum(&bytes[block.start + 4..block.start + 8]) ^ checksum(&bytes[block.data..block.end]);
        bytes[block.start..block.start + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

struct Block {
    start: usize,
    data: usize,
    end: usize,
}

fn blocks(bytes: &[u8]) -> Vec<Block> {
    let mut found = Vec::new();
    let Some(flags) = u16_at(bytes, 30) else { return found };
    let reserved = flags & 4 != 0;
    let byte_at = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
    let (folder_reserve, block_reserve) = if reserved { (byte_at(38), byte_at(39)) } else { (0, 0) };
    let tables = if reserved { 40 + u16_at(bytes, 36).unwrap_or(0) } else { 36 };
    for folder in 0..u16_at(bytes, 26).unwrap_or(0) {
        let entry = tables + folder * (8 + folder_reserve);
        let (Some(low), Some(high), Some(count)) =
            (u16_at(bytes, entry), u16_at(bytes, entry + 2), u16_at(bytes, entry + 4))
        else {
            break;
        };
        let mut start = high << 16 | low;
        for _ in 0..count {
            let Some(packed) = u16_at(bytes, start + 4) else { break };
            let data = start + 8 + block_reserve;
            let end = data + packed;
            if end > bytes.len() {
                break;
            }
            found.push(Block { start, data, end });
            start = end;
        }
    }
    found
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at + 2)?;
    Some(usize::from(pair[0]) | usize::from(pair[1]) << 8)
}
