//! Numbers from a seed: the same on every machine and with every version of every crate.

/// Xorshift, which is good enough to choose what to break.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`, which is not zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % end
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[2]
    }

    pub(super) fn word(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap()
    }
}
