//! A cabinet built from a fuzzer's bytes, and then lied about: random bytes hardly ever get past the tables of a
//! cabinet and the checksums of its blocks, these do.

use crate::cab::{Cab, CabBuilder, Field, Packing};
use crate::lzx::{Block, Lzx};
use crate::oracle::Files;
use crate::repair::repair_checksums;
use arbitrary::Arbitrary;

/// What is built, and what is done to it.
#[derive(Debug, Arbitrary)]
pub struct Built {
    folders: Vec<Folder>,
    reserve: Option<(u8, u8, u8)>,
    changes: Vec<Change>,
    /// Whether checksums are left as they were.
    unrepaired: bool,
}

#[derive(Debug, Arbitrary)]
struct Folder {
    kind: Kind,
    files: Vec<File>,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Stored,
    MsZip,
    Lzx { window: u8, blocks: Vec<u8>, block_bytes: u16, translation_size: Option<i32> },
}

#[derive(Debug, Arbitrary)]
struct File {
    runs: Vec<(u8, u16)>,
}

#[derive(Debug, Arbitrary)]
enum Change {
    /// A field says something else.
    Field {
        field: u16,
        value: u32,
    },
    /// A field is a little off.
    Nudge {
        field: u16,
        by: i8,
    },
    /// A byte is another.
    Byte {
        at: u32,
        value: u8,
    },
    /// A byte of packed data is another.
    Data {
        at: u16,
        value: u8,
    },
    Insert {
        at: u32,
        bytes: Vec<u8>,
    },
    Remove {
        at: u32,
        count: u8,
    },
    Truncate {
        at: u32,
    },
}

/// Runs of bytes and files that are built at most: a run must stay short.
const RUNS: usize = 24;
const FILES: usize = 6;
const FOLDERS: usize = 4;
const CHANGES: usize = 8;

impl Built {
    /// The files that it has before anything is changed.
    pub fn files(&self) -> Files {
        let files = self.folders().enumerate().flat_map(|(folder, of)| {
            of.files.iter().take(FILES).enumerate().map(move |(file, of)| (name(folder, file), of.bytes()))
        });
        files.collect()
    }

    /// Whether the changes leave it as it is built.
    pub fn is_honest(&self) -> bool {
        self.changes.is_empty()
    }

    /// The cabinet.
    pub fn bytes(&self) -> Vec<u8> {
        let mut cab = self.cab();
        for change in self.changes.iter().take(CHANGES) {
            change.apply(&mut cab);
        }
        if !self.unrepaired && !self.is_honest() {
            repair_checksums(&mut cab.bytes);
        }
        cab.bytes
    }

    fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.folders.iter().take(FOLDERS)
    }

    fn cab(&self) -> Cab {
        let mut builder = CabBuilder::new();
        for (number, folder) in self.folders().enumerate() {
            builder = builder.folder(folder.kind.packing());
            for (file, of) in folder.files.iter().take(FILES).enumerate() {
                builder = builder.file(&name(number, file), &of.bytes());
            }
        }
        if let Some((header, folder, block)) = self.reserve {
            builder = builder.reserve(header.into(), folder.into(), block.into());
        }
        builder.build()
    }
}

fn nth(cab: &Cab, number: u16) -> Field {
    let fields = cab.fields();
    fields[usize::from(number) % fields.len()]
}

fn name(folder: usize, file: usize) -> String {
    format!("{folder}/{file}.nbt")
}

impl Kind {
    fn packing(&self) -> Packing {
        match self {
            Self::Stored => Packing::Stored,
            Self::MsZip => Packing::MsZip,
            Self::Lzx { window, blocks, block_bytes, translation_size } => {
                let kinds = [Block::Verbatim, Block::Aligned, Block::Uncompressed];
                let blocks = blocks.iter().chain(&[0]).take(4).map(|block| kinds[usize::from(block % 3)]).collect();
                Packing::Lzx(Lzx {
                    window_bits: 15 + u32::from(window % 7),
                    blocks,
                    block_bytes: 512 + usize::from(*block_bytes),
                    translation_size: translation_size.map(|size| size.saturating_abs().max(1)),
                })
            }
        }
    }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, length) in self.runs.iter().take(RUNS) {
            let length = usize::from(*length) % 6_000;
            let mut state = u32::from(*kind) << 16 | 1;
            match kind % 4 {
                0 => bytes.extend(std::iter::repeat_n(*kind, length)),
                1 => bytes.extend((0..length).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                })),
                2 => bytes.extend([0xe8, *kind, 0, 0, 0].into_iter().cycle().take(length)),
                _ => {
                    let from = bytes.len().saturating_sub(length.max(1) * 2);
                    bytes.extend_from_within(from..bytes.len().min(from + length));
                }
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, cab: &mut Cab) {
        let place = |at: &u32, length: usize| usize::try_from(*at).unwrap_or_default() % length.max(1);
        let length = cab.bytes.len();
        match self {
            Self::Field { field, value } => cab.change(nth(cab, *field), |_| *value),
            Self::Nudge { field, by } => {
                cab.change(nth(cab, *field), |value| value.wrapping_add_signed(i32::from(*by)));
            }
            Self::Byte { at, value } if length > 0 => cab.bytes[place(at, length)] = *value,
            // Data stands at the end.
            Self::Data { at, value } if length > 0 => cab.bytes[length - 1 - usize::from(*at) % length] = *value,
            Self::Insert { at, bytes } => {
                let at = place(at, length);
                cab.bytes.splice(at..at, bytes.iter().take(64).copied());
            }
            Self::Remove { at, count } => {
                let at = place(at, length);
                cab.bytes.drain(at..length.min(at + usize::from(*count)));
            }
            Self::Truncate { at } => cab.bytes.truncate(place(at, length)),
            Self::Byte { .. } | Self::Data { .. } => {}
        }
    }
}
