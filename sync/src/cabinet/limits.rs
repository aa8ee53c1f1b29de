//! What a package may cost: every number that hostile input could otherwise choose.

/// Limits on a package; [`Limits::default`] fits every package known and costs a small machine little. A node takes them
/// from `[packages]` of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the package file. Default 2 GiB: a cabinet's own field holds no more than 4 GiB.
    pub package_bytes: u64,
    /// Files in one cabinet. Default 25,000: image and catalog of as many updates as a description may list, and some;
    /// the format's own limit is 65,535, but a package may not cost more than 64 MiB of memory.
    pub entries: usize,
    /// Folders (runs of compressed data) in one cabinet. Default 4,096.
    pub folders: usize,
    /// Bytes of one unpacked file. Default 1 GiB; images of phones have up to some 100 MiB.
    pub file_bytes: u64,
    /// Bytes of all that is unpacked, cabinets inside cabinets included; also of the files of all updates, where one that
    /// several updates have counts for each of them. Default 4 GiB.
    pub unpacked_bytes: u64,
    /// Unpacked bytes for each byte of a cabinet. Default 2,000: an image of nothing but zeros reaches about 600 with
    /// MSZIP, and 3,000 with LZX, which nobody has seen in earnest.
    pub ratio: u64,
    /// Cabinets inside cabinets; 1 means one inside another. Default 2.
    pub nesting: usize,
    /// Bytes of one name with its path. Default 255, the format's own limit.
    pub name_bytes: usize,
    /// Segments of one name with its path. Default 16; eight are in use (PROTOCOL.md 7).
    pub path_depth: usize,
    /// Bytes of `updateInfo.xml`. Default 4 MiB.
    pub description_bytes: u64,
    /// Bytes of a security catalog that is looked into; a larger one is carried unread. Default 4 MiB.
    pub catalog_bytes: u64,
    /// Bytes that stay free on the disk that is unpacked to: a cabinet that would leave less is not begun. Default none:
    /// only a write says then that the disk is full.
    pub reserve_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            package_bytes: 2 << 30,
            entries: 25_000,
            folders: 4_096,
            file_bytes: 1 << 30,
            unpacked_bytes: 4 << 30,
            ratio: 2_000,
            nesting: 2,
            name_bytes: 255,
            path_depth: 16,
            description_bytes: 4 << 20,
            catalog_bytes: 4 << 20,
            reserve_bytes: None,
        }
    }
}
