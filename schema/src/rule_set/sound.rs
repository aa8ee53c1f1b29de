//! What a snapshot may be: its limits, and what must hold between its parts. The database holds all of it by constraints;
//! a file may say anything, and a database may be the wrong one.

use super::RuleSetParts;
use crate::device::DeviceKey;
use crate::package::{Update, UpdateTarget};
use crate::version::FirmwareVersion;
use std::collections::HashSet;

/// How much a snapshot may hold.
#[derive(Debug, Clone, Copy)]
pub struct RuleSetLimits {
    /// Rules of the pool.
    pub rules: usize,
    /// Updates stored for the pool.
    pub updates: usize,
    /// Their files.
    pub files: usize,
    /// Stepping stones.
    pub stepping_stones: usize,
    /// Test devices of the pool's site and of the global scope.
    pub test_devices: usize,
    /// Accounts of phones outside.
    pub accounts: usize,
}

/// Far above what the largest organization has (a rule is a kind of device, not a device), and far below what a node's
/// memory holds: whoever comes near has another problem than too low a limit.
pub const LIMITS: RuleSetLimits = RuleSetLimits {
    rules: 50_000,
    updates: 100_000,
    files: 400_000,
    stepping_stones: 1_000,
    test_devices: 200_000,
    accounts: 200_000,
};

/// Why a snapshot cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbsurdRuleSet {
    /// More than a limit.
    #[error("it holds {count} {what}, more than {limit}")]
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A generation below 0.
    #[error("its generation is {0}")]
    Generation(i64),
    /// One thing twice, or two things that exclude each other.
    #[error("it holds {0} twice")]
    Twice(String),
    /// A rule that names a version which is not stored.
    #[error("its rule {rule} names version {version}, of which it holds no files")]
    NoFiles {
        /// The rule's key.
        rule: String,
        /// The version.
        version: FirmwareVersion,
    },
    /// A phone that took the stone would take it for ever.
    #[error("its stepping stone by way of {via} is for versions below {below}: it would be taken for ever")]
    EndlessStone {
        /// The interim build.
        via: FirmwareVersion,
        /// Versions below this one need it.
        below: FirmwareVersion,
    },
}

/// Whether the numbers are within the limits; also asked before a database is made to send that much.
pub(crate) fn check_counts(counts: [usize; 6]) -> Result<(), AbsurdRuleSet> {
    let limits = [
        ("rules", LIMITS.rules),
        ("updates", LIMITS.updates),
        ("files", LIMITS.files),
        ("stepping stones", LIMITS.stepping_stones),
        ("test devices", LIMITS.test_devices),
        ("accounts", LIMITS.accounts),
    ];
    for ((what, limit), count) in limits.into_iter().zip(counts) {
        if count > limit {
            return Err(AbsurdRuleSet::TooMany { what, count, limit });
        }
    }
    Ok(())
}

pub(super) fn check(parts: &RuleSetParts) -> Result<(), AbsurdRuleSet> {
    let files: usize = parts.updates.iter().map(|update| update.files().len()).sum();
    check_counts([
        parts.rules.len(),
        parts.updates.len(),
        files,
        parts.stepping_stones.len(),
        parts.test_devices.len(),
        parts.accounts.len(),
    ])?;
    if parts.mark.generation < 0 {
        return Err(AbsurdRuleSet::Generation(parts.mark.generation));
    }
    let stored = stored(&parts.updates)?;
    let mut keys = HashSet::new();
    for (key, versions) in &parts.rules {
        if !keys.insert(key) {
            return Err(AbsurdRuleSet::Twice(format!("the rule {key}")));
        }
        let named = [versions.approved(), versions.pending(), versions.restore()];
        if let Some(version) = named.into_iter().flatten().find(|version| !stored.contains(&(key, *version))) {
            return Err(AbsurdRuleSet::NoFiles { rule: key.to_string(), version });
        }
    }
    match parts.stepping_stones.iter().find(|stone| stone.via < stone.below) {
        Some(stone) => Err(AbsurdRuleSet::EndlessStone { via: stone.via, below: stone.below }),
        None => Ok(()),
    }
}

/// What is stored for devices.
fn stored(updates: &[Update]) -> Result<HashSet<(&DeviceKey, FirmwareVersion)>, AbsurdRuleSet> {
    let (mut all, mut paths, mut stored) = (HashSet::new(), HashSet::new(), HashSet::new());
    for update in updates {
        let (target, version) = (update.target(), update.version());
        if !all.insert((target, version)) {
            return Err(AbsurdRuleSet::Twice(format!("the update {target} {version}")));
        }
        if let Some(file) = update.files().iter().find(|file| !paths.insert(file.path.folded())) {
            return Err(AbsurdRuleSet::Twice(format!("the file {}", file.path)));
        }
        if let UpdateTarget::Device(key) = target {
            stored.insert((key, version));
        }
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::super::{RuleSet, SteppingStone, StoreMark};
    use super::*;
    use crate::device::Name;
    use crate::package::{Digest, FileRole, UpdateFile};
    use crate::rule::RuleVersions;
    use crate::settings::DeviceUpdateConfiguration;
    use crate::test_device::TestIdentifier;
    use crate::topology::{Pool, PoolFqdn, PoolUrls, ServiceId, SiteName};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn key(model: &str) -> DeviceKey {
        let [device_type, brand, revision, locale, update_type] = ["UCPhone", "Polycom", "A", "ENU", "CPE"].map(name);
        DeviceKey { device_type, brand, model: name(model), revision, locale, update_type }
    }

    fn version(text: &str) -> FirmwareVersion {
        text.parse().unwrap()
    }

    fn update(model: &str, text: &str) -> Update {
        let target = UpdateTarget::Device(key(model));
        let file_name = name("CPE.nbt");
        let path = target.store_path(version(text), &file_name);
        let time_stamp = jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0);
        let digest = Digest::new([1; 32]);
        let file = UpdateFile { name: file_name, role: FileRole::Image, digest, size_bytes: 1, time_stamp, path };
        Update::new(target, version(text), vec![file]).unwrap()
    }

    fn parts() -> RuleSetParts {
        let approved = RuleVersions::new(Some(version("2")), None, None).unwrap();
        RuleSetParts {
            mark: StoreMark { generation: 3, ..StoreMark::NOTHING },
            pool: Pool {
                fqdn: PoolFqdn::parse("pool01.demo.local").unwrap(),
                site: SiteName::parse("Redmond").unwrap(),
                service_id: ServiceId::parse("1-WebServices-1").unwrap(),
                urls: PoolUrls::default(),
            },
            rules: vec![(key("CX600"), approved)],
            updates: vec![update("CX600", "2")],
            stepping_stones: vec![SteppingStone::of_the_original()],
            test_devices: vec![TestIdentifier::parse("MACAddress", "0021630F207B").unwrap()],
            configuration: DeviceUpdateConfiguration::default(),
            accounts: vec![("ann".to_owned(), "$argon2id$x".to_owned())],
        }
    }

    #[test]
    fn what_a_set_was_made_from_is_what_it_is_made_of() {
        let rules = RuleSet::new(parts()).unwrap();
        assert_eq!(rules.parts(), parts());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let check = |change: fn(&mut RuleSetParts), expected: &str| {
            let mut parts = parts();
            change(&mut parts);
            assert_eq!(RuleSet::new(parts).unwrap_err().to_string(), expected);
        };
        check(|parts| parts.mark.generation = -1, "its generation is -1");
        check(
            |parts| parts.rules.push(parts.rules[0].clone()),
            "it holds the rule UCPhone/Polycom/CX600/A/ENU/CPE twice",
        );
        check(
            |parts| parts.rules.push((key("cx600"), RuleVersions::default())),
            "it holds the rule UCPhone/Polycom/cx600/A/ENU/CPE twice",
        );
        check(
            |parts| parts.updates.push(update("cx600", "2")),
            "it holds the update UCPhone/Polycom/cx600/A/ENU/CPE 2.0.0.0 twice",
        );
        check(
            |parts| parts.rules[0].1 = RuleVersions::new(None, Some(version("3")), None).unwrap(),
            "its rule UCPhone/Polycom/CX600/A/ENU/CPE names version 3.0.0.0, of which it holds no files",
        );
        check(
            |parts| parts.stepping_stones[0].via = version("1"),
            "its stepping stone by way of 1.0.0.0 is for versions below 1.0.522.98: it would be taken for ever",
        );
        check(
            |parts| parts.stepping_stones = vec![SteppingStone::of_the_original(); LIMITS.stepping_stones + 1],
            "it holds 1001 stepping stones, more than 1000",
        );
        check(
            |parts| parts.accounts = vec![(String::new(), String::new()); LIMITS.accounts + 1],
            "it holds 200001 accounts, more than 200000",
        );
    }

    #[test]
    fn two_updates_have_no_file_in_common() {
        let interim = |build: &str| {
            let [device_type, locale, update_type] = ["UCPhone", "ENU", "CPE"].map(name);
            let target = UpdateTarget::Interim { device_type, locale, update_type };
            let files = update("CX600", "2").files().to_vec();
            Update::new(target, version(build), files).unwrap()
        };
        let parts = RuleSetParts { updates: vec![interim("1"), interim("2")], rules: vec![], ..parts() };
        let refused = RuleSet::new(parts).unwrap_err().to_string();
        assert_eq!(refused, "it holds the file UCPhone/Polycom/CX600/A/ENU/2.0.0.0/CPE/CPE.nbt twice");
    }
}
