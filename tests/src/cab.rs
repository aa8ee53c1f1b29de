//! Cabinets written byte by byte, so that a test can make any field say anything. What a careful packer would write is
//! what comes out when no field is touched; gcab and cabextract agree. Must not read cabinets: that is what is tested.

use crate::lzx::{self, Lzx};
use flate2::{Compress, Compression as Level, FlushCompress};
use std::ops::Range;

/// Bytes of a data block, unpacked.
const BLOCK_BYTES: usize = 32 << 10;

/// How a folder is packed.
#[derive(Debug, Clone)]
pub enum Packing {
    /// As it is.
    Stored,
    /// MSZIP, each block with the one before as its dictionary.
    MsZip,
    /// LZX.
    Lzx(Lzx),
}

/// Builds a cabinet; then [`Cab::set`] lies about it.
#[derive(Debug, Default)]
pub struct CabBuilder {
    folders: Vec<(Packing, Vec<CabFile>)>,
    reserve: Option<[usize; 3]>,
}

#[derive(Debug)]
struct CabFile {
    name: Vec<u8>,
    attributes: u16,
    data: Vec<u8>,
}

/// 2008-12-16 04:43:58
const DATE: u16 = (2008 - 1980) << 9 | 12 << 5 | 16;
const TIME: u16 = 4 << 11 | 43 << 5 | 29;

impl CabBuilder {
    /// A cabinet of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a folder.
    #[must_use]
    pub fn folder(mut self, packing: Packing) -> Self {
        self.folders.push((packing, Vec::new()));
        self
    }

    /// Adds a file to the last folder; its name is UTF-8 and flagged so if it is not ASCII.
    #[must_use]
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        let attributes = if name.is_ascii() { 0x20 } else { 0xa0 };
        self.raw_file(name.as_bytes(), attributes, data)
    }

    /// Adds a file whose name is these bytes.
    #[must_use]
    pub fn raw_file(mut self, name: &[u8], attributes: u16, data: &[u8]) -> Self {
        let file = CabFile { name: name.to_vec(), attributes, data: data.to_vec() };
        self.folders.last_mut().expect("a folder was begun").1.push(file);
        self
    }

    /// Reserves bytes in the header, each folder and each block.
    #[must_use]
    pub fn reserve(mut self, header: usize, folder: usize, block: usize) -> Self {
        self.reserve = Some([header, folder, block]);
        self
    }

    /// The cabinet.
    pub fn build(&self) -> Cab {
        let [header_reserve, folder_reserve, block_reserve] = self.reserve.unwrap_or_default();
        let mut cab = Cab { block_reserve, ..Cab::default() };
        let files: Vec<(usize, usize, &CabFile)> = self.files().collect();
        cab.bytes.extend(b"MSCF");
        cab.bytes.extend([0; 20]);
        cab.bytes.extend([3, 1]);
        cab.u16(self.folders.len());
        cab.u16(files.len());
        cab.u16(if self.reserve.is_some() { 4 } else { 0 });
        cab.bytes.extend([0; 4]);
        if self.reserve.is_some() {
            cab.u16(header_reserve);
            cab.bytes.extend([u8::try_from(folder_reserve).unwrap(), u8::try_from(block_reserve).unwrap()]);
            cab.bytes.extend(vec![0xaa; header_reserve]);
        }
        for _ in &self.folders {
            cab.folders.push(cab.bytes.len());
            cab.bytes.extend(vec![0xbb; 8 + folder_reserve]);
        }
        let files_at = cab.bytes.len();
        for (folder, offset, file) in files {
            cab.files.push(cab.bytes.len());
            cab.u32(file.data.len());
            cab.u32(offset);
            cab.u16(folder);
            for field in [DATE, TIME, file.attributes] {
                cab.bytes.extend(field.to_le_bytes());
            }
            cab.bytes.extend(&file.name);
            cab.bytes.push(0);
        }
        for (number, (packing, files)) in self.folders.iter().enumerate() {
            let data = files.iter().map(|file| file.data.as_slice()).collect::<Vec<_>>().concat();
            cab.data(number, packing, &data, block_reserve);
        }
        cab.set(Field::FilesOffset, u32::try_from(files_at).unwrap());
        cab.set(Field::CabinetBytes, u32::try_from(cab.bytes.len()).unwrap());
        cab
    }

    /// Each file with its folder and where in it it begins.
    fn files(&self) -> impl Iterator<Item = (usize, usize, &CabFile)> {
        self.folders.iter().enumerate().flat_map(|(number, (_, files))| {
            files.iter().scan(0, move |offset, file| {
                let begins = *offset;
                *offset += file.data.len();
                Some((number, begins, file))
            })
        })
    }
}

/// A cabinet's bytes, and where its fields are.
#[derive(Debug, Clone, Default)]
pub struct Cab {
    /// The cabinet.
    pub bytes: Vec<u8>,
    folders: Vec<usize>,
    files: Vec<usize>,
    blocks: Vec<Vec<usize>>,
    block_reserve: usize,
}

/// A field of a cabinet; folders, files and blocks by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `MSCF`
    Signature,
    /// The first reserved field.
    Reserved1,
    /// The cabinet's length.
    CabinetBytes,
    /// The second reserved field.
    Reserved2,
    /// Where the table of files begins.
    FilesOffset,
    /// The third reserved field.
    Reserved3,
    /// Minor version below, major version above.
    Version,
    /// How many folders.
    Folders,
    /// How many files.
    Files,
    /// 1 a cabinet before, 2 one behind, 4 reserved fields.
    Flags,
    /// The set.
    SetId,
    /// The place in the set.
    SetIndex,
    /// Where a folder's data begins.
    FolderData(usize),
    /// How many blocks a folder has.
    FolderBlocks(usize),
    /// A folder's compression.
    FolderPacking(usize),
    /// A file's bytes.
    FileBytes(usize),
    /// Where in its folder a file begins.
    FileOffset(usize),
    /// A file's folder.
    FileFolder(usize),
    /// A file's date.
    FileDate(usize),
    /// A file's time.
    FileTime(usize),
    /// A file's attributes.
    FileAttributes(usize),
    /// A block's checksum, by folder and block.
    BlockChecksum(usize, usize),
    /// A block's bytes.
    BlockPacked(usize, usize),
    /// What a block unpacks to.
    BlockUnpacked(usize, usize),
}

impl Cab {
    /// Makes a field say something else. Checksums stay as they were.
    pub fn set(&mut self, field: Field, value: u32) {
        let range = self.range(field);
        let width = range.len();
        self.bytes[range].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    /// Changes what a field says. Nothing happens if its bytes are not there any more.
    pub fn change(&mut self, field: Field, change: impl FnOnce(u32) -> u32) {
        if self.range(field).end <= self.bytes.len() {
            self.set(field, change(self.get(field)));
        }
    }

    /// [`Cab::set`], for chains.
    #[must_use]
    pub fn with(mut self, field: Field, value: u32) -> Self {
        self.set(field, value);
        self
    }

    /// What a field says.
    pub fn get(&self, field: Field) -> u32 {
        let mut value = [0; 4];
        let bytes = &self.bytes[self.range(field)];
        value[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(value)
    }

    /// Bytes of a field.
    pub fn width(&self, field: Field) -> usize {
        self.range(field).len()
    }

    /// Where the packed data of each block is.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let numbers = self.blocks.iter().enumerate().flat_map(|(folder, of)| (0..of.len()).map(move |n| (folder, n)));
        numbers.map(|(folder, n)| {
            let start = self.blocks[folder][n] + 8 + self.block_reserve;
            start..start + usize::try_from(self.get(Field::BlockPacked(folder, n))).unwrap()
        })
    }

    /// Every field that it has.
    pub fn fields(&self) -> Vec<Field> {
        use Field as F;
        let mut fields = vec![F::Signature, F::Reserved1, F::CabinetBytes, F::Reserved2, F::FilesOffset, F::Reserved3];
        fields.extend([F::Version, F::Folders, F::Files, F::Flags, F::SetId, F::SetIndex]);
        fields
            .extend((0..self.folders.len()).flat_map(|n| [F::FolderData(n), F::FolderBlocks(n), F::FolderPacking(n)]));
        fields.extend((0..self.files.len()).flat_map(|n| [F::FileBytes(n), F::FileOffset(n), F::FileFolder(n)]));
        fields.extend((0..self.files.len()).flat_map(|n| [F::FileDate(n), F::FileTime(n), F::FileAttributes(n)]));
        for (folder, blocks) in self.blocks.iter().enumerate() {
            let of = |n| [F::BlockChecksum(folder, n), F::BlockPacked(folder, n), F::BlockUnpacked(folder, n)];
            fields.extend((0..blocks.len()).flat_map(of));
        }
        fields
    }

    fn range(&self, field: Field) -> Range<usize> {
        let (at, width) = match field {
            Field::Signature => (0, 4),
            Field::Reserved1 => (4, 4),
            Field::CabinetBytes => (8, 4),
            Field::Reserved2 => (12, 4),
            Field::FilesOffset => (16, 4),
            Field::Reserved3 => (20, 4),
            Field::Version => (24, 2),
            Field::Folders => (26, 2),
            Field::Files => (28, 2),
            Field::Flags => (30, 2),
            Field::SetId => (32, 2),
            Field::SetIndex => (34, 2),
            Field::FolderData(n) => (self.folders[n], 4),
            Field::FolderBlocks(n) => (self.folders[n] + 4, 2),
            Field::FolderPacking(n) => (self.folders[n] + 6, 2),
            Field::FileBytes(n) => (self.files[n], 4),
            Field::FileOffset(n) => (self.files[n] + 4, 4),
            Field::FileFolder(n) => (self.files[n] + 8, 2),
            Field::FileDate(n) => (self.files[n] + 10, 2),
            Field::FileTime(n) => (self.files[n] + 12, 2),
            Field::FileAttributes(n) => (self.files[n] + 14, 2),
            Field::BlockChecksum(folder, n) => (self.blocks[folder][n], 4),
            Field::BlockPacked(folder, n) => (self.blocks[folder][n] + 4, 2),
            Field::BlockUnpacked(folder, n) => (self.blocks[folder][n] + 6, 2),
        };
        at..at + width
    }

    fn u16(&mut self, value: usize) {
        self.bytes.extend(u16::try_from(value).unwrap().to_le_bytes());
    }

    fn u32(&mut self, value: usize) {
        self.bytes.extend(u32::try_from(value).unwrap().to_le_bytes());
    }

    /// Writes a folder's blocks, and its entry.
    fn data(&mut self, folder: usize, packing: &Packing, data: &[u8], reserve: usize) {
        let (kind, blocks) = match packing {
            Packing::Stored => (0, data.chunks(BLOCK_BYTES).map(<[u8]>::to_vec).collect()),
            Packing::MsZip => (1, ms_zip(data)),
            Packing::Lzx(lzx) => (3 | lzx.window_bits << 8, lzx::encode(lzx, data)),
        };
        self.set(Field::FolderData(folder), u32::try_from(self.bytes.len()).unwrap());
        self.set(Field::FolderBlocks(folder), u32::try_from(blocks.len()).unwrap());
        self.set(Field::FolderPacking(folder), kind);
        let mut starts = Vec::new();
        for (packed, unpacked) in blocks.iter().zip(data.chunks(BLOCK_BYTES)) {
            starts.push(self.bytes.len());
            let lengths = [packed.len(), unpacked.len()].map(|length| u16::try_from(length).unwrap().to_le_bytes());
            let sum = checksum(&lengths.concat()) ^ checksum(packed);
            self.bytes.extend(sum.to_le_bytes());
            self.bytes.extend(lengths.concat());
            self.bytes.extend(vec![0xcc; reserve]);
            self.bytes.extend(packed);
        }
        self.blocks.push(starts);
    }
}

fn ms_zip(data: &[u8]) -> Vec<Vec<u8>> {
    let mut dictionary: &[u8] = &[];
    let blocks = data.chunks(BLOCK_BYTES).map(|block| {
        let mut deflate = Compress::new(Level::best(), false);
        if !dictionary.is_empty() {
            deflate.set_dictionary(dictionary).unwrap();
        }
        dictionary = block;
        let mut packed = b"CK".to_vec();
        packed.reserve(2 * BLOCK_BYTES);
        deflate.compress_vec(block, &mut packed, FlushCompress::Finish).unwrap();
        packed
    });
    blocks.collect()
}

/// The checksum of a block's lengths and data, each by itself; the two are joined by exclusive-or.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = 0;
    for word in bytes.chunks(4) {
        let mut padded = [0; 4];
        padded[..word.len()].copy_from_slice(word);
        if word.len() < 4 {
            padded[..word.len()].reverse();
        }
        sum ^= u32::from_le_bytes(padded);
    }
    sum
}
