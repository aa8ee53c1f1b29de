//! LZX as cabinets use it: frames of 32 KiB, one a data block, with a window of 32 KiB to 2 MiB across them.
//! Our own, and not the `lzxd` crate: that one translates a call whose absolute target is zero to other bytes than
//! cabextract does, and with overflow checks it panics on a hostile offset (decision 0009).
//!
//! Every read is bounded by the block, every write by the frame, every offset by what came before it.

mod bits;
mod tree;

use super::blocks::BLOCK_BYTES;
use bits::Bits;
use tree::Tree;

/// What a decoder says of a block that it cannot unpack.
type Refusal = &'static str;

/// The decoder of one folder.
pub(super) struct Lzx {
    window: Vec<u8>,
    /// Where in the window the next byte goes; the window's length is a power of two.
    at: usize,
    /// Bytes that came out so far.
    produced: usize,
    /// Whether a frame was shorter than 32 KiB, which only the last one may be.
    ended: bool,
    recent: [usize; 3],
    main_lengths: Vec<u8>,
    length_lengths: Vec<u8>,
    block: Block,
    /// Bytes that the block is still to give.
    remaining: usize,
    /// Whether a byte of filling stands between an uncompressed block of odd length and the next one.
    filling: bool,
    /// The size for the translation of x86 calls; zero is none.
    translation_size: i32,
    output: Vec<u8>,
}

enum Block {
    Compressed(Box<Trees>),
    Uncompressed,
}

/// The codes of a compressed block.
struct Trees {
    main: Tree,
    length: Tree,
    /// Of the low bits of offsets, in a block of that kind.
    aligned: Option<Tree>,
}

const LITERALS: usize = 256;
const LENGTH_SYMBOLS: usize = 249;
/// The shortest match.
const MATCH_BYTES: usize = 2;
/// Calls are translated in the first GiB only.
const TRANSLATED_BYTES: usize = 1 << 30;
/// A call in the last ten bytes of a frame is not translated.
const UNTRANSLATED_END: usize = 10;
const CALL: u8 = 0xe8;

impl Lzx {
    /// A decoder with a window of two to this power, 15 to 21, for a folder of so many bytes: what it does not fill of
    /// its window is not there, so that thousands of small folders cost what they hold.
    pub(super) fn new(window_bits: u16, folder_bytes: u64) -> Self {
        let slots = match window_bits {
            20 => 42,
            21 => 50,
            bits => 2 * usize::from(bits),
        };
        let largest: usize = 1 << window_bits;
        let filled = usize::try_from(folder_bytes).unwrap_or(largest).clamp(BLOCK_BYTES, largest);
        Self {
            window: vec![0; filled.next_power_of_two()],
            at: 0,
            produced: 0,
            ended: false,
            recent: [1; 3],
            main_lengths: vec![0; LITERALS + 8 * slots],
            length_lengths: vec![0; LENGTH_SYMBOLS],
            block: Block::Uncompressed,
            remaining: 0,
            filling: false,
            translation_size: 0,
            output: vec![0; BLOCK_BYTES],
        }
    }

    /// Decodes the next frame to exactly `length` bytes.
    pub(super) fn next(&mut self, frame: &[u8], length: usize) -> Result<&[u8], Refusal> {
        if self.ended {
            return Err("it comes after a block of fewer than 32768 bytes, which must be the last");
        }
        self.ended = length < BLOCK_BYTES;
        let mut bits = Bits::new(frame);
        if self.produced == 0 {
            self.translation_size = match bits.read(1)? {
                0 => 0,
                _ => (bits.read(16)? << 16 | bits.read(16)?).cast_signed(),
            };
        }
        let start = self.at;
        let mut wanted = length;
        while wanted > 0 {
            if self.remaining == 0 {
                self.begin_block(&mut bits)?;
            }
            let run = wanted.min(self.remaining);
            let taken = match &self.block {
                Block::Uncompressed => self.copy(&mut bits, run)?,
                Block::Compressed(_) => self.decode(&mut bits, run)?,
            };
            self.remaining -= taken;
            wanted -= taken;
        }
        // The filling may be the last byte of this frame; if it is not here, it begins the next.
        if self.remaining == 0 && self.filling {
            self.filling = bits.read_byte().is_err();
        }
        let (frame, frame_start) = (&self.window[start..start + length], self.produced - length);
        if self.translation_size == 0 || frame_start >= TRANSLATED_BYTES {
            return Ok(frame);
        }
        // What comes later copies from what was there before the translation.
        let output = &mut self.output[..length];
        output.copy_from_slice(frame);
        translate(output, frame_start, self.translation_size);
        Ok(output)
    }

    fn begin_block(&mut self, bits: &mut Bits<'_>) -> Result<(), Refusal> {
        if std::mem::take(&mut self.filling) {
            bits.read_byte()?;
        }
        let kind = bits.read(3)?;
        let size = (bits.read(16)? << 8 | bits.read(8)?) as usize;
        if size == 0 {
            return Err("an LZX block declares no bytes");
        }
        self.remaining = size;
        self.block = match kind {
            1 => self.read_trees(bits, None)?,
            2 => {
                let mut lengths = [0; 8];
                for length in &mut lengths {
                    *length = bits.read_small(3)?;
                }
                let aligned = Tree::new(&lengths)?;
                self.read_trees(bits, Some(aligned))?
            }
            3 => {
                bits.align()?;
                for recent in &mut self.recent {
                    *recent = bits.read_offset()?;
                }
                self.filling = size % 2 == 1;
                Block::Uncompressed
            }
            _ => return Err("an LZX block is of an unknown kind"),
        };
        Ok(())
    }

    fn read_trees(&mut self, bits: &mut Bits<'_>, aligned: Option<Tree>) -> Result<Block, Refusal> {
        tree::read_lengths(bits, &mut self.main_lengths, 0..LITERALS)?;
        let end = self.main_lengths.len();
        tree::read_lengths(bits, &mut self.main_lengths, LITERALS..end)?;
        tree::read_lengths(bits, &mut self.length_lengths, 0..LENGTH_SYMBOLS)?;
        let (main, length) = (Tree::new(&self.main_lengths)?, Tree::new(&self.length_lengths)?);
        Ok(Block::Compressed(Box::new(Trees { main, length, aligned })))
    }

    /// Takes up to `run` bytes as they are.
    fn copy(&mut self, bits: &mut Bits<'_>, run: usize) -> Result<usize, Refusal> {
        let bytes = bits.read_bytes(run)?;
        self.window[self.at..self.at + run].copy_from_slice(bytes);
        self.advance(run);
        Ok(run)
    }

    /// Decodes literals and matches that make exactly `run` bytes.
    fn decode(&mut self, bits: &mut Bits<'_>, run: usize) -> Result<usize, Refusal> {
        let Block::Compressed(trees) = &self.block else { return Ok(0) };
        let Trees { main, length, aligned } = &**trees;
        let (mut recent, mut at, end) = (self.recent, self.at, self.at + run);
        let window = &mut self.window[..];
        // With this, `at` counts all bytes that came out so far.
        let before = self.produced - self.at;
        // A copy that nobody else knows can stay in registers.
        let mut here = *bits;
        while at < end {
            let symbol = main.decode(&mut here)?;
            let Some(symbol) = symbol.checked_sub(LITERALS) else {
                window[at] = symbol.to_le_bytes()[0];
                at += 1;
                continue;
            };
            let bytes = MATCH_BYTES + if symbol % 8 == 7 { 7 + length.decode(&mut here)? } else { symbol % 8 };
            let offset = match symbol / 8 {
                slot @ 0..3 => {
                    recent.swap(0, slot);
                    recent[0]
                }
                slot => {
                    let offset = read_offset(&mut here, slot, aligned.as_ref())?;
                    recent = [offset, recent[0], recent[1]];
                    offset
                }
            };
            if offset == 0 || offset > (before + at).min(window.len()) {
                return Err("an LZX match points before the beginning");
            }
            if bytes > end - at {
                return Err("an LZX match goes beyond its frame or its block");
            }
            copy_match(window, at, offset, bytes);
            at += bytes;
        }
        here.check()?;
        *bits = here;
        self.recent = recent;
        self.advance(run);
        Ok(run)
    }

    /// Frames divide the window, so a frame never crosses its end.
    fn advance(&mut self, run: usize) {
        self.at = (self.at + run) & (self.window.len() - 1);
        self.produced += run;
    }
}

/// The offset of a match: its slot gives the high bits, the stream the low ones.
#[inline]
fn read_offset(bits: &mut Bits<'_>, slot: usize, aligned: Option<&Tree>) -> Result<usize, Refusal> {
    let extra = extra_bits(slot);
    let base = if slot < 36 { (2 | slot & 1) << extra } else { (slot - 34) << 17 };
    let base = if slot < 4 { slot } else { base };
    let low = match aligned {
        Some(tree) if extra >= 3 => bits.read(extra - 3)? as usize * 8 + tree.decode(bits)?,
        _ => bits.read(extra)? as usize,
    };
    Ok(base + low - 2)
}

fn extra_bits(slot: usize) -> u32 {
    match slot {
        0..4 => 0,
        36.. => 17,
        _ => u32::try_from(slot / 2 - 1).unwrap_or(17),
    }
}

/// Copies bytes that came `offset` before in the window, up to its end; what is copied may be what was just written.
#[inline]
fn copy_match(window: &mut [u8], mut at: usize, offset: usize, mut bytes: usize) {
    if offset >= bytes && copy_short_match(window, at, offset, bytes).is_some() {
        return;
    }
    if at < offset {
        // The source stands at the window's end, and may go on at its beginning.
        let source = at + window.len() - offset;
        let head = bytes.min(window.len() - source);
        window.copy_within(source..source + head, at);
        (at, bytes) = (at + head, bytes - head);
    }
    // Once the first `offset` bytes are there again, twice as many can be copied, and so on.
    let source = at.saturating_sub(offset);
    while bytes > 0 {
        let run = bytes.min(at - source);
        window.copy_within(source..source + run, at);
        (at, bytes) = (at + run, bytes - run);
    }
}

/// Copies a match as short as most are: eight bytes at once, of which only the match changes. The others may be what a
/// later match copies. None if the match is longer, or too near an end of the window.
#[inline]
fn copy_short_match(window: &mut [u8], at: usize, offset: usize, bytes: usize) -> Option<()> {
    let others = u64::MAX.checked_shl(8 * u32::try_from(bytes).ok()?).or((bytes == 8).then_some(0))?;
    let source = u64::from_le_bytes(*window.get(at.checked_sub(offset)?..)?.first_chunk()?);
    let target = window.get_mut(at..)?.first_chunk_mut()?;
    *target = (source & !others | u64::from_le_bytes(*target) & others).to_le_bytes();
    Some(())
}

/// Makes absolute targets of x86 calls relative again.
fn translate(frame: &mut [u8], frame_start: usize, size: i32) {
    let Some(last) = frame.len().checked_sub(UNTRANSLATED_END) else { return };
    let mut at = 0;
    while let Some(found) = memchr::memchr(CALL, &frame[at..last]) {
        let call = at + found;
        // Below 1 GiB, as the caller has seen.
        let Ok(position) = i32::try_from(frame_start + call) else { return };
        let target = &mut frame[call + 1..call + 5];
        let absolute = i32::from_le_bytes([target[0], target[1], target[2], target[3]]);
        if absolute >= -position && absolute < size {
            let relative = if absolute >= 0 { absolute.wrapping_sub(position) } else { absolute.wrapping_add(size) };
            target.copy_from_slice(&relative.to_le_bytes());
        }
        at = call + 5;
        if at >= last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_match_is_copied_byte_by_byte_in_a_circle(
            at in 0..64_usize,
            offset in 1..=64_usize,
            bytes in 2..40_usize,
            seed in any::<[u8; 32]>(),
        ) {
            let mut window: Vec<u8> = [seed, seed.map(|byte| byte ^ 0x55)].concat();
            let bytes = bytes.min(window.len() - at);
            let mut expected = window.clone();
            for at in at..at + bytes {
                expected[at] = expected[(at + 64 - offset) % 64];
            }
            copy_match(&mut window, at, offset, bytes);
            prop_assert_eq!(window, expected);
        }
    }

    #[test]
    fn calls_are_translated_up_to_the_last_ten_bytes() {
        let mut frame = [0x90; 30];
        for (call, target) in [(0, 100_i32), (7, 3), (13, 1 << 20), (20, 100)] {
            frame[call] = CALL;
            frame[call + 1..call + 5].copy_from_slice(&target.to_le_bytes());
        }
        let mut expected = frame;
        expected[1..5].copy_from_slice(&(100_i32 - 1000).to_le_bytes());
        expected[8..12].copy_from_slice(&(3_i32 - 1007).to_le_bytes());
        translate(&mut frame, 1000, 5000);
        assert_eq!(frame, expected);
    }
}
