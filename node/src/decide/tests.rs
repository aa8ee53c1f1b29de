//! The table of PROTOCOL.md 5 row by row, and what must hold for any rules and any phone.

use super::world::{MAC, World, key, phone, version};
use super::*;
use proptest::prelude::*;
use schema::package::UpdateTarget;

const IP8540: &str = "UCPhone/LG-Nortel/IP8540/A/ENU/CPE";
const TABLE: &str = "RoundTable/Microsoft/RTC/A/ENU/CPE";

/// `expected`: for each module its reason, and the version that is offered if one is.
fn check(world: World, request: &UpdateRequest, expected: &[&str]) {
    let (rules, servable) = world.build();
    let decision = decide(request, &rules, &servable);
    let told: Vec<String> = decision
        .modules
        .iter()
        .map(|module| match &module.offer {
            Some(offer) => format!("{} {}", module.reason.as_str(), offer.version()),
            None => module.reason.as_str().to_owned(),
        })
        .collect();
    assert_eq!(told, expected);
}

fn has(installed: &str) -> UpdateRequest {
    phone(&[&format!("cpe.nbt {installed}")])
}

fn round_table(installed: &str) -> UpdateRequest {
    let device = ("RoundTable".into(), "Microsoft".into(), "RTC".into());
    let (device_type, vendor, model) = device;
    UpdateRequest { device_type, vendor, model, ..has(installed) }
}

fn tested(world: World) -> World {
    world.test_device("MACAddress", MAC)
}

#[test]
fn no_rule_or_nothing_approved_or_the_approved_version_is_nothing() {
    let world = |approved, pending| World::new().rule(IP8540, approved, pending);
    check(World::new(), &has("3.5.0.0"), &["no_rule"]);
    check(world("", "3.6"), &has("3.5.0.0"), &["not_approved"]);
    check(world("", ""), &has("3.5.0.0"), &["not_approved"]);
    check(world("3.5", ""), &has("3.5.0.0"), &["up_to_date"]);
    check(world("3.5", "3.6"), &has("3.5.0.0"), &["up_to_date"]);
}

#[test]
fn an_approved_version_that_differs_is_offered_even_when_it_is_older() {
    check(World::new().rule(IP8540, "3.6", ""), &has("3.5"), &["offered 3.6.0.0"]);
    check(World::new().rule(IP8540, "3.4", ""), &has("3.5"), &["offered 3.4.0.0"]);
    check(World::new().rule(IP8540, "3.4", "3.6"), &has("3.5"), &["offered 3.4.0.0"]);
    check(World::new().rule(IP8540, "1.0.522.50", ""), &has("0.0.0.0"), &["offered 1.0.522.50"]);
}

#[test]
fn a_test_device_gets_the_pending_version_else_what_all_get() {
    check(tested(World::new().rule(IP8540, "3.5", "3.6")), &has("3.5"), &["offered_test 3.6.0.0"]);
    check(tested(World::new().rule(IP8540, "", "3.4")), &has("3.5"), &["offered_test 3.4.0.0"]);
    check(tested(World::new().rule(IP8540, "3.5", "3.6")), &has("3.6"), &["up_to_date"]);
    check(tested(World::new().rule(IP8540, "3.6", "")), &has("3.5"), &["offered 3.6.0.0"]);
    check(tested(World::new().rule(IP8540, "3.5", "")), &has("3.5"), &["up_to_date"]);
    check(tested(World::new().rule(IP8540, "", "")), &has("3.5"), &["not_approved"]);
    check(tested(World::new()), &has("3.5"), &["no_rule"]);
}

#[test]
fn a_test_device_after_reset_goes_back_to_the_approved_version() {
    // D04: 3.6 was pending, is installed, and was reset.
    check(tested(World::new().rule(IP8540, "3.5", "")), &has("3.6"), &["offered 3.5.0.0"]);
}

#[test]
fn a_device_that_is_a_test_device_no_more_waits_for_approval() {
    // D05: what it has meanwhile differs from the approved version, so the approved one is offered, if there is one.
    check(World::new().rule(IP8540, "", "3.6"), &has("3.5"), &["not_approved"]);
    check(World::new().rule(IP8540, "3.5", "3.6"), &has("3.5"), &["up_to_date"]);
}

#[test]
fn test_devices_match_by_mac_or_serial_however_they_are_written() {
    // D16, ours: either identifier is enough, and both are no more than one.
    let world = || World::new().rule(IP8540, "3.5", "3.6");
    let offered = &["offered_test 3.6.0.0"];
    let phone = |mac: &str, serial: &str| UpdateRequest { mac: mac.into(), serial: serial.into(), ..has("3.5") };
    check(world().test_device("MACAddress", "00-21-63-0f-20-7b"), &phone("00:21:63:0F:20:7B", ""), offered);
    check(world().test_device("SerialNumber", "c185h001209"), &phone("", "C185H001209"), offered);
    check(world().test_device("SerialNumber", "X").test_device("MACAddress", MAC), &phone(MAC, "Y"), offered);
    check(tested(world()).test_device("SerialNumber", "X"), &phone(MAC, "X"), offered);
    check(tested(world()), &phone("", ""), &["up_to_date"]);
    check(tested(world()), &phone("0021630F207C", ""), &["up_to_date"]);
    check(tested(world()), &phone("", MAC), &["up_to_date"]);
}

#[test]
fn round_tables_are_served_without_approval() {
    check(World::new().rule(TABLE, "", "2.0"), &round_table("1.0"), &["offered_unapproved 2.0.0.0"]);
    check(World::new().rule(TABLE, "1.0", "2.0"), &round_table("1.0"), &["offered_unapproved 2.0.0.0"]);
    check(World::new().rule(TABLE, "1.0", "2.0"), &round_table("2.0"), &["up_to_date"]);
    check(World::new().rule(TABLE, "2.0", ""), &round_table("1.0"), &["offered 2.0.0.0"]);
    check(World::new().rule(TABLE, "2.0", ""), &round_table("2.0"), &["up_to_date"]);
    check(World::new().rule(TABLE, "", ""), &round_table("2.0"), &["not_approved"]);
    check(tested(World::new().rule(TABLE, "1.0", "2.0")), &round_table("1.0"), &["offered_test 2.0.0.0"]);
    check(World::new().rule(TABLE, "", "2.0").unheld("2.0"), &round_table("1.0"), &["not_ready"]);
    let lower = UpdateRequest { device_type: "roundtable".into(), ..round_table("1.0") };
    check(World::new().rule(TABLE, "", "2.0"), &lower, &["offered_unapproved 2.0.0.0"]);
}

#[test]
fn old_communicator_phones_take_the_interim_build_first() {
    let world = || World::new().rule(IP8540, "3.5.6907.0", "").interim("1.0.522.103");
    let (interim, target) = ("interim 1.0.522.103", "offered 3.5.6907.0");
    check(world(), &has("0.0.0.0"), &[interim]);
    check(world(), &has("1.0.522.97"), &[interim]);
    check(world(), &has("1.0.522.98"), &[target]);
    check(world(), &has("1.0.522.103"), &[target]);
    check(tested(World::new().rule(IP8540, "", "3.5").interim("1.0.522.103")), &has("1.0"), &[interim]);
}

#[test]
fn the_interim_build_is_for_targets_that_are_newer_than_it() {
    let world = |approved| World::new().rule(IP8540, approved, "").interim("1.0.522.103");
    check(world("1.0.522.103"), &has("1.0.522.34"), &["offered 1.0.522.103"]);
    check(world("1.0.522.101"), &has("1.0.522.34"), &["offered 1.0.522.101"]);
    check(world("1.0.522.104"), &has("1.0.522.34"), &["interim 1.0.522.103"]);
    check(world(""), &has("1.0.522.34"), &["not_approved"]);
    check(world("1.0.522.34"), &has("1.0.522.34"), &["up_to_date"]);
    let table = World::new().rule(TABLE, "2.0", "").interim("1.0.522.103");
    check(table, &round_table("1.0"), &["offered 2.0.0.0"]);
}

#[test]
fn an_interim_build_may_also_be_an_update_of_the_phones_own() {
    let world = World::new().rule(IP8540, "3.5", "").stored(IP8540, "1.0.522.103");
    check(world, &has("1.0"), &["interim 1.0.522.103"]);
}

#[test]
fn a_stepping_stone_that_no_package_brought_stops_the_phone() {
    check(World::new().rule(IP8540, "3.5", ""), &has("1.0"), &["interim_missing"]);
    check(World::new().rule(IP8540, "3.5", "").interim("1.0.522.101"), &has("1.0"), &["interim_missing"]);
}

#[test]
fn several_stepping_stones_are_taken_one_after_the_other() {
    // A locale has room for one interim build; the second is an update of the phone's own key.
    let world = || {
        let world = World::new().rule(IP8540, "4.0", "").interim("1.0.522.103");
        world.stone("3.5", "3.5.6907.0").stored(IP8540, "3.5.6907.0")
    };
    check(world(), &has("1.0"), &["interim 1.0.522.103"]);
    check(world(), &has("1.0.522.103"), &["interim 3.5.6907.0"]);
    check(world(), &has("3.5.6907.0"), &["offered 4.0.0.0"]);
}

#[test]
fn what_is_not_servable_here_is_not_offered() {
    let world = || World::new().rule(IP8540, "3.5", "");
    check(world().unheld("3.5"), &has("3.4"), &["not_ready"]);
    check(world().unheld("3.5"), &has("3.5"), &["up_to_date"]);
    let interim = || world().interim("1.0.522.103");
    check(interim().unheld("1.0.522.103"), &has("1.0"), &["not_ready"]);
    // Ours: a phone is not sent half the way.
    check(interim().unheld("3.5"), &has("1.0"), &["not_ready"]);
    check(interim().unheld("1.0.522.103"), &has("2.0"), &["offered 3.5.0.0"]);
}

#[test]
fn a_version_whose_update_is_not_stored_is_not_ready() {
    let (rules, _) = World::new().rule(IP8540, "3.5", "").build();
    let decision = decide(&has("3.4"), &rules, &Servable::default());
    assert_eq!(decision.reason(), Reason::NotReady);
}

#[test]
fn every_module_is_decided_on_its_own() {
    let world = World::new().rule(IP8540, "3.5", "").rule("UCPhone/LG-Nortel/IP8540/A/ENU/BOOT", "1.1", "");
    let request = phone(&["cpe.nbt 3.4", "Boot.nbt 1.1", "other.nbt 1.0", "CPE.NBT 3.5", "boot 1.2"]);
    check(world, &request, &["offered 3.5.0.0", "up_to_date", "no_rule", "up_to_date", "offered 1.1.0.0"]);
    check(World::new().rule(IP8540, "3.5", ""), &phone(&[]), &[]);
}

#[test]
fn all_six_parts_of_the_key_match_exactly_but_for_case() {
    // D06, ours: no fallback for an unknown revision or locale.
    let world = || World::new().rule(IP8540, "3.5", "");
    let upper = UpdateRequest {
        device_type: "ucphone".into(),
        vendor: "lg-nortel".into(),
        model: "ip8540".into(),
        revision: "a".into(),
        locale: "enu".into(),
        ..phone(&["cPe.NbT 3.4"])
    };
    check(world(), &upper, &["offered 3.5.0.0"]);
    let others = [
        UpdateRequest { device_type: "UCPhone2".into(), ..has("3.4") },
        UpdateRequest { vendor: "LG".into(), ..has("3.4") },
        UpdateRequest { model: "IP8540x".into(), ..has("3.4") },
        UpdateRequest { revision: "B".into(), ..has("3.4") },
        UpdateRequest { revision: String::new(), ..has("3.4") },
        UpdateRequest { locale: "DEU".into(), ..has("3.4") },
        UpdateRequest { locale: "../ENU".into(), ..has("3.4") },
        phone(&["cp.nbt 3.4"]),
        phone(&["..\\cpe.nbt 3.4"]),
        phone(&[".nbt 3.4"]),
    ];
    for other in others {
        check(world(), &other, &["no_rule"]);
    }
}

#[test]
fn one_reason_sums_up_several_modules() {
    let reason = |request: UpdateRequest| {
        let (rules, servable) = World::new()
            .rule(IP8540, "3.5", "")
            .rule("UCPhone/LG-Nortel/IP8540/A/ENU/BOOT", "1.1", "")
            .unheld("1.1")
            .build();
        decide(&request, &rules, &servable).reason().as_str()
    };
    assert_eq!(reason(phone(&["a.nbt 1.0", "cpe.nbt 3.4"])), "offered");
    assert_eq!(reason(phone(&["cpe.nbt 3.5", "boot.nbt 1.2"])), "not_ready");
    assert_eq!(reason(phone(&["cpe.nbt 3.5", "a.nbt 1.0"])), "no_rule");
    assert_eq!(reason(phone(&["cpe.nbt 3.5"])), "up_to_date");
    assert_eq!(reason(phone(&[])), "no_module");
}

#[test]
fn every_reason_of_a_decision_is_reached() {
    let mut reached: Vec<Reason> = Vec::new();
    let mut note = |world: World, request: &UpdateRequest| {
        let (rules, servable) = world.build();
        reached.push(decide(request, &rules, &servable).reason());
    };
    note(World::new().rule(IP8540, "3.5", ""), &has("3.4"));
    note(tested(World::new().rule(IP8540, "", "3.5")), &has("3.4"));
    note(World::new().rule(TABLE, "", "2.0"), &round_table("1.0"));
    note(World::new().rule(IP8540, "3.5", "").interim("1.0.522.103"), &has("1.0"));
    note(World::new().rule(IP8540, "3.5", "").unheld("3.5"), &has("3.4"));
    note(World::new().rule(IP8540, "3.5", ""), &has("1.0"));
    note(World::new().rule(IP8540, "", "3.5"), &has("3.4"));
    note(World::new(), &has("3.4"));
    note(World::new().rule(IP8540, "3.5", ""), &has("3.5"));
    note(World::new(), &phone(&[]));
    // The other four are no decisions: the tests of `update` reach them.
    let outside = [Reason::NoData, Reason::AnonymousRefused, Reason::Overload, Reason::Unreadable];
    let expected: Vec<Reason> = Reason::all().into_iter().filter(|reason| !outside.contains(reason)).collect();
    assert_eq!(reached, expected);
}

fn some_version() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["0.0.0.0", "1.0.522.34", "1.0.522.98", "1.0.522.103", "1.0.522.104", "3.5", "4.0"])
}

fn some_world() -> impl Strategy<Value = World> {
    let place = || proptest::option::of(some_version());
    let stones = proptest::collection::vec((some_version(), some_version()), 0..3);
    let interims = proptest::collection::vec(some_version(), 0..3);
    let unheld = proptest::collection::vec(some_version(), 0..3);
    (place(), place(), stones, interims, unheld, any::<bool>(), any::<bool>()).prop_map(
        |(approved, pending, stones, interims, unheld, test, table)| {
            let pending = pending.filter(|_| approved != pending);
            let rule = if table { TABLE } else { IP8540 };
            let mut world = World::new().rule(rule, approved.unwrap_or(""), pending.unwrap_or(""));
            world = stones.into_iter().fold(world, |world, (below, via)| world.stone(below, via));
            world = interims.into_iter().fold(world, World::interim);
            world = unheld.into_iter().fold(world, World::unheld);
            if test { tested(world) } else { world }
        },
    )
}

proptest! {
    #[test]
    fn an_offer_is_servable_differs_and_leads_to_the_target(
        world in some_world(), installed in some_version(), table: bool,
    ) {
        let (rules, servable) = world.build();
        let request = if table { round_table(installed) } else { has(installed) };
        for module in decide(&request, &rules, &servable).modules {
            prop_assert_eq!(module.offer.is_some(), module.reason.is_offer());
            let Some(offer) = module.offer else { continue };
            prop_assert_ne!(offer.version(), version(installed));
            prop_assert!(servable.holds(&offer));
            let on_the_way = module.stepping_stone.map(|stone| stone.via);
            prop_assert_eq!(Some(offer.version()), on_the_way.or(module.target));
            let versions = module.versions.unwrap();
            prop_assert!(module.target == versions.approved() || module.target == versions.pending());
            prop_assert!(module.target == versions.approved() || module.test_device || table);
            let found = rules.update(offer.target(), offer.version());
            prop_assert_eq!(found, Some(&offer));
            let own = UpdateTarget::Device(key(if table { TABLE } else { IP8540 }));
            prop_assert!(*offer.target() == own || module.reason == Reason::Interim);
        }
    }

    #[test]
    fn a_phone_that_installs_what_it_is_offered_comes_to_rest(
        approved in some_version(), installed in some_version(), interim: bool,
    ) {
        let mut world = World::new().rule(IP8540, approved, "");
        if interim {
            world = world.interim("1.0.522.103");
        }
        let (rules, servable) = world.build();
        let mut installed = version(installed);
        for _ in 0..3 {
            let request = has(&installed.to_string());
            let decision = decide(&request, &rules, &servable);
            let Some(offer) = decision.offers().next() else { break };
            installed = offer.version();
        }
        let decision = decide(&has(&installed.to_string()), &rules, &servable);
        prop_assert!(!decision.reason().is_offer());
    }
}
