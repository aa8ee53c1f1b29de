//! Packs a file into a cabinet with LZX, which no packer on Debian does: `lzx_cabinet FILE PATH_IN_CABINET CABINET`.
//! For benches/cabinets.sh.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

use tests::cab::{CabBuilder, Packing};
use tests::lzx::{Block, Lzx};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, path, cabinet] = &arguments[..] else {
        panic!("usage: lzx_cabinet FILE PATH_IN_CABINET CABINET");
    };
    // As Microsoft's packer writes them: the largest window, long blocks of matches.
    let blocks = vec![Block::Verbatim, Block::Aligned];
    let lzx = Lzx { window_bits: 21, blocks, block_bytes: 1 << 20, translation_size: Some(12_000_000) };
    let bytes = std::fs::read(file).unwrap();
    let built = CabBuilder::new().folder(Packing::Lzx(lzx)).file(&path.replace('/', "\\"), &bytes).build();
    std::fs::write(cabinet, built.bytes).unwrap();
}
