//! The plan against the same rules read literally, which search everything for each update, and at its full size.

use super::*;
use crate::package::FileRole;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn pool(number: usize) -> PoolFqdn {
    PoolFqdn::parse(&format!("pool{number}.contoso.com")).unwrap()
}

fn version(number: usize) -> FirmwareVersion {
    FirmwareVersion::parse(&format!("{number}.0")).unwrap()
}

fn key(model: &str) -> DeviceKey {
    let [device_type, brand, model, revision, locale, update_type] =
        ["UCPhone", "Polycom", model, "A", "ENU", "CPE"].map(name);
    DeviceKey { device_type, brand, model, revision, locale, update_type }
}

/// An update whose first file is the image; files are names with the byte that their digest is made of.
fn update(target: UpdateTarget, version: FirmwareVersion, files: &[(&str, u8)]) -> Update {
    let file = |(index, (file, byte)): (usize, &(&str, u8))| UpdateFile {
        name: name(file),
        role: if index == 0 { FileRole::Image } else { FileRole::Other },
        digest: Digest::new([*byte; 32]),
        size_bytes: 1,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: target.store_path(version, &name(file)),
    };
    let files = files.iter().enumerate().map(file).collect();
    Update::new(target, version, files).unwrap()
}

/// The refusals, as the documentation of [`ImportRefusal`] says them.
fn literal_refusal(pool: &PoolFqdn, update: &Update, earlier: &[Update], standing: &Standing) -> Option<ImportRefusal> {
    let mut twins = earlier.iter().filter(|other| version_of(other) == version_of(update));
    if twins.any(|twin| difference(twin, update).is_some()) {
        return Some(ImportRefusal::TwiceInPackage);
    }
    for (holder, held) in standing.updates.iter().filter(|(_, held)| version_of(held) == version_of(update)) {
        if let Some((file, stored, offered)) = difference(held, update) {
            return Some(ImportRefusal::OtherBytes { pool: holder.clone(), file, stored, offered });
        }
    }
    let paths = folded(update);
    let stored = standing.updates.iter().filter(|(of, _)| of == pool).map(|(_, other)| other);
    for other in stored.chain(earlier).filter(|other| version_of(other) != version_of(update)) {
        if let Some(file) = other.files().iter().find(|file| paths.contains(&file.path.folded())) {
            let (target, version) = (other.target().to_string(), other.version());
            return Some(ImportRefusal::PathTaken { path: file.path.to_string(), target, version });
        }
    }
    None
}

fn any_update() -> impl Strategy<Value = Update> {
    let interim = |update_type: &str| UpdateTarget::Interim {
        device_type: name("UCPhone"),
        locale: name("enu"),
        update_type: name(update_type),
    };
    let targets = vec![
        UpdateTarget::Device(key("CX600")),
        UpdateTarget::Device(key("cx600")),
        UpdateTarget::Device(key("CX700")),
        interim("CPE"),
        interim("LPE"),
    ];
    let file = (prop::sample::select(vec!["CPE.nbt", "cpe.NBT", "LPE.nbt", "CPE.cat"]), 0..2_u8);
    (prop::sample::select(targets), 1..3_usize, prop::collection::vec(file, 1..4))
        .prop_map(|(target, number, files)| update(target, version(number), &files))
}

proptest! {
    #[test]
    fn a_plan_says_what_the_rules_say(
        offered in prop::collection::vec(any_update(), 0..8),
        stored in prop::collection::vec((0..3_usize, any_update()), 0..6),
        pending in 0..3_usize,
    ) {
        let updates = stored.into_iter().map(|(number, update)| (pool(number), update)).collect();
        let rule = RuleVersions::default().apply(RuleAction::Import(version(pending))).unwrap_or_default();
        let standing = Standing { updates, rules: vec![(pool(0), key("CX600"), rule)] };
        let pools = [pool(0), pool(1)];
        let records = plan(&pools, &offered, &standing);
        prop_assert_eq!(records.len(), pools.len() * offered.len());
        for (place, record) in records.iter().enumerate() {
            let (of, index) = (&pools[place / offered.len()], place % offered.len());
            let (update, earlier) = (&offered[index], &offered[..index]);
            prop_assert_eq!((&record.pool, record.index), (of, index));
            let refusal = match &record.outcome {
                ImportOutcome::Refused(refusal) => Some(refusal.clone()),
                _ => None,
            };
            prop_assert_eq!(&refusal, &literal_refusal(of, update, earlier, &standing));
            let in_pool = standing.updates.iter().filter(|(holder, _)| holder == of).map(|(_, other)| other);
            let held = in_pool.chain(earlier).any(|other| version_of(other) == version_of(update));
            prop_assert_eq!(record.needs_files, !held && refusal.is_none());
            let is_stored = record.outcome == ImportOutcome::Unchanged(AlreadyThere::Stored);
            let is_interim = matches!(update.target(), UpdateTarget::Interim { .. });
            prop_assert_eq!(is_stored, is_interim && held && refusal.is_none());
        }
    }
}

#[test]
fn a_version_that_comes_again_still_meets_the_one_between() {
    let (device_type, locale, update_type) = (name("UCPhone"), name("ENU"), name("CPE"));
    let interim = UpdateTarget::Interim { device_type, locale, update_type };
    let updates = [1, 2, 1].map(|number| update(interim.clone(), version(number), &[("CPE.nbt", 1)]));
    let records = plan(&[pool(0)], &updates, &Standing::default());
    let taken = |number| {
        let (path, target) = ("OCInterim/ENU/CPE.nbt".to_owned(), interim.to_string());
        ImportOutcome::Refused(ImportRefusal::PathTaken { path, target, version: version(number) })
    };
    let outcomes: Vec<_> = records.into_iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [ImportOutcome::Created, taken(1), taken(2)]);
}

/// Searching instead of looking up takes minutes here: 5,000 updates that meet 5,000 in each of eight pools.
#[test]
fn thousands_of_updates_meet_thousands() {
    const COUNT: usize = 5_000;
    let pools: Vec<PoolFqdn> = (0..8).map(pool).collect();
    let of_version = |number: usize| {
        let target = UpdateTarget::Device(key(&format!("CX{number}")));
        update(target, version(1), &[("CPE.nbt", 1), ("CPE.cat", 2), ("readme.txt", 3)])
    };
    let offered: Vec<Update> = (0..COUNT).map(of_version).collect();
    let held = |pool: &PoolFqdn| -> Vec<(PoolFqdn, Update)> {
        offered.iter().map(|update| (pool.clone(), update.clone())).collect()
    };
    let standing = Standing { updates: pools.iter().flat_map(held).collect(), rules: Vec::new() };
    let records = plan(&pools, &offered, &standing);
    assert_eq!(records.len(), pools.len() * COUNT);
    assert!(records.iter().all(|record| record.outcome == ImportOutcome::Created && !record.needs_files));
}
