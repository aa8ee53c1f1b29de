//! What a replica has to do: the difference between what the rules want and what is held, as steps. A value of values:
//! doing the steps and planning again comes to rest, and a plan that was interrupted is planned again.

#[cfg(test)]
mod tests;
mod wanted;

pub use wanted::{Need, Wanted, wanted};

use crate::replica::Held;
use schema::package::{Digest, UpdateFile};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a plan is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What the rules name, each file once, in the order in which it is wanted.
    pub wanted: &'a [Wanted],
    /// What is held.
    pub held: &'a BTreeMap<Digest, Held>,
    /// What is being fetched.
    pub fetching: &'a BTreeSet<Digest>,
    /// What could not be fetched lately, and is not tried again yet.
    pub resting: &'a BTreeSet<Digest>,
    /// Bytes that all files together may have, those that are held included.
    pub room_bytes: u64,
}

/// A step. Each may be done or not, and done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Drop this file: no rule needs it.
    Evict(Digest),
    /// Fetch this one.
    Fetch(Arc<UpdateFile>),
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order: room is made first.
    pub steps: Vec<Step>,
    /// Files that rules need and for which there is no room.
    pub without_room: BTreeSet<Digest>,
}

/// Plans. Files that a rule needs are never dropped; those that are held come first, then those that are missing, by
/// need and size, as far as there is room; then what no rule needs, as long as there is room. What the rules do not name
/// goes at once, unless it has only just come: its rules may be on their way.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let present =
        |file: &UpdateFile| facts.held.get(&file.digest).is_some_and(|held| held.size_bytes == file.size_bytes);
    let here = |file: &UpdateFile| present(file) || facts.fetching.contains(&file.digest);
    let needed = || facts.wanted.iter().filter(|wanted| wanted.need != Need::None);
    let named: BTreeSet<&Digest> = facts.wanted.iter().map(|wanted| &wanted.file.digest).collect();
    let strangers = facts.held.iter().filter(|(digest, _)| !named.contains(digest));
    let (gone, guests): (Vec<_>, Vec<_>) = strangers.partition(|(_, held)| held.settled);
    let mut evicted: BTreeSet<Digest> = gone.into_iter().map(|(digest, _)| *digest).collect();
    let mut used_bytes: u64 = guests.iter().map(|(_, held)| held.size_bytes).fold(0, u64::saturating_add);
    for wanted in needed().filter(|wanted| here(&wanted.file)) {
        used_bytes = used_bytes.saturating_add(wanted.file.size_bytes);
    }
    let mut without_room = BTreeSet::new();
    let mut fetched = Vec::new();
    for Wanted { file, .. } in needed().filter(|wanted| !here(&wanted.file)) {
        let with_it = used_bytes.saturating_add(file.size_bytes);
        if with_it > facts.room_bytes {
            without_room.insert(file.digest);
            continue;
        }
        used_bytes = with_it;
        if !facts.resting.contains(&file.digest) {
            fetched.push(Step::Fetch(Arc::clone(file)));
        }
    }
    for Wanted { file, .. } in facts.wanted.iter().filter(|wanted| wanted.need == Need::None && here(&wanted.file)) {
        let with_it = used_bytes.saturating_add(file.size_bytes);
        match with_it <= facts.room_bytes || facts.fetching.contains(&file.digest) {
            true => used_bytes = with_it,
            false => drop(evicted.insert(file.digest)),
        }
    }
    // A file of another length than its name says is damaged, and in the way of the one that is fetched.
    let damaged = facts.wanted.iter().filter(|wanted| !present(&wanted.file));
    evicted.extend(damaged.map(|wanted| wanted.file.digest).filter(|digest| facts.held.contains_key(digest)));
    let steps = evicted.into_iter().map(Step::Evict).chain(fetched).collect();
    Plan { steps, without_room }
}
