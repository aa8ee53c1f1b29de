//! The decompressors of a folder: a block's bytes in, what it unpacks to out. State lasts from block to block of one
//! folder and never grows beyond its window.

use super::blocks::BLOCK_BYTES;
use super::layout::Compression;
use super::lzx::Lzx;
use flate2::{Decompress, FlushDecompress, Status};

/// The decompressor of one folder.
pub(super) enum Decompressor {
    Stored,
    MsZip(Box<MsZip>),
    Lzx(Box<Lzx>),
}

impl Decompressor {
    /// For a folder that unpacks to so many bytes.
    pub(super) fn new(compression: Compression, folder_bytes: u64) -> Self {
        match compression {
            Compression::Stored => Self::Stored,
            Compression::MsZip => Self::MsZip(Box::new(MsZip::new())),
            Compression::Lzx(bits) => Self::Lzx(Box::new(Lzx::new(bits, folder_bytes))),
        }
    }

    /// Unpacks the next block to exactly `length` bytes, or says what is wrong with it.
    pub(super) fn next<'a>(&'a mut self, block: &'a [u8], length: usize) -> Result<&'a [u8], String> {
        match self {
            Self::Stored if block.len() == length => Ok(block),
            Self::Stored => Err(format!("it holds {} bytes and declares {length}", block.len())),
            Self::MsZip(state) => state.next(block, length),
            Self::Lzx(state) => state.next(block, length).map_err(str::to_owned),
        }
    }
}

/// MSZIP: each block is `CK` and a complete deflate stream, with the 32 KiB before it as its dictionary.
pub(super) struct MsZip {
    inflate: Decompress,
    /// What came last, at most [`BLOCK_BYTES`].
    dictionary: Vec<u8>,
    /// One byte more than a block may have, so that a longer one is noticed.
    output: Vec<u8>,
}

impl MsZip {
    fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            dictionary: Vec::with_capacity(2 * BLOCK_BYTES),
            output: vec![0; BLOCK_BYTES + 1],
        }
    }

    fn next(&mut self, block: &[u8], length: usize) -> Result<&[u8], String> {
        let packed = block.strip_prefix(b"CK").ok_or("it does not begin with the signature CK of MSZIP")?;
        self.inflate.reset(false);
        if !self.dictionary.is_empty() {
            self.inflate.set_dictionary(&self.dictionary).map_err(|error| error.to_string())?;
        }
        let output = self.output.get_mut(..=length).ok_or("it is too long")?;
        let status = self.inflate.decompress(packed, output, FlushDecompress::Finish);
        let found = self.inflate.total_out();
        match status {
            Ok(Status::StreamEnd) if found == length as u64 => {}
            Ok(Status::StreamEnd) => return Err(format!("it unpacks to {found} bytes, expected {length}")),
            Ok(_) => return Err(format!("it does not end after the {length} bytes that it declares")),
            Err(error) => return Err(error.to_string()),
        }
        let output = &self.output[..length];
        self.dictionary.extend_from_slice(output);
        let excess = self.dictionary.len().saturating_sub(BLOCK_BYTES);
        self.dictionary.drain(..excess);
        Ok(output)
    }
}
