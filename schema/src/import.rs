//! What an import does to each pool (PROTOCOL.md 6, rows S01, S02, I13), as a pure plan: values in, records out.
//! `store` loads what stands and writes what is planned; reading packages and keeping blobs are `sync`'s.

use crate::device::DeviceKey;
use crate::package::{Catalog, Digest, Update, UpdateFile, UpdateTarget};
use crate::rule::{RuleAction, RuleVersions};
use crate::topology::PoolFqdn;
use crate::version::FirmwareVersion;
use std::collections::HashMap;

/// A package whose files have been read and hashed, and not yet announced.
#[derive(Debug, Clone)]
pub struct StagedPackage {
    /// SHA-256 of the file that was uploaded.
    pub digest: Digest,
    /// The name it was uploaded under.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The updates it holds.
    pub updates: Vec<Update>,
    /// What its security catalogs list, of those that could be read.
    pub catalogs: Vec<Catalog>,
}

/// What happens, or happened, to one update in one pool: a line of the import's report card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// The pool.
    pub pool: PoolFqdn,
    /// The update's place in the package's list.
    pub index: usize,
    /// What the update is for.
    pub target: UpdateTarget,
    /// Its version.
    pub version: FirmwareVersion,
    /// What happens.
    pub outcome: ImportOutcome,
    /// Whether the pool does not hold the update's files yet, so that they must be stored before the commit.
    pub needs_files: bool,
}

/// What an import does with one update in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The pool had no rule for the devices (or not this interim build); now it has.
    Created,
    /// The rule was there; its pending version is now this one.
    Replaced {
        /// The version that was pending before, if any.
        pending: Option<FirmwareVersion>,
    },
    /// Nothing changes.
    Unchanged(AlreadyThere),
    /// Nothing changes, because it must not.
    Refused(ImportRefusal),
}

/// Where the same version with the same bytes already is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlreadyThere {
    /// The rule's approved version.
    #[error("this version is approved already")]
    Approved,
    /// The rule's pending version.
    #[error("this version is pending already")]
    Pending,
    /// An interim build, which has no rule.
    #[error("this interim build is stored already")]
    Stored,
}

/// Why an update is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// A published version's files never change (PROTOCOL.md 8).
    #[error(
        "{file} of this version is stored already with other bytes in pool {pool}: stored {}, in the package {}",
        shown(.stored), shown(.offered)
    )]
    OtherBytes {
        /// A pool that holds the version.
        pool: PoolFqdn,
        /// The first file that differs.
        file: String,
        /// The digest of the stored file; none if the stored version has no such file.
        stored: Option<Digest>,
        /// The digest of the package's file; none if the package has no such file.
        offered: Option<Digest>,
    },
    /// Interim builds have no version in their path, so that one locale holds one of them.
    #[error(
        "{path} is taken by {target} {version}: remove the stepping stone that names it and clear files, then import again"
    )]
    PathTaken {
        /// The path in the store.
        path: String,
        /// What the file that stands there belongs to.
        target: String,
        /// Its version.
        version: FirmwareVersion,
    },
    /// The package holds the version twice, with different files.
    #[error("the package holds this version twice with different files")]
    TwiceInPackage,
}

fn shown(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "no such file".to_owned(), |digest| digest.to_string())
}

/// What stands before an import, of all that the package's updates could meet.
#[derive(Debug, Default)]
pub struct Standing {
    /// Stored updates, in any pool, of the package's targets or at the paths of its files.
    pub updates: Vec<(PoolFqdn, Update)>,
    /// The rules of the pools imported to, for the package's targets.
    pub rules: Vec<(PoolFqdn, DeviceKey, RuleVersions)>,
}

/// The record of every update in every pool, in that order. An update sees what those before it in the package do.
pub fn plan(pools: &[PoolFqdn], updates: &[Update], standing: &Standing) -> Vec<ImportRecord> {
    let mut rules: HashMap<(&PoolFqdn, &DeviceKey), RuleVersions> =
        standing.rules.iter().map(|(pool, key, versions)| ((pool, key), *versions)).collect();
    let mut records = Vec::with_capacity(pools.len() * updates.len());
    for pool in pools {
        for (index, update) in updates.iter().enumerate() {
            let (target, version) = (update.target(), update.version());
            let twin = updates[..index].iter().find(|other| is_same_version(other, update));
            let stored = standing.updates.iter().find(|(of, other)| of == pool && is_same_version(other, update));
            let held = stored.is_some() || twin.is_some();
            let outcome = match refusal(pool, update, &updates[..index], standing) {
                Some(refusal) => ImportOutcome::Refused(refusal),
                None => match target {
                    UpdateTarget::Interim { .. } if held => ImportOutcome::Unchanged(AlreadyThere::Stored),
                    UpdateTarget::Interim { .. } => ImportOutcome::Created,
                    UpdateTarget::Device(key) => announce(rules.get(&(pool, key)).copied(), version),
                },
            };
            if let (UpdateTarget::Device(key), false) = (target, matches!(outcome, ImportOutcome::Refused(_))) {
                let versions = rules.entry((pool, key)).or_default();
                *versions = versions.apply(RuleAction::Import(version)).unwrap_or(*versions);
            }
            let needs_files = !held && !matches!(outcome, ImportOutcome::Refused(_));
            records.push(ImportRecord {
                pool: pool.clone(),
                index,
                target: target.clone(),
                version,
                outcome,
                needs_files,
            });
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

fn refusal(pool: &PoolFqdn, update: &Update, earlier: &[Update], standing: &Standing) -> Option<ImportRefusal> {
    let mut twins = earlier.iter().filter(|other| is_same_version(other, update));
    if twins.any(|twin| difference(twin, update).is_some()) {
        return Some(ImportRefusal::TwiceInPackage);
    }
    for (holder, stored) in standing.updates.iter().filter(|(_, stored)| is_same_version(stored, update)) {
        if let Some((file, stored, offered)) = difference(stored, update) {
            return Some(ImportRefusal::OtherBytes { pool: holder.clone(), file, stored, offered });
        }
    }
    let paths: Vec<String> = update.files().iter().map(|file| file.path.folded()).collect();
    let stored = standing.updates.iter().filter(|(of, _)| of == pool).map(|(_, other)| other);
    for other in stored.chain(earlier).filter(|other| !is_same_version(other, update)) {
        if let Some(file) = other.files().iter().find(|file| paths.contains(&file.path.folded())) {
            let (target, version) = (other.target().to_string(), other.version());
            return Some(ImportRefusal::PathTaken { path: file.path.to_string(), target, version });
        }
    }
    None
}

fn is_same_version(one: &Update, other: &Update) -> bool {
    one.version() == other.version() && one.target() == other.target()
}

/// The first file whose bytes differ, with both digests. Time stamps are logged and never compared (PROTOCOL.md 5).
fn difference(stored: &Update, offered: &Update) -> Option<(String, Option<Digest>, Option<Digest>)> {
    let digest = |update: &Update, file: &UpdateFile| {
        update.files().iter().find(|other| other.name == file.name).map(|other| other.digest)
    };
    stored.files().iter().chain(offered.files()).find_map(|file| {
        let (before, now) = (digest(stored, file), digest(offered, file));
        (before != now).then(|| (file.name.to_string(), before, now))
    })
}
