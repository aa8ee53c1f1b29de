//! The bits of an LZX frame: words of 16 bits, little end first, each read from its highest bit; and bytes between them.

use super::Refusal;

const SHORT: Refusal = "the LZX data ends too early";

/// A frame's bits.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where the next word is taken from.
    next: usize,
    /// Bits that were taken, from the highest.
    buffer: u64,
    filled: u32,
    /// How many of the last bits in the buffer are beyond the end: a code may be looked up that is shorter.
    beyond: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, buffer: 0, filled: 0, beyond: 0 }
    }

    /// Fills the buffer to at least 33 bits, with zeros beyond the end.
    #[inline]
    fn fill(&mut self) {
        match self.bytes.get(self.next..).and_then(|rest| rest.first_chunk()) {
            Some(words) => {
                let words = u64::from(u32::from_le_bytes(*words).rotate_left(16));
                self.next += 4;
                self.buffer |= words << (32 - self.filled);
                self.filled += 32;
            }
            None => *self = self.filled_at_the_end(),
        }
    }

    /// The same, where fewer than two words are left. By value, so that the bits of a loop can stay in registers.
    #[cold]
    fn filled_at_the_end(mut self) -> Self {
        while self.filled <= 32 {
            let word = match self.bytes.get(self.next..self.next + 2) {
                Some(word) => u64::from(u16::from_le_bytes([word[0], word[1]])),
                None => {
                    self.beyond += 16;
                    0
                }
            };
            self.next += 2;
            self.buffer |= word << (48 - self.filled);
            self.filled += 16;
        }
        self
    }

    /// The next bits, up to 17, without taking them.
    #[inline]
    pub(super) fn peek(&mut self, count: u32) -> usize {
        if self.filled < count {
            self.fill();
        }
        // In two steps, as a shift by all 64 is none; 17 bits fit anywhere.
        usize::try_from(self.buffer >> 1 >> (63 - count)).unwrap_or_default()
    }

    /// Takes bits that were looked at.
    #[inline]
    pub(super) fn take(&mut self, count: u32) {
        self.buffer <<= count;
        self.filled -= count;
    }

    /// Whether all bits that were taken were there.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.filled < self.beyond { Err(SHORT) } else { Ok(()) }
    }

    /// The next bits, up to 17.
    #[inline]
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Refusal> {
        let bits = self.peek(count);
        self.take(count);
        self.check()?;
        u32::try_from(bits).map_err(|_| SHORT)
    }

    /// The next bits, up to 8.
    pub(super) fn read_small(&mut self, count: u32) -> Result<u8, Refusal> {
        self.read(count).and_then(|bits| u8::try_from(bits).map_err(|_| SHORT))
    }

    /// Goes to the next word, so that bytes can be read; at the beginning of one, goes to the one after.
    pub(super) fn align(&mut self) -> Result<(), Refusal> {
        if self.filled.is_multiple_of(16) {
            self.read(16)?;
        }
        self.give_back();
        Ok(())
    }

    /// Gives whole words that are in the buffer back to the bytes, and drops the bits of a begun one.
    fn give_back(&mut self) {
        self.next -= 2 * (self.filled / 16) as usize;
        (self.buffer, self.filled, self.beyond) = (0, 0, 0);
    }

    /// The next bytes.
    pub(super) fn read_bytes(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        self.give_back();
        let bytes = self.bytes.get(self.next..).and_then(|rest| rest.get(..count)).ok_or(SHORT)?;
        self.next += count;
        Ok(bytes)
    }

    /// The next byte.
    pub(super) fn read_byte(&mut self) -> Result<(), Refusal> {
        self.read_bytes(1).map(drop)
    }

    /// An offset between the bytes.
    pub(super) fn read_offset(&mut self) -> Result<usize, Refusal> {
        let bytes = self.read_bytes(4)?;
        usize::try_from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).map_err(|_| SHORT)
    }
}
