//! The prefix codes of LZX: lengths as differences from the tree before, and a table that decodes.

use super::Refusal;
use super::bits::Bits;
use std::ops::Range;

/// Bits of the longest code.
const LONGEST: u8 = 16;
/// Symbols of the tree that lengths are written with.
const LENGTH_CODES: usize = 20;

/// Bits that are looked up at once. Longer codes are rare, and found by their length: a table for the longest would take
/// longer to fill than a hostile block of one byte takes to declare it.
const LOOKED_UP: u8 = 11;

/// A full prefix code, or an empty one.
pub(super) struct Tree {
    /// For each value of the next [`Tree::width`] bits: the symbol, and the bits of its code; none if it has more.
    table: Vec<(u16, u8)>,
    /// Bits that the table is looked up with; zero is an empty tree.
    width: u32,
    /// The symbols in the order of their codes.
    symbols: Vec<u16>,
    /// For each length, the first code that is longer, as 16 bits.
    ends: [u32; LENGTHS],
    /// For each length, how many symbols have shorter codes.
    shorter: [u16; LENGTHS],
}

/// Lengths of codes, with zero for none.
const LENGTHS: usize = LONGEST as usize + 1;

impl Tree {
    /// The canonical code with these lengths. A tree that is neither full nor empty is refused.
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Refusal> {
        let refused = "an LZX tree is not full";
        let mut counts = [0_u16; LENGTHS];
        for length in lengths {
            *counts.get_mut(usize::from(*length)).ok_or(refused)? += 1;
        }
        let longest = (1..=LONGEST).rev().find(|length| counts[usize::from(*length)] > 0);
        let Some(longest) = longest else { return Ok(Self::empty()) };
        let (mut ends, mut shorter) = ([0; LENGTHS], [0; LENGTHS]);
        for length in 1..LENGTHS {
            ends[length] = ends[length - 1] + (u32::from(counts[length]) << (usize::from(LONGEST) - length));
            shorter[length] = if length == 1 { 0 } else { shorter[length - 1] + counts[length - 1] };
        }
        if ends[LENGTHS - 1] != 1 << LONGEST {
            return Err(refused);
        }
        let mut next = shorter;
        let mut symbols = vec![0; lengths.iter().filter(|length| **length > 0).count()];
        for (symbol, length) in (0_u16..).zip(lengths).filter(|(_, length)| **length > 0) {
            let place = &mut next[usize::from(*length)];
            symbols[usize::from(*place)] = symbol;
            *place += 1;
        }
        let width = longest.min(LOOKED_UP);
        let mut table = Vec::with_capacity(1 << width);
        for symbol in &symbols {
            let length = lengths[usize::from(*symbol)];
            if length > width {
                break;
            }
            table.resize(table.len() + (1 << (width - length)), (*symbol, length));
        }
        table.resize(1 << width, (0, 0));
        Ok(Self { table, width: u32::from(width), symbols, ends, shorter })
    }

    fn empty() -> Self {
        Self { table: Vec::new(), width: 0, symbols: Vec::new(), ends: [0; LENGTHS], shorter: [0; LENGTHS] }
    }

    /// The next symbol. Whether its bits were there is for the caller to check, now and then.
    #[inline(always)]
    pub(super) fn decode(&self, bits: &mut Bits<'_>) -> Result<usize, Refusal> {
        let (symbol, length) = match self.table.get(bits.peek(self.width)) {
            Some((_, 0)) => self.decode_long(bits.peek(u32::from(LONGEST)))?,
            Some(found) => *found,
            None => return Err("an LZX tree is empty"),
        };
        bits.take(u32::from(length));
        Ok(usize::from(symbol))
    }

    /// The symbol whose code is longer than the table's and begins these bits, and how many of them are its code.
    #[cold]
    fn decode_long(&self, code: usize) -> Result<(u16, u8), Refusal> {
        let found = (LOOKED_UP + 1..=LONGEST).find(|length| code < self.ends[usize::from(*length)] as usize);
        let length = found.ok_or("an LZX tree has an unknown code")?;
        let before = self.ends[usize::from(length) - 1] as usize;
        let place = usize::from(self.shorter[usize::from(length)]) + ((code - before) >> (LONGEST - length));
        self.symbols.get(place).map(|symbol| (*symbol, length)).ok_or("an LZX tree has an unknown code")
    }
}

/// Reads the lengths of a part of a tree. A run that goes beyond the part goes on into the rest of the tree, which is
/// read next: encoders do that.
pub(super) fn read_lengths(bits: &mut Bits<'_>, lengths: &mut [u8], part: Range<usize>) -> Result<(), Refusal> {
    let mut code_lengths = [0; LENGTH_CODES];
    for length in &mut code_lengths {
        *length = bits.read_small(4)?;
    }
    let tree = Tree::new(&code_lengths)?;
    let mut at = part.start;
    while at < part.end {
        let (run, length) = match tree.decode(bits)? {
            17 => (4 + bits.read(4)?, 0),
            18 => (20 + bits.read(5)?, 0),
            19 => {
                let run = 4 + bits.read(1)?;
                (run, difference(lengths[at], tree.decode(bits)?)?)
            }
            code => (1, difference(lengths[at], code)?),
        };
        let end = lengths.len().min(at + run as usize);
        lengths[at..end].fill(length);
        at = end;
    }
    bits.check()
}

/// The length that differs so from the one before, modulo 17.
fn difference(before: u8, code: usize) -> Result<u8, Refusal> {
    let code = u8::try_from(code).ok().filter(|code| *code <= LONGEST).ok_or("an LZX tree has an unknown code")?;
    Ok((before + 17 - code) % 17)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code of each symbol as text, by the definition: codes of one length follow each other, shorter ones first.
    fn codes(lengths: &[u8]) -> Vec<String> {
        let mut codes = vec![String::new(); lengths.len()];
        let mut next = 0_u32;
        for length in 1..=LONGEST {
            next <<= 1;
            for symbol in (0..lengths.len()).filter(|symbol| lengths[*symbol] == length) {
                codes[symbol] = format!("{next:0width$b}", width = usize::from(length));
                next += 1;
            }
        }
        codes
    }

    /// Words of 16 bits, little end first, each from its highest bit.
    fn packed(bits: &str) -> Vec<u8> {
        let padded = format!("{bits}{}", "0".repeat(16 - bits.len() % 16));
        let word = |at| u16::from_str_radix(&padded[at..at + 16], 2).unwrap().to_le_bytes();
        (0..padded.len()).step_by(16).flat_map(word).collect()
    }

    /// Lengths of a full code: leaves are split until there are enough.
    fn full(splits: &[usize]) -> Vec<u8> {
        let mut lengths = vec![1, 1];
        for at in splits {
            let at = at % lengths.len();
            if lengths[at] < LONGEST {
                lengths[at] += 1;
                lengths.push(lengths[at]);
            }
        }
        lengths
    }

    proptest! {
        #[test]
        fn codes_of_every_length_are_decoded(splits in proptest::collection::vec(any::<usize>(), 0..300), deep: bool) {
            // Split the last again and again, and there are codes of all lengths up to the longest.
            let splits = if deep { [&[1; 20][..], &splits].concat() } else { splits };
            let lengths = full(&splits);
            let tree = Tree::new(&lengths).unwrap();
            let bytes = packed(&codes(&lengths).concat());
            let mut bits = Bits::new(&bytes);
            for symbol in 0..lengths.len() {
                prop_assert_eq!(tree.decode(&mut bits), Ok(symbol));
            }
            prop_assert_eq!(bits.check(), Ok(()));
        }

        #[test]
        fn codes_that_are_not_full_are_refused(splits in proptest::collection::vec(any::<usize>(), 0..50), at: usize) {
            let lengths = full(&splits);
            let mut less = lengths.clone();
            let at = at % less.len();
            less[at] = 0;
            prop_assert!(Tree::new(&less).is_err());
            prop_assert!(Tree::new(&[&lengths[..], &[LONGEST]].concat()).is_err());
            less[at] = LONGEST + 1;
            prop_assert!(Tree::new(&less).is_err());
        }
    }

    #[test]
    fn an_empty_code_has_no_symbols() {
        let tree = Tree::new(&[0; 20]).unwrap();
        assert!(tree.decode(&mut Bits::new(&[0; 4])).is_err());
    }
}
