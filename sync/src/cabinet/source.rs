//! The bytes of one cabinet inside a larger file: positions count from the cabinet's start, and nothing beyond its end
//! is ever read.

use super::error::CabinetError;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes read ahead: enough for many entries of a table, and little enough that the walk from one block's header to the
/// next does not read the blocks, and that most of a block is read to where it is wanted.
const BUFFER_BYTES: usize = 2 << 10;

#[derive(Debug)]
pub(super) struct Source<R> {
    reader: BufReader<R>,
    start: u64,
    position: u64,
    end: u64,
}

impl<R: Read + Seek> Source<R> {
    /// The part of `reader` from `start` to its end.
    pub(super) fn new(mut reader: R, start: u64) -> Result<Self, CabinetError> {
        let length = reader.seek(SeekFrom::End(0)).map_err(CabinetError::Read)?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        reader.seek(SeekFrom::Start(start)).map_err(CabinetError::Read)?;
        Ok(Self { reader, start, position: 0, end: length.saturating_sub(start) })
    }

    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Lets it end at `end`, which must not be later than now.
    pub(super) fn end_at(&mut self, end: u64) -> Result<(), CabinetError> {
        if end > self.end {
            return Err(CabinetError::Truncated { what: "the cabinet".to_owned(), needs: end, has: self.end });
        }
        self.end = end;
        Ok(())
    }

    /// Where the next byte is read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to `position`; going beyond the end is noticed when something is read.
    pub(super) fn seek(&mut self, position: u64) -> Result<(), CabinetError> {
        let near = i64::try_from(position).ok().zip(i64::try_from(self.position).ok());
        let moved = match near.and_then(|(to, from)| to.checked_sub(from)) {
            Some(distance) => self.reader.seek_relative(distance),
            None => self.reader.seek(SeekFrom::Start(self.start.saturating_add(position))).map(drop),
        };
        moved.map_err(CabinetError::Read)?;
        self.position = position;
        Ok(())
    }

    /// Fills `buffer`; `what` names what is read, for the refusal.
    pub(super) fn read(&mut self, buffer: &mut [u8], what: impl FnOnce() -> String) -> Result<(), CabinetError> {
        let needs = self.position.saturating_add(buffer.len() as u64);
        if needs > self.end {
            return Err(CabinetError::Truncated { what: what(), needs, has: self.end });
        }
        self.reader.read_exact(buffer).map_err(CabinetError::Read)?;
        self.position = needs;
        Ok(())
    }

    /// Reads up to and without the next zero byte. Longer than `limit`: the first `limit + 1` bytes.
    pub(super) fn read_text(&mut self, limit: usize, what: impl FnOnce() -> String) -> Result<Vec<u8>, CabinetError> {
        let room = self.end.saturating_sub(self.position).min(limit as u64 + 1);
        let mut text = Vec::new();
        let read = (&mut self.reader).take(room).read_until(0, &mut text).map_err(CabinetError::Read)?;
        self.position += read as u64;
        if text.last() == Some(&0) {
            text.pop();
        } else if text.len() <= limit {
            return Err(CabinetError::Truncated { what: what(), needs: self.end + 1, has: self.end });
        }
        Ok(text)
    }
}

/// The 16-bit number at `at`; the caller read that many bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at `at`; the caller read that many bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
