//! What is planned for which facts; and that following plans comes to rest without losing or overspending anything.

use super::*;
use proptest::prelude::*;
use schema::device::Name;
use schema::package::{FileRole, StorePath};

/// A file that is told apart by its number.
fn file(number: u8, size_bytes: u64) -> Arc<UpdateFile> {
    Arc::new(UpdateFile {
        name: Name::parse("CPE.nbt").unwrap(),
        role: FileRole::Image,
        digest: Digest::new([number; 32]),
        size_bytes,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: StorePath::parse(&format!("OCInterim/L{number}/CPE.nbt")).unwrap(),
    })
}

fn held(files: &[(u8, u64)]) -> BTreeMap<Digest, Held> {
    let of = |(number, size_bytes): &(u8, u64)| {
        (Digest::new([*number; 32]), Held { size_bytes: *size_bytes, settled: true })
    };
    files.iter().map(of).collect()
}

struct Case<'a> {
    wanted: &'a [(u8, u64, Need)],
    held: &'a [(u8, u64)],
    fetching: &'a [u8],
    resting: &'a [u8],
    room_bytes: u64,
}

const NOTHING: Case<'_> = Case { wanted: &[], held: &[], fetching: &[], resting: &[], room_bytes: 1000 };

/// The steps as `-1 +2`, and what finds no room as `!3`.
fn check(case: Case<'_>, expected: &str) {
    let wanted: Vec<_> =
        case.wanted.iter().map(|(number, size, need)| Wanted { file: file(*number, *size), need: *need }).collect();
    let digests = |numbers: &[u8]| numbers.iter().map(|number| Digest::new([*number; 32])).collect::<BTreeSet<_>>();
    let planned = plan(&Facts {
        wanted: &wanted,
        held: &held(case.held),
        fetching: &digests(case.fetching),
        resting: &digests(case.resting),
        room_bytes: case.room_bytes,
    });
    let number = |digest: &Digest| digest.as_bytes()[0];
    let steps = planned.steps.iter().map(|step| match step {
        Step::Evict(digest) => format!("-{}", number(digest)),
        Step::Fetch(file) => format!("+{}", number(&file.digest)),
    });
    let without_room = planned.without_room.iter().map(|digest| format!("!{}", number(digest)));
    assert_eq!(steps.chain(without_room).collect::<Vec<_>>().join(" "), expected);
}

use Need::{Approved, Kept, Pending};

#[test]
fn what_is_needed_is_fetched_in_the_order_in_which_it_is_wanted() {
    let wanted = [(1, 9, Approved), (2, 90, Approved), (3, 1, Pending), (4, 1, Kept), (5, 1, Need::None)];
    check(Case { wanted: &wanted, ..NOTHING }, "+1 +2 +3 +4");
    check(Case { wanted: &wanted, held: &[(1, 9), (3, 1)], ..NOTHING }, "+2 +4");
    check(Case { wanted: &wanted, fetching: &[1, 2], resting: &[4], ..NOTHING }, "+3");
}

#[test]
fn what_no_rule_names_goes_and_what_no_rule_needs_goes_when_room_is_scarce() {
    let wanted = [(1, 50, Approved), (2, 30, Need::None), (3, 30, Need::None)];
    check(Case { wanted: &wanted, held: &[(1, 50), (2, 30), (3, 30), (9, 1)], ..NOTHING }, "-9");
    check(Case { wanted: &wanted, held: &[(1, 50), (2, 30), (3, 30)], room_bytes: 100, ..NOTHING }, "-3");
    // Room is made before it is needed.
    check(Case { wanted: &wanted, held: &[(2, 30), (3, 30)], room_bytes: 60, ..NOTHING }, "-2 -3 +1");
}

#[test]
fn needed_files_without_room_are_named_and_smaller_ones_still_come() {
    let wanted = [(1, 50, Approved), (2, 60, Pending), (3, 40, Pending)];
    check(Case { wanted: &wanted, room_bytes: 100, ..NOTHING }, "+1 +3 !2");
    // Never dropped for another, even one that is needed more.
    check(Case { wanted: &wanted, held: &[(2, 60)], room_bytes: 100, ..NOTHING }, "+3 !1");
    check(Case { wanted: &wanted, held: &[(2, 60)], room_bytes: 10, ..NOTHING }, "!1 !3");
}

#[test]
fn a_file_of_another_length_is_dropped_and_fetched_anew() {
    check(Case { wanted: &[(1, 50, Approved)], held: &[(1, 49)], ..NOTHING }, "-1 +1");
}

#[test]
fn what_came_just_now_waits_for_the_rules_that_name_it() {
    let mut facts = held(&[(1, 5)]);
    facts.values_mut().for_each(|held| held.settled = false);
    let (fetching, resting) = Default::default();
    let planned = plan(&Facts { wanted: &[], held: &facts, fetching: &fetching, resting: &resting, room_bytes: 0 });
    assert_eq!(planned, Plan::default());
}

fn needs() -> impl Strategy<Value = Need> {
    prop_oneof![Just(Need::None), Just(Kept), Just(Pending), Just(Approved)]
}

proptest! {
    #[test]
    fn following_plans_comes_to_rest_and_keeps_to_the_budget(
        files in proptest::collection::btree_map(0..40_u8, (1..100_u64, needs()), 0..20),
        strangers in proptest::collection::btree_set(0..60_u8, 0..20),
        damaged in proptest::collection::btree_set(0..60_u8, 0..5),
        room_bytes in 0..2000_u64,
    ) {
        let mut wanted: Vec<Wanted> =
            files.iter().map(|(number, (size, need))| Wanted { file: file(*number, *size), need: *need }).collect();
        wanted.sort_by_key(|wanted| (std::cmp::Reverse(wanted.need), wanted.file.size_bytes));
        let size = |number: u8| files.get(&number).map_or(7, |(size, _)| *size) + u64::from(damaged.contains(&number));
        let mut present = held(&strangers.iter().map(|number| (*number, size(*number))).collect::<Vec<_>>());
        let needed: BTreeMap<Digest, u64> = wanted
            .iter()
            .filter(|wanted| wanted.need != Need::None)
            .map(|wanted| (wanted.file.digest, wanted.file.size_bytes))
            .collect();
        let bytes = |present: &BTreeMap<Digest, Held>| present.values().map(|held| held.size_bytes).sum::<u64>();
        let (fetching, resting) = Default::default();
        for round in 0.. {
            let planned =
                plan(&Facts { wanted: &wanted, held: &present, fetching: &fetching, resting: &resting, room_bytes });
            if planned.steps.is_empty() {
                for digest in needed.keys() {
                    prop_assert!(present.contains_key(digest) != planned.without_room.contains(digest));
                }
                break;
            }
            prop_assert!(round < 2, "{:?}", planned);
            for step in &planned.steps {
                match step {
                    Step::Evict(digest) => {
                        let found = present.remove(digest);
                        let whole = found.is_some_and(|held| needed.get(digest) == Some(&held.size_bytes));
                        prop_assert!(!whole, "a file that a rule needs was dropped");
                    }
                    Step::Fetch(file) => {
                        prop_assert!(needed.contains_key(&file.digest), "nobody needs it");
                        present.insert(file.digest, Held { size_bytes: file.size_bytes, settled: true });
                        prop_assert!(bytes(&present) <= room_bytes, "the budget is exceeded");
                    }
                }
            }
        }
    }
}
