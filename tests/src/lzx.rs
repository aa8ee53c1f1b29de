//! An encoder of LZX, the compression of most of Microsoft's cabinets, as no packer on Debian writes it. Written for
//! variety, not for ratio: all three kinds of blocks, repeated offsets, trees as differences, E8 translation.
//! cabextract reads what it writes; that is the oracle. Must not be used for anything but tests.

use std::collections::HashMap;
use std::ops::Range;

/// Bytes of a frame, which is a data block of the cabinet. Blocks of LZX begin and end anywhere in frames.
const FRAME_BYTES: usize = 32 << 10;
const LONGEST_MATCH: usize = 257;
const LENGTH_SYMBOLS: usize = 249;
const LITERALS: usize = 256;

/// The kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Matches and literals, offsets bit by bit.
    Verbatim,
    /// The low three bits of offsets through a tree of their own.
    Aligned,
    /// Bytes as they are.
    Uncompressed,
}

/// How to encode.
#[derive(Debug, Clone)]
pub struct Lzx {
    /// The window is two to this power, 15 to 21.
    pub window_bits: u32,
    /// Blocks take these kinds in turn.
    pub blocks: Vec<Block>,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// The size for the translation of x86 calls; none switches it off.
    pub translation_size: Option<i32>,
}

/// Encodes `data`; one element of the result for each frame.
pub fn encode(lzx: &Lzx, data: &[u8]) -> Vec<Vec<u8>> {
    let mut data = data.to_vec();
    if let Some(size) = lzx.translation_size {
        data.chunks_mut(FRAME_BYTES).enumerate().for_each(|(frame, bytes)| translate(bytes, frame * FRAME_BYTES, size));
    }
    let mut encoder = Encoder::new(lzx, &data);
    let starts = (0..data.len()).step_by(lzx.block_bytes);
    for (start, block) in starts.zip(lzx.blocks.iter().cycle()) {
        encoder.block(start..data.len().min(start + lzx.block_bytes), *block);
    }
    encoder.finish()
}

/// Makes the relative targets of calls absolute, as a decoder undoes.
fn translate(frame: &mut [u8], frame_start: usize, size: i32) {
    let mut at = 0;
    while at + 10 < frame.len() {
        if frame[at] != 0xe8 {
            at += 1;
            continue;
        }
        let position = i32::try_from(frame_start + at).unwrap();
        let relative = i32::from_le_bytes(frame[at + 1..at + 5].try_into().unwrap());
        let absolute = if relative >= -position && relative < size - position {
            Some(relative + position)
        } else {
            (relative >= size - position && relative < size).then(|| relative - size)
        };
        if let Some(absolute) = absolute {
            frame[at + 1..at + 5].copy_from_slice(&absolute.to_le_bytes());
        }
        at += 5;
    }
}

/// What a frame is made of.
enum Token {
    Literal(u8),
    /// Slot of the offset, its bits below the slot, and the length.
    Match {
        slot: usize,
        footer: u32,
        length: usize,
    },
}

impl Token {
    fn length(&self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::Match { length, .. } => *length,
        }
    }
}

struct Encoder<'a> {
    data: &'a [u8],
    window: usize,
    /// Frames that are complete, and the bits of the one that is not.
    frames: Vec<Vec<u8>>,
    bits: Bits,
    recent: [u32; 3],
    main_lengths: Vec<u8>,
    length_lengths: Vec<u8>,
    /// Where three bytes stood last.
    seen: HashMap<[u8; 3], usize>,
}

impl<'a> Encoder<'a> {
    fn new(lzx: &Lzx, data: &'a [u8]) -> Self {
        let mut bits = Bits::default();
        bits.put(u32::from(lzx.translation_size.is_some()), 1);
        if let Some(size) = lzx.translation_size {
            bits.put_long(size.cast_unsigned(), 32);
        }
        Self {
            data,
            window: 1 << lzx.window_bits,
            frames: Vec::new(),
            bits,
            recent: [1; 3],
            main_lengths: vec![0; LITERALS + 8 * slot_count(lzx.window_bits)],
            length_lengths: vec![0; LENGTH_SYMBOLS],
            seen: HashMap::new(),
        }
    }

    fn block(&mut self, range: Range<usize>, block: Block) {
        let kind = match block {
            Block::Verbatim => 1,
            Block::Aligned => 2,
            Block::Uncompressed => 3,
        };
        self.bits.put(kind, 3);
        self.bits.put_long(u32::try_from(range.len()).unwrap(), 24);
        if block == Block::Uncompressed {
            return self.uncompressed(range);
        }
        let mut at = range.start;
        let tokens = self.tokens(range);
        if block == Block::Aligned {
            // All eight symbols with three bits each.
            (0..8).for_each(|_| self.bits.put(3, 3));
        }
        self.trees(&tokens);
        let (main, length) = (Codes::new(&self.main_lengths), Codes::new(&self.length_lengths));
        for token in &tokens {
            put_token(&mut self.bits, token, &main, &length, block);
            at += token.length();
            self.end_frame_at(at);
        }
    }

    fn uncompressed(&mut self, range: Range<usize>) {
        self.bits.align_for_bytes();
        self.recent.iter().for_each(|offset| self.bits.bytes.extend(offset.to_le_bytes()));
        let (is_odd, end) = (range.len() % 2 == 1, range.end);
        for at in range {
            self.bits.bytes.push(self.data[at]);
            self.remember(at);
            // The filling of a block that ends with its frame is the frame's last byte.
            if at + 1 == end && is_odd {
                self.bits.bytes.push(0);
            }
            self.end_frame_at(at + 1);
        }
    }

    fn end_frame_at(&mut self, at: usize) {
        if at.is_multiple_of(FRAME_BYTES) {
            self.frames.push(std::mem::take(&mut self.bits).finish());
        }
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.data.len().is_multiple_of(FRAME_BYTES) {
            self.frames.push(self.bits.finish());
        }
        self.frames
    }

    fn remember(&mut self, at: usize) {
        if let Some(key) = self.data.get(at..at + 3) {
            self.seen.insert(key.try_into().unwrap(), at);
        }
    }

    /// What the bytes of a block are made of; no match crosses the end of a frame.
    fn tokens(&mut self, range: Range<usize>) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / FRAME_BYTES + 1) * FRAME_BYTES);
            let found = self.data.get(at..at + 3).and_then(|key| self.seen.get(key).copied());
            let fits = |from: &usize| at - from <= self.window - 3;
            let length = found.filter(fits).map_or(0, |from| {
                let same = |length: &usize| self.data[from + length] == self.data[at + length];
                (0..LONGEST_MATCH.min(end - at)).take_while(same).count()
            });
            let token = match found {
                Some(from) if length >= 3 => self.matched(u32::try_from(at - from).unwrap(), length),
                _ => Token::Literal(self.data[at]),
            };
            (at..at + token.length()).for_each(|at| self.remember(at));
            at += token.length();
            tokens.push(token);
        }
        tokens
    }

    fn matched(&mut self, offset: u32, length: usize) -> Token {
        if let Some(slot) = self.recent.iter().position(|recent| *recent == offset) {
            self.recent.swap(0, slot);
            return Token::Match { slot, footer: 0, length };
        }
        self.recent = [offset, self.recent[0], self.recent[1]];
        let formatted = offset + 2;
        let slot = (0..).take_while(|slot| base(*slot) <= formatted).last().unwrap();
        Token::Match { slot, footer: formatted - base(slot), length }
    }

    /// Makes the trees for the tokens and writes them as differences from the last ones.
    fn trees(&mut self, tokens: &[Token]) {
        let mut main = vec![0; self.main_lengths.len()];
        let mut length = vec![0; LENGTH_SYMBOLS];
        for token in tokens {
            main[main_symbol(token)] += 1;
            if let Some(symbol) = length_symbol(token) {
                length[symbol] += 1;
            }
        }
        let (main, length) = (code_lengths(&main), code_lengths(&length));
        let bits = &mut self.bits;
        put_lengths(bits, &self.main_lengths[..LITERALS], &main[..LITERALS]);
        put_lengths(bits, &self.main_lengths[LITERALS..], &main[LITERALS..]);
        put_lengths(bits, &self.length_lengths, &length);
        (self.main_lengths, self.length_lengths) = (main, length);
    }
}

fn slot_count(window_bits: u32) -> usize {
    match window_bits {
        20 => 42,
        21 => 50,
        bits => 2 * usize::try_from(bits).unwrap(),
    }
}

fn footer_bits(slot: usize) -> u32 {
    if slot < 4 { 0 } else { u32::try_from((slot - 2) / 2).unwrap().min(17) }
}

fn base(slot: usize) -> u32 {
    (0..slot).map(|slot| 1 << footer_bits(slot)).sum()
}

fn main_symbol(token: &Token) -> usize {
    match token {
        Token::Literal(byte) => usize::from(*byte),
        Token::Match { slot, length, .. } => LITERALS + slot * 8 + (length - 2).min(7),
    }
}

fn length_symbol(token: &Token) -> Option<usize> {
    match token {
        Token::Match { length, .. } => length.checked_sub(9),
        Token::Literal(_) => None,
    }
}

fn put_token(bits: &mut Bits, token: &Token, main: &Codes, length: &Codes, block: Block) {
    main.put(bits, main_symbol(token));
    if let Some(symbol) = length_symbol(token) {
        length.put(bits, symbol);
    }
    let Token::Match { slot, footer, .. } = token else { return };
    match footer_bits(*slot) {
        extra if block == Block::Aligned && extra >= 3 => {
            bits.put_long(footer >> 3, extra - 3);
            bits.put(footer & 7, 3);
        }
        extra => bits.put_long(*footer, extra),
    }
}

/// Writes the lengths of a tree: a tree of twenty symbols, and through it the differences and the runs of zeros.
fn put_lengths(bits: &mut Bits, before: &[u8], now: &[u8]) {
    let mut symbols: Vec<(usize, u32, u32)> = Vec::new();
    let mut at = 0;
    while at < now.len() {
        let zeros = now[at..].iter().take_while(|length| **length == 0).count();
        let (symbol, extra, width, taken) = match zeros {
            20.. => (18, zeros.min(51) - 20, 5, zeros.min(51)),
            4.. => (17, zeros.min(19) - 4, 4, zeros.min(19)),
            _ => (usize::from((17 + before[at] - now[at]) % 17), 0, 0, 1),
        };
        symbols.push((symbol, u32::try_from(extra).unwrap(), width));
        at += taken;
    }
    let mut counts = vec![0; 20];
    symbols.iter().for_each(|(symbol, ..)| counts[*symbol] += 1);
    let lengths = code_lengths(&counts);
    lengths.iter().for_each(|length| bits.put(u32::from(*length), 4));
    let codes = Codes::new(&lengths);
    for (symbol, extra, width) in symbols {
        codes.put(bits, symbol);
        bits.put(extra, width);
    }
}

/// Huffman code lengths. A tree of one symbol gets a second one, as decoders want full trees.
fn code_lengths(counts: &[u32]) -> Vec<u8> {
    let mut counts: Vec<u32> = counts.to_vec();
    if counts.iter().all(|count| *count == 0) {
        return vec![0; counts.len()];
    }
    while counts.iter().filter(|count| **count > 0).count() < 2 {
        let unused = counts.iter().position(|count| *count == 0).unwrap();
        counts[unused] = 1;
    }
    loop {
        let lengths = huffman(&counts);
        if lengths.iter().all(|length| *length <= 15) {
            return lengths;
        }
        counts.iter_mut().filter(|count| **count > 0).for_each(|count| *count = *count / 2 + 1);
    }
}

fn huffman(counts: &[u32]) -> Vec<u8> {
    let mut nodes: Vec<(u32, Vec<usize>)> =
        counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(n, count)| (*count, vec![n])).collect();
    let mut lengths = vec![0; counts.len()];
    while nodes.len() > 1 {
        nodes.sort_by_key(|(count, symbols)| std::cmp::Reverse((*count, symbols.len())));
        let (one, mut symbols) = nodes.pop().unwrap();
        let (other, more) = nodes.pop().unwrap();
        symbols.extend(more);
        symbols.iter().for_each(|symbol| lengths[*symbol] += 1);
        nodes.push((one + other, symbols));
    }
    lengths
}

/// Canonical codes.
struct Codes(Vec<(u32, u8)>);

impl Codes {
    fn new(lengths: &[u8]) -> Self {
        let mut codes = vec![(0, 0); lengths.len()];
        let mut next = 0_u32;
        for width in 1..=16 {
            next <<= 1;
            for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, length)| **length == width) {
                *code = (next, width);
                next += 1;
            }
        }
        Self(codes)
    }

    fn put(&self, bits: &mut Bits, symbol: usize) {
        let (code, width) = self.0[symbol];
        bits.put(code, u32::from(width));
    }
}

/// Bits from the highest of words of 16, the words little end first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    word: u32,
    filled: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        for bit in (0..width).rev() {
            self.word = self.word << 1 | value >> bit & 1;
            self.filled += 1;
            if self.filled == 16 {
                self.bytes.extend(&self.word.to_le_bytes()[..2]);
                (self.word, self.filled) = (0, 0);
            }
        }
    }

    fn put_long(&mut self, value: u32, width: u32) {
        if width > 16 {
            self.put(value >> 16, width - 16);
        }
        self.put(value & 0xffff, width.min(16));
    }

    /// Bytes that are not bits begin behind one to sixteen bits of filling.
    fn align_for_bytes(&mut self) {
        self.put(0, 16 - self.filled);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.align_for_bytes();
        }
        self.bytes
    }
}
