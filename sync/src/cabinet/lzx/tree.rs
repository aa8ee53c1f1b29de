//! The prefix codes of LZX: lengths as differences from the tree before, and a table that decodes.

use super::Refusal;
use super::bits::Bits;
use std::ops::Range;

/// Bits of the longest code.
const LONGEST: u8 = 16;
/// Symbols of the tree that lengths are written with.
const LENGTH_CODES: usize = 20;

/// A full prefix code, or an empty one.
pub(super) struct Tree {
    /// For each value of the next [`Tree::width`] bits: the symbol, and the bits of its code.
    table: Vec<(u16, u8)>,
    /// Bits of the longest code; zero is an empty tree.
    width: u32,
}

impl Tree {
    /// The canonical code with these lengths. A tree that is neither full nor empty is refused.
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Refusal> {
        let longest = lengths.iter().copied().max().unwrap_or_default();
        if longest == 0 {
            return Ok(Self { table: Vec::new(), width: 0 });
        }
        let refused = "an LZX tree is not full";
        if longest > LONGEST {
            return Err(refused);
        }
        let mut table = Vec::with_capacity(1 << longest);
        for width in 1..=longest {
            for (symbol, _) in (0_u16..).zip(lengths).filter(|(_, length)| **length == width) {
                let end = table.len() + (1 << (longest - width));
                if end > 1 << longest {
                    return Err(refused);
                }
                table.resize(end, (symbol, width));
            }
        }
        if table.len() != 1 << longest {
            return Err(refused);
        }
        Ok(Self { table, width: u32::from(longest) })
    }

    /// The next symbol. Whether its bits were there is for the caller to check, now and then.
    pub(super) fn decode(&self, bits: &mut Bits<'_>) -> Result<usize, Refusal> {
        let (symbol, width) = *self.table.get(bits.peek(self.width)).ok_or("an LZX tree is empty")?;
        bits.take(u32::from(width));
        Ok(usize::from(symbol))
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
