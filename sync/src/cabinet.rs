//! Microsoft cabinets, read for safety first: header, folders and files are validated before anything is unpacked, and
//! each folder is decompressed once, streaming. Memory is bounded by one block, one window and the table of files.
//! Pure over `Read + Seek`; must not know what a package is, nor write to a disk.
//!
//! Source of the format: Microsoft's "Cabinet file format" and what cabextract, gcab and the `cab` crate agree on.

mod blocks;
mod decompress;
mod error;
mod layout;
mod limits;
mod lzx;
mod names;
mod search;
mod source;

pub use error::{CabinetError, HostileName};
pub use layout::Entry;
pub use limits::Limits;
pub use search::find_in_program;

use decompress::Decompressor;
use layout::Layout;
use source::Source;
use std::io::{self, Read, Seek};

/// A cabinet whose structure is valid.
#[derive(Debug)]
pub struct Cabinet<R> {
    source: Source<R>,
    layout: Layout,
}

/// What unpacking yields, for each file in turn: its begin, its bytes in pieces, its end.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A file begins.
    Begin(&'a Entry),
    /// The next bytes of the file that began last.
    Bytes(&'a [u8]),
    /// The file that began last is complete.
    End,
}

impl<R: Read + Seek> Cabinet<R> {
    /// Validates the cabinet that begins at byte `start` of `reader`. What follows its declared end is not looked at.
    pub fn open(reader: R, start: u64, limits: &Limits) -> Result<Self, CabinetError> {
        let mut source = Source::new(reader, start)?;
        let layout = layout::read(&mut source, limits)?;
        Ok(Self { source, layout })
    }

    /// Its files, in the order of its table.
    pub fn entries(&self) -> &[Entry] {
        &self.layout.entries
    }

    /// Bytes that all its folders unpack to.
    pub fn unpacked_bytes(&self) -> u64 {
        self.layout.folders.iter().map(|folder| folder.size_bytes).sum()
    }

    /// Unpacks all files, in the order of their data, into `sink`. An error of the sink ends it.
    pub fn unpack(&mut self, mut sink: impl FnMut(Piece<'_>) -> io::Result<()>) -> Result<(), CabinetError> {
        (0..self.layout.folders.len()).try_for_each(|folder| self.unpack_folder(folder, &mut sink))
    }

    fn unpack_folder(
        &mut self,
        number: usize,
        sink: &mut impl FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Result<(), CabinetError> {
        let Layout { entries, folders, block_format } = &self.layout;
        let folder = &folders[number];
        let mut files = Files::new(folder.entries.iter().map(|index| &entries[*index]));
        files.advance(&[], sink).map_err(CabinetError::Write)?;
        if folder.entries.is_empty() {
            return Ok(());
        }
        self.source.seek(folder.data_offset)?;
        let mut decompressor = Decompressor::new(folder.compression, folder.size_bytes);
        let mut packed = Vec::new();
        for block in 0..folder.blocks {
            let length = blocks::read(&mut self.source, *block_format, number, block, &mut packed)?;
            let bytes = decompressor.next(&packed, length).and_then(|bytes| match bytes.len() == length {
                true => Ok(bytes),
                false => Err(format!("it unpacks to {} bytes, expected {length}", bytes.len())),
            });
            let bytes = bytes.map_err(|reason| CabinetError::Damaged { folder: number, block, reason })?;
            files.advance(bytes, sink).map_err(CabinetError::Write)?;
        }
        Ok(())
    }
}

/// Cuts the bytes of a folder into its files, which are in order and do not overlap.
struct Files<'a, I: Iterator<Item = &'a Entry>> {
    waiting: std::iter::Peekable<I>,
    /// The file that has begun, and how many of its bytes are still to come.
    current: Option<u64>,
    position: u64,
}

impl<'a, I: Iterator<Item = &'a Entry>> Files<'a, I> {
    fn new(files: I) -> Self {
        Self { waiting: files.peekable(), current: None, position: 0 }
    }

    /// Takes the folder's next bytes. Files without bytes begin and end as soon as their place is reached.
    fn advance(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Piece<'_>) -> io::Result<()>) -> io::Result<()> {
        loop {
            if let Some(remaining) = self.current {
                let (taken, rest) = bytes.split_at(prefix(bytes, remaining));
                if !taken.is_empty() {
                    sink(Piece::Bytes(taken))?;
                }
                self.position += taken.len() as u64;
                bytes = rest;
                self.current = Some(remaining - taken.len() as u64).filter(|remaining| *remaining > 0);
                if self.current.is_some() {
                    return Ok(());
                }
                sink(Piece::End)?;
            }
            let Some(next) = self.waiting.peek() else { return Ok(()) };
            let gap = prefix(bytes, next.offset.saturating_sub(self.position));
            self.position += gap as u64;
            bytes = &bytes[gap..];
            if self.position < next.offset {
                return Ok(());
            }
            sink(Piece::Begin(next))?;
            self.current = Some(next.size_bytes);
            self.waiting.next();
        }
    }
}

/// How many of `bytes` belong to something that still wants `wanted`.
fn prefix(bytes: &[u8], wanted: u64) -> usize {
    usize::try_from(wanted).map_or(bytes.len(), |wanted| wanted.min(bytes.len()))
}

#[cfg(test)]
mod tests;
