//! Why a cabinet is refused: one variant for each reason, each a sentence that an administrator can act on.
//! Each is complete in its `Display`, without a chain of sources. Must not hold more of the cabinet than a name.

use std::io;

/// A refusal. "Ask the vendor" is the mending of most of them: the file is not what a packaging tool writes.
#[derive(Debug, thiserror::Error)]
pub enum CabinetError {
    /// The first bytes are not those of a cabinet.
    #[error("not a cabinet: expected the signature MSCF and version 1.3 at its start")]
    NotACabinet,
    /// It ends before something that it announces.
    #[error(
        "the cabinet is cut off: expected {what} to end at byte {needs}, but there are {has} bytes; fetch the file again"
    )]
    Truncated {
        /// What is not all there.
        what: String,
        /// Where that would end.
        needs: u64,
        /// Where the cabinet ends.
        has: u64,
    },
    /// A folder is compressed with Quantum.
    #[error("folder {folder} is compressed with Quantum, expected no compression, MSZIP or LZX; pack it again")]
    Quantum {
        /// Its number, from 0.
        folder: usize,
    },
    /// A folder is compressed with something unknown.
    #[error("folder {folder} has the unknown compression {kind:#06x}, expected none, MSZIP or LZX; pack it again")]
    UnknownCompression {
        /// Its number, from 0.
        folder: usize,
        /// The field.
        kind: u16,
    },
    /// It belongs to a set of several cabinets.
    #[error("the cabinet is one of a set of several, expected one that is complete by itself; pack it as one file")]
    MultiCabinetSet,
    /// Something lies where it cannot.
    #[error("{what} lies at byte {offset}, expected {expected}")]
    BadOffset {
        /// What it is, by name.
        what: String,
        /// Where it says that it lies.
        offset: u64,
        /// Where it could.
        expected: String,
    },
    /// A folder holds less than its files declare.
    #[error(
        "file {name:?} declares {declared} bytes from byte {offset} on, expected its folder to hold them, but it holds {holds}"
    )]
    ShortData {
        /// The file.
        name: String,
        /// Its place in the folder.
        offset: u64,
        /// Its bytes.
        declared: u64,
        /// The folder's bytes.
        holds: u64,
    },
    /// Two things share bytes.
    #[error("{first} and {second} overlap, expected each to have its own bytes")]
    Overlapping {
        /// The one that starts first.
        first: String,
        /// The other.
        second: String,
    },
    /// Two files have one name, without regard to case.
    #[error("two files are named {name:?}, expected names that differ by more than case")]
    DuplicateName {
        /// The second one's name.
        name: String,
    },
    /// A name that could harm.
    #[error("the file name {name:?} {reason}, expected a relative path of plain names")]
    HostileName {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        reason: HostileName,
    },
    /// A block's bytes are not those that were packed.
    #[error("block {block} of folder {folder} has the checksum {found:08x}, expected {expected:08x}; fetch it again")]
    Checksum {
        /// The folder's number, from 0.
        folder: usize,
        /// The block's number in it, from 0.
        block: usize,
        /// What the block says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// A block cannot be decompressed.
    #[error("block {block} of folder {folder} cannot be unpacked, expected whole data: {reason}; fetch the file again")]
    Damaged {
        /// The folder's number, from 0.
        folder: usize,
        /// The block's number in it, from 0.
        block: usize,
        /// What its decompressor says.
        reason: String,
    },
    /// [`Limits::entries`](super::Limits::entries).
    #[error("the cabinet holds {count} files, expected {limit} at most")]
    TooManyEntries {
        /// How many it declares.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::folders`](super::Limits::folders).
    #[error("the cabinet holds {count} folders, expected {limit} at most")]
    TooManyFolders {
        /// How many it declares.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::file_bytes`](super::Limits::file_bytes).
    #[error("file {name:?} has {size_bytes} bytes, expected {limit} at most")]
    FileTooLarge {
        /// The file.
        name: String,
        /// Its bytes.
        size_bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// [`Limits::unpacked_bytes`](super::Limits::unpacked_bytes).
    #[error("the cabinet unpacks to {size_bytes} bytes, expected {limit} at most for all that a package holds")]
    TooMuchUnpacked {
        /// Its bytes.
        size_bytes: u64,
        /// What is left of the limit.
        limit: u64,
    },
    /// [`Limits::ratio`](super::Limits::ratio).
    #[error("the cabinet's {packed} bytes unpack to {unpacked}, expected {limit} at most for each byte")]
    RatioTooHigh {
        /// Its own bytes.
        packed: u64,
        /// What it unpacks to.
        unpacked: u64,
        /// The limit.
        limit: u64,
    },
    /// Reading failed.
    #[error("reading the cabinet failed: {0}")]
    Read(io::Error),
    /// Writing what was unpacked failed.
    #[error("writing what is unpacked failed: {0}")]
    Write(io::Error),
}

/// What is wrong with a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostileName {
    /// It starts with a separator.
    #[error("is absolute")]
    Absolute,
    /// It has a colon: a drive, or a stream of another file.
    #[error("names a drive or a stream")]
    Drive,
    /// A segment is `.` or `..`.
    #[error("has the segment . or ..")]
    Dots,
    /// Nothing stands between two separators, or after the last.
    #[error("has an empty segment")]
    EmptySegment,
    /// It has a control character.
    #[error("has a control character")]
    Control,
    /// It is flagged as UTF-8 and is not.
    #[error("is not UTF-8, although it says so")]
    NotUtf8,
    /// A segment is a name that Windows keeps for a device, such as `NUL`.
    #[error("is a device of Windows")]
    Device,
    /// A segment ends in a dot or a space, which Windows drops.
    #[error("has a segment that ends in a dot or a space")]
    Ending,
    /// [`Limits::name_bytes`](super::Limits::name_bytes).
    #[error("is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::path_depth`](super::Limits::path_depth).
    #[error("has more than {limit} segments")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}
