//! The file, there and back, and everything that may be wrong with one.

use super::*;
use jiff::civil::{date, time};
use proptest::prelude::*;
use schema::device::{DeviceKey, Name};
use schema::package::{FileRole, Update, UpdateFile, UpdateTarget};
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSetParts, SteppingStone, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::test_device::TestIdentifier;
use schema::topology::{Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use schema::version::FirmwareVersion;
use std::collections::BTreeMap;
use std::time::Duration;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn update(target: UpdateTarget, version: FirmwareVersion, seed: u8, others: u8) -> Update {
    let file = |role, file_name: String| {
        let name = name(&file_name);
        let path = target.store_path(version, &name);
        let time_stamp = date(1601, 1, 1).at(0, 0, 0, 0).saturating_add(jiff::Span::new().hours(i64::from(seed)));
        let size_bytes = u64::MAX >> seed.min(63);
        UpdateFile { name, role, digest: Digest::new([seed; 32]), size_bytes, time_stamp, path }
    };
    let stem = target.update_type().to_string();
    let mut files = vec![file(FileRole::Image, format!("{stem}.nbt"))];
    if seed.is_multiple_of(2) {
        files.push(file(FileRole::Signature, format!("{stem}.CAT")));
    }
    files.extend((0..others).map(|number| file(FileRole::Other, format!("{number}.xml"))));
    Update::new(target, version, files).unwrap()
}

/// Rules by model, each with its three versions, which are stored.
type Rules = BTreeMap<String, [Option<u8>; 3]>;

fn parts(rules: &Rules, mark: (i64, i64), accounts: BTreeMap<String, String>, macs: &[u64], odd: bool) -> RuleSetParts {
    let [device_type, brand, revision, locale, update_type] = ["UCPhone", "LG-Nortel", "A", "ENU", "CPE"].map(name);
    let version = |number: u8| FirmwareVersion::new(u32::MAX, u32::from(number), 0, 1);
    let mut parts = RuleSetParts {
        mark: StoreMark { generation: mark.0, last_event: mark.1, last_event_hash: Digest::new([7; 32]) },
        pool: Pool {
            fqdn: PoolFqdn::parse("pool01.demo.local").unwrap(),
            site: SiteName::parse("Redmond").unwrap(),
            service_id: ServiceId::parse("1-WebServices-1").unwrap(),
            urls: PoolUrls {
                internal_files: PublicUrl::parse("http://ocs.demo.local/DeviceUpdateFiles_Int").ok(),
                ..PoolUrls::default()
            },
        },
        rules: vec![],
        updates: vec![],
        stepping_stones: vec![SteppingStone::of_the_original()],
        test_devices: vec![TestIdentifier::parse("SerialNumber", "C185H001209").unwrap()],
        configuration: DeviceUpdateConfiguration::default(),
        accounts: accounts.into_iter().collect(),
    };
    for (model, [approved, pending, restore]) in rules {
        let model = name(model);
        let key = DeviceKey {
            device_type: device_type.clone(),
            brand: brand.clone(),
            model,
            revision: revision.clone(),
            locale: locale.clone(),
            update_type: update_type.clone(),
        };
        let pending = pending.filter(|pending| Some(*pending) != *approved);
        let restore = restore.filter(|restore| approved.is_some() && Some(*restore) != *approved);
        let versions = [*approved, pending, restore].map(|number| number.map(version));
        let target = || UpdateTarget::Device(key.clone());
        let mut stored: Vec<u8> = [*approved, pending, restore].into_iter().flatten().collect();
        stored.sort_unstable();
        stored.dedup();
        parts.updates.extend(stored.into_iter().map(|seed| update(target(), version(seed), seed, seed % 3)));
        parts.rules.push((key, RuleVersions::new(versions[0], versions[1], versions[2]).unwrap()));
    }
    for mac in macs {
        parts
            .test_devices
            .push(TestIdentifier::parse("MACAddress", &format!("{:012X}", mac & 0xFFFF_FFFF_FFFF)).unwrap());
    }
    if odd {
        let interim = UpdateTarget::Interim { device_type, locale, update_type };
        parts.updates.push(update(interim, version(103), 9, 0));
        parts.stepping_stones.push(SteppingStone { brand: Some(brand), ..SteppingStone::of_the_original() });
        parts.configuration.log_clean_up_time_of_day = Some(time(23, 59, 1, 0));
        parts.configuration.log_flush_interval = Duration::from_secs(61);
        parts.configuration.max_log_file_size_bytes = u32::MAX;
        parts.configuration.valid_log_file_types = vec![];
    }
    parts
}

fn small() -> RuleSet {
    let rules = Rules::from([("IP8540".to_owned(), [Some(3), Some(4), None])]);
    let accounts = BTreeMap::from([("ann@demo.local".to_owned(), "$argon2id$x".to_owned())]);
    RuleSet::new(parts(&rules, (12, 34), accounts, &[0x21_630F_207B], true)).unwrap()
}

fn taken_at() -> Timestamp {
    "2026-01-05T12:00:00.123456Z".parse().unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(
        rules in prop::collection::btree_map("[A-Z]{1,3}[0-9]{1,4}", prop::array::uniform3(prop::option::of(1_u8..9)), 0..12),
        mark in (0..i64::MAX, 0..i64::MAX),
        accounts in prop::collection::btree_map("[a-zäß\"\\\\]{1,9}(@[a-z]{1,5})?", r"\$argon2id\$[ -~]{0,20}", 0..5),
        macs in prop::collection::vec(any::<u64>(), 0..5),
        odd: bool,
        taken_at in 0..i64::MAX / 1_000_000_000,
    ) {
        let rules = RuleSet::new(parts(&rules, mark, accounts, &macs, odd)).unwrap();
        let taken_at = Timestamp::from_second(taken_at).unwrap();
        let read = parse(&render(taken_at, &rules).unwrap()).unwrap();
        prop_assert_eq!(read.rules.parts(), rules.parts());
        prop_assert_eq!(read.taken_at, taken_at);
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes: Vec<u8>, content in "[\\{\\}\\[\\]\":,a-z_0-9]{0,60}") {
        let _ = parse(&bytes);
        prop_assert!(parse(&sealed(content.as_bytes())).is_err());
        let _ = parse(&sealed(&bytes));
    }
}

#[test]
fn a_file_that_was_cut_is_refused_at_every_length() {
    let whole = render(taken_at(), &small()).unwrap();
    assert_eq!(parse(&whole).unwrap().taken_at, taken_at());
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    let longer = [whole.as_slice(), b" "].concat();
    assert_eq!(parse(&longer).unwrap_err().to_string(), "it is damaged: it has not the length that it says");
}

#[test]
fn a_file_with_one_changed_byte_is_refused() {
    let whole = render(taken_at(), &small()).unwrap();
    for place in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[place] ^= flip;
            assert!(parse(&changed).is_err(), "byte {place} changed by {flip:#x}");
        }
    }
}

#[test]
fn what_is_whole_and_wrong_is_refused_by_name() {
    let whole = render(taken_at(), &small()).unwrap();
    let content = std::str::from_utf8(&whole).unwrap().split_once('\n').unwrap().1;
    let check = |from: &str, to: &str, expected: &str| {
        assert!(content.contains(from), "{from} is not in {content}");
        let refused = parse(&sealed(content.replacen(from, to, 1).as_bytes())).unwrap_err().to_string();
        assert!(refused.contains(expected), "{from} -> {to}: {refused}");
    };
    check(r#""generation":12"#, r#""generation":-12"#, "its generation is -12");
    check(r#""generation":12"#, r#""generation":12,"more":1"#, "unknown field `more`");
    check(r#""fqdn":"pool01.demo.local""#, r#""fqdn":"no pool""#, "no pool");
    check(r#""model":"IP8540""#, r#""model":"../..""#, "../..");
    check(r#""approved":"4294967295.3.0.1""#, r#""approved":"4294967295.5.0.1""#, "of which it holds no files");
    check(r#""pending":"4294967295.4.0.1""#, r#""pending":"4294967295.3.0.1""#, "combination");
    check(r#""path":"UCPhone/"#, r#""path":"/etc/"#, "path");
    check(r#""path":"UCPhone/"#, r#""path":"../UCPhone/"#, "path");
    check(r#""role":"image""#, r#""role":"other""#, "image files");
    check(r#""log_flush_interval_s":61"#, r#""log_flush_interval_s":0"#, "LogFlushInterval");
    check("$argon2id$x", "secret", "argon2");
    check("ann@demo.local", "Ann@demo.local", "no account's name");
    check(r#""via":"1.0.522.103""#, r#""via":"0.0.0.1""#, "for ever");
    check(r#""0021630F207B""#, r#""0021630F207""#, "0021630F207");
}

#[test]
fn a_refusal_is_one_short_line_whatever_the_file_holds() {
    let whole = render(taken_at(), &small()).unwrap();
    let content = std::str::from_utf8(&whole).unwrap().split_once('\n').unwrap().1;
    let check = |from: &str, to: &str, expected: &str| {
        assert!(content.contains(from), "{from} is not in {content}");
        let refused = parse(&sealed(content.replacen(from, to, 1).as_bytes())).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.chars().any(char::is_control) && refused.chars().count() < 400, "{refused}");
    };
    let long = "é".repeat(5_000);
    check("\"generation\"", r#""more\n\u007fthan":1,"generation""#, r"unknown field `more\n\u{7f}than`, expected");
    check("\"generation\"", &format!(r#""{long}":1,"generation""#), "unknown field `éé");
    check("\"generation\":12", &format!(r#""generation":"{long}""#), "invalid type: string");
    check("ann@demo.local", &long, "éé");
    check(".clg", &long, "ValidLogFileExtensions: \"éé");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let whole = render(taken_at(), &small()).unwrap();
    let text = String::from_utf8(whole).unwrap();
    let check = |from: &str, to: &str, expected: &str| {
        let refused = parse(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    check(
        "ucupdates-snapshot 1 ",
        "ucupdates-snapshot 2 0 x ",
        "it has format 2, and this program reads format 1 only",
    );
    check("ucupdates-snapshot 1 ", "ucupdates-snapshot 0 ", "it is no snapshot file");
    check("ucupdates-snapshot", "something", "it is no snapshot file");
    check("ann@demo", "bob@demo", "it has not the digest that it says");
    assert_eq!(parse(b"").unwrap_err().to_string(), "it is damaged: it is empty");
}
