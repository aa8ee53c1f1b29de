//! Which files the rules of a pool want on every node, and how much.

use schema::package::{Digest, Update, UpdateFile, UpdateTarget};
use schema::rule_set::RuleSet;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// How much a file is needed; the greater the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// No rule refers to it: kept while there is room, fetched when a phone asks for it.
    None,
    /// It is a restore version's, or a stepping stone's.
    Kept,
    /// It is a pending version's.
    Pending,
    /// It is an approved version's.
    Approved,
}

/// A file that the snapshot names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file; of several with the same bytes one.
    pub file: Arc<UpdateFile>,
    /// How much it is needed.
    pub need: Need,
}

/// All files that the rule set names, each digest once: those needed most first, and the small ones of those first, so that
/// a catalog does not wait for an image.
pub fn wanted(rules: &RuleSet) -> Vec<Wanted> {
    let mut by_digest: BTreeMap<Digest, Wanted> = BTreeMap::new();
    for update in rules.updates() {
        let need = need(rules, update);
        for file in update.files() {
            let Some(file) = rules.file(file.path.as_str()) else { continue };
            match by_digest.entry(file.digest) {
                Entry::Vacant(place) => drop(place.insert(Wanted { file: Arc::clone(file), need })),
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.need = known.need.max(need);
                    // Of several always the same one, in whatever order they are met.
                    if file.path < known.file.path {
                        known.file = Arc::clone(file);
                    }
                }
            }
        }
    }
    let mut all: Vec<Wanted> = by_digest.into_values().collect();
    all.sort_by_key(|wanted| (Reverse(wanted.need), wanted.file.size_bytes));
    all
}

fn need(rules: &RuleSet, update: &Update) -> Need {
    let version = Some(update.version());
    let stone = rules.stepping_stones().iter().any(|stone| {
        Some(stone.via) == version
            && match update.target() {
                UpdateTarget::Interim { device_type, .. } => *device_type == stone.device_type,
                UpdateTarget::Device(key) => {
                    stone.device_type == key.device_type
                        && stone.brand.as_ref().is_none_or(|brand| *brand == key.brand)
                        && stone.model.as_ref().is_none_or(|model| *model == key.model)
                }
            }
    });
    let of_rule = match update.target() {
        UpdateTarget::Device(key) => rules.rule(key).map_or(Need::None, |versions| match version {
            version if versions.approved() == version => Need::Approved,
            version if versions.pending() == version => Need::Pending,
            version if versions.restore() == version => Need::Kept,
            _ => Need::None,
        }),
        UpdateTarget::Interim { .. } => Need::None,
    };
    of_rule.max(if stone { Need::Kept } else { Need::None })
}
