//! The plan itself. What stands and what the package brings is looked up by version and by path, never searched: a
//! package may hold 10,000 updates, and meet as many. Values in, values out; each path is folded once.

use super::{AlreadyThere, ImportOutcome, ImportRecord, ImportRefusal, Standing};
use crate::device::{DeviceKey, Name};
use crate::package::{Digest, Update, UpdateFile, UpdateTarget};
use crate::rule::{RuleAction, RuleVersions};
use crate::topology::PoolFqdn;
use crate::version::FirmwareVersion;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

/// The record of every update in every pool, in that order. An update sees what those before it in the package do.
pub fn plan(pools: &[PoolFqdn], updates: &[Update], standing: &Standing) -> Vec<ImportRecord> {
    let mut rules: HashMap<(&PoolFqdn, &DeviceKey), RuleVersions> =
        standing.rules.iter().map(|(pool, key, versions)| ((pool, key), *versions)).collect();
    let stored = Stored::of(standing);
    let offers = offers(updates, &stored);
    let mut records = Vec::with_capacity(pools.len() * updates.len());
    for pool in pools {
        let in_pool = stored.pools.get(pool);
        for (index, offer) in offers.iter().enumerate() {
            let (target, version) = version_of(offer.update);
            let held = offer.is_twin || in_pool.is_some_and(|pool| pool.versions.contains(&(target, version)));
            let taken = || in_pool.and_then(|pool| pool.paths.taken(offer)).or_else(|| offer.taken.clone());
            let outcome = match offer.refusal.clone().or_else(taken) {
                Some(refusal) => ImportOutcome::Refused(refusal),
                None => match target {
                    UpdateTarget::Interim { .. } if held => ImportOutcome::Unchanged(AlreadyThere::Stored),
                    UpdateTarget::Interim { .. } => ImportOutcome::Created,
                    UpdateTarget::Device(key) => announce(rules.get(&(pool, key)).copied(), version),
                },
            };
            let refused = matches!(outcome, ImportOutcome::Refused(_));
            if let (UpdateTarget::Device(key), false) = (target, refused) {
                let versions = rules.entry((pool, key)).or_default();
                *versions = versions.apply(RuleAction::Import(version)).unwrap_or(*versions);
            }
            let (pool, target) = (pool.clone(), target.clone());
            records.push(ImportRecord { pool, index, target, version, outcome, needs_files: !held && !refused });
        }
    }
    records
}

/// What an import of `version` does to a rule.
fn announce(rule: Option<RuleVersions>, version: FirmwareVersion) -> ImportOutcome {
    match rule {
        None => ImportOutcome::Created,
        Some(versions) if versions.approved() == Some(version) => ImportOutcome::Unchanged(AlreadyThere::Approved),
        Some(versions) if versions.pending() == Some(version) => ImportOutcome::Unchanged(AlreadyThere::Pending),
        Some(versions) => ImportOutcome::Replaced { pending: versions.pending() },
    }
}

/// What makes two updates the same version.
type Version<'a> = (&'a UpdateTarget, FirmwareVersion);

fn version_of(update: &Update) -> Version<'_> {
    (update.target(), update.version())
}

/// An update of the package, with what is the same in every pool.
struct Offer<'a> {
    update: &'a Update,
    /// The folded paths of its files, parallel to them.
    paths: Vec<String>,
    /// Whether the package holds the version before.
    is_twin: bool,
    /// Why no pool takes it; it comes before a path that is taken.
    refusal: Option<ImportRefusal>,
    /// The refusal for a path that an earlier update of the package has; what the pool holds comes before it.
    taken: Option<ImportRefusal>,
}

fn offers<'a>(updates: &'a [Update], stored: &Stored<'a>) -> Vec<Offer<'a>> {
    let mut versions: HashMap<Version<'a>, Twins<'a>> = HashMap::new();
    let mut earlier = Paths::default();
    let offer = |(order, update): (usize, &'a Update)| {
        let (is_twin, differ) = match versions.entry(version_of(update)) {
            Entry::Vacant(slot) => {
                slot.insert(Twins { first: update, differ: false });
                (false, false)
            }
            Entry::Occupied(mut twins) => {
                let twins = twins.get_mut();
                twins.differ |= difference(twins.first, update).is_some();
                (true, twins.differ)
            }
        };
        let refusal = if differ { Some(ImportRefusal::TwiceInPackage) } else { stored.other_bytes(update) };
        let paths = folded(update);
        let mut offer = Offer { update, paths, is_twin, refusal, taken: None };
        offer.taken = earlier.taken(&offer);
        earlier.add(order, update, &offer.paths);
        offer
    };
    updates.iter().enumerate().map(offer).collect()
}

/// The updates of one version in one package.
struct Twins<'a> {
    first: &'a Update,
    /// Whether any two of them have different files: then the next one differs from one of them.
    differ: bool,
}

/// What stands, to be looked up.
#[derive(Default)]
struct Stored<'a> {
    /// Who holds a version, in the order of what stands.
    holders: HashMap<Version<'a>, Vec<(&'a PoolFqdn, &'a Update)>>,
    pools: HashMap<&'a PoolFqdn, StoredInPool<'a>>,
}

#[derive(Default)]
struct StoredInPool<'a> {
    versions: HashSet<Version<'a>>,
    paths: Paths<'a>,
}

impl<'a> Stored<'a> {
    fn of(standing: &'a Standing) -> Self {
        let mut stored = Self::default();
        for (order, (pool, update)) in standing.updates.iter().enumerate() {
            stored.holders.entry(version_of(update)).or_default().push((pool, update));
            let in_pool = stored.pools.entry(pool).or_default();
            in_pool.versions.insert(version_of(update));
            in_pool.paths.add(order, update, &folded(update));
        }
        stored
    }

    /// The refusal for a version that some pool holds with other bytes.
    fn other_bytes(&self, update: &'a Update) -> Option<ImportRefusal> {
        self.holders.get(&version_of(update))?.iter().find_map(|(pool, held)| {
            let (file, stored, offered) = difference(held, update)?;
            Some(ImportRefusal::OtherBytes { pool: PoolFqdn::clone(pool), file, stored, offered })
        })
    }
}

/// Who has which path.
#[derive(Default)]
struct Paths<'a>(HashMap<String, Vec<Holder<'a>>>);

/// An update that has a path.
struct Holder<'a> {
    order: usize,
    update: &'a Update,
    /// The place of the file among the update's.
    file: usize,
}

/// Holders of a path that are kept: the first, and the first of another version. No update is the same version as both.
const HOLDERS: usize = 2;

impl<'a> Paths<'a> {
    /// Adds an update that comes after all those that are here.
    fn add(&mut self, order: usize, update: &'a Update, paths: &[String]) {
        for (file, path) in paths.iter().enumerate() {
            let holders = self.0.entry(path.clone()).or_default();
            let is_other = |holder: &Holder<'_>| version_of(holder.update) != version_of(update);
            if holders.len() < HOLDERS && holders.iter().all(is_other) {
                holders.push(Holder { order, update, file });
            }
        }
    }

    /// The refusal for the first update of another version that has a path of this one.
    fn taken(&self, offer: &Offer<'_>) -> Option<ImportRefusal> {
        let is_other = |holder: &&Holder<'_>| version_of(holder.update) != version_of(offer.update);
        let holders = offer.paths.iter().filter_map(|path| self.0.get(path)?.iter().find(is_other));
        let Holder { update, file, .. } = holders.min_by_key(|holder| (holder.order, holder.file))?;
        let (target, version) = (update.target().to_string(), update.version());
        Some(ImportRefusal::PathTaken { path: update.files()[*file].path.to_string(), target, version })
    }
}

fn folded(update: &Update) -> Vec<String> {
    update.files().iter().map(|file| file.path.folded()).collect()
}

/// The first file whose bytes differ, with both digests. Time stamps are logged and never compared (PROTOCOL.md 5).
fn difference(stored: &Update, offered: &Update) -> Option<(String, Option<Digest>, Option<Digest>)> {
    /// The first file of a name counts, and collecting keeps the last.
    fn digests(update: &Update) -> HashMap<&Name, Digest> {
        update.files().iter().rev().map(|file| (&file.name, file.digest)).collect()
    }
    let (before, now) = (digests(stored), digests(offered));
    let differs = |file: &UpdateFile| {
        let (before, now) = (before.get(&file.name).copied(), now.get(&file.name).copied());
        (before != now).then(|| (file.name.to_string(), before, now))
    };
    stored.files().iter().chain(offered.files()).find_map(differs)
}

#[cfg(test)]
mod tests;
