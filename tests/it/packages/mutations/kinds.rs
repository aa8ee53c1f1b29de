//! The mutations, kind by kind. Each is made from a base, a seed and nothing else.

mod bytes;
mod fields;
mod names;
mod wrapped;

use super::bases::{Base, Shape};
use super::random::Random;
use tests::hostile::Way;

/// A package that somebody tampered with.
pub(super) struct Mutation {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The number of its base.
    pub(super) base: usize,
    pub(super) way: Way,
    pub(super) bytes: Vec<u8>,
    pub(super) expected: Expected,
}

/// What must become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A refusal, or a read.
    Any,
    /// A read to what the base holds.
    Same,
    /// A refusal.
    Refused,
    /// A refusal with this variant.
    Reason(&'static str),
}

/// Gathers mutations of one base.
struct Maker<'a> {
    number: usize,
    base: &'a Base,
    random: Random,
    made: Vec<Mutation>,
}

impl Maker<'_> {
    fn add(&mut self, kind: &'static str, name: impl std::fmt::Display, bytes: Vec<u8>, expected: Expected) {
        self.add_as(self.base.way, kind, name, bytes, expected);
    }

    fn add_as(
        &mut self,
        way: Way,
        kind: &'static str,
        name: impl std::fmt::Display,
        bytes: Vec<u8>,
        expected: Expected,
    ) {
        let name = format!("{kind}, {}: {name}", self.base.name);
        self.made.push(Mutation { kind, name, base: self.number, way, bytes, expected });
    }
}

/// All of them, always the same for one seed.
pub(super) fn all(bases: &[Base], seed: u64) -> Vec<Mutation> {
    let mut made = Vec::new();
    for (number, base) in bases.iter().enumerate() {
        let random = Random::new(seed.wrapping_add(number as u64));
        let mut maker = Maker { number, base, random, made };
        fields::each(&mut maker);
        fields::pairs(&mut maker);
        fields::flags(&mut maker);
        bytes::packed(&mut maker);
        match base.shape {
            Shape::Small => {
                bytes::truncated(&mut maker);
                bytes::inserted_and_removed(&mut maker);
                names::hostile(&mut maker);
            }
            Shape::Blocks => {}
            Shape::Update => wrapped::nested_and_in_programs(&mut maker),
        }
        made = maker.made;
    }
    made
}
