//! The table against `decide`, over random worlds: each was written from PROTOCOL.md 5 without the other.

use super::*;
use crate::api::snapshot::body;
use crate::decide::decide;
use crate::decide::world::{MAC, World, phone as request};
use proptest::prelude::*;

const KEYS: [&str; 4] = [
    "UCPhone/LG-Nortel/IP8540/A/ENU/CPE",
    "UCPhone/LG-Nortel/IP8540/A/ENU/BOOT",
    "ucphone/lg-nortel/ip8540/B/DEU/cpe",
    "RoundTable/LG-Nortel/IP8540/A/ENU/CPE",
];

fn some_version() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["0.0.0.0", "1.0.522.34", "1.0.522.98", "1.0.522.103", "1.0.522.104", "3.5", "4.0"])
}

fn some_world() -> impl Strategy<Value = World> {
    let place = || proptest::option::of(some_version());
    let rules = proptest::collection::vec(proptest::option::weighted(0.8, (place(), place())), KEYS.len());
    let stones = proptest::collection::vec((some_version(), some_version()), 0..3);
    let interims = proptest::collection::vec(some_version(), 0..3);
    let stored = proptest::collection::vec((0..KEYS.len(), some_version()), 0..3);
    let tested =
        proptest::option::of(proptest::sample::select(vec![("MACAddress", MAC), ("SerialNumber", "c185h001209")]));
    (rules, stones, interims, stored, tested).prop_map(|(rules, stones, interims, stored, tested)| {
        let mut world = World::new();
        for (key, (approved, pending)) in KEYS.iter().zip(rules).filter_map(|(key, rule)| Some((key, rule?))) {
            let pending = pending.filter(|_| approved != pending);
            world = world.rule(key, approved.unwrap_or(""), pending.unwrap_or(""));
        }
        world = stones.into_iter().fold(world, |world, (below, via)| world.stone(below, via));
        world = interims.into_iter().fold(world, World::interim);
        world = stored.into_iter().fold(world, |world, (key, version)| world.stored(KEYS[key], version));
        match tested {
            Some((of_type, identifier)) => world.test_device(of_type, identifier),
            None => world,
        }
    })
}

proptest! {
    #[test]
    fn the_table_and_decide_agree(
        world in some_world(),
        versions in proptest::array::uniform2(some_version()),
        device_type in proptest::sample::select(vec!["UCPhone", "roundtable", "Other", ""]),
        names in proptest::sample::select(vec![("A", "ENU"), ("b", "deu"), ("A", "DEU"), ("", "ENU")]),
    ) {
        let (rules, servable) = world.build();
        let model = Model::new(&body(&rules)).unwrap();
        let modules = [("cpe.NBT", versions[0]), ("Boot.nbt", versions[1])];
        let texts = modules.map(|(name, version)| format!("{name} {version}"));
        let mut request = request(&texts.each_ref().map(String::as_str));
        request.device_type = device_type.into();
        (request.revision, request.locale) = (names.0.into(), names.1.into());
        let identity = Identity {
            device_type: request.device_type.clone(),
            mac: request.mac.clone(),
            serial: request.serial.clone(),
            brand: request.vendor.clone(),
            model: request.model.clone(),
            revision: request.revision.clone(),
            locale: request.locale.clone(),
        };
        let decision = decide(&request, &rules, &servable);
        for ((name, installed), decided) in modules.iter().zip(decision.modules) {
            let installed = Installed { file_name: (*name).to_owned(), version: installed.parse().unwrap() };
            let expected = expected(&model, &identity, &installed);
            prop_assert_eq!(expected.reason, decided.reason);
            let offer = decided.offer.map(|update| (update.version(), update.image().digest.to_string()));
            let update = expected.update.map(|update| (update.version, update.image.digest.clone()));
            prop_assert_eq!(update, offer);
        }
    }
}
