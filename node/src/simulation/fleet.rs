//! Which phones there are: drawn from a model with a seed, so that a run can be repeated, or so many of one kind. Pure.
//! A fleet holds what real ones hold: phones that are old, up to date, ahead, empty, test devices, and of unknown models.

use crate::simulation::model::{Model, Rule, fold};
use crate::simulation::phone::{Identity, Installed, Phone};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use schema::version::FirmwareVersion;
use std::collections::BTreeMap;

/// Of a hundred phones so many are of a model that no rule speaks of.
const UNKNOWN_PERCENT: u32 = 5;

/// Of a hundred phones at most so many are test devices; each is another one of the model's.
const TEST_PERCENT: usize = 10;

/// Firmware that is older than any stepping stone of the original.
const OLD: FirmwareVersion = FirmwareVersion::new(1, 0, 522, 34);

/// So many phones of the model's rules, each with a version drawn from those that its kind can have.
pub fn of_model(model: &Model, count: usize, seed: u64) -> Vec<Phone> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut kinds: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
    for rule in model.rules.values() {
        kinds.entry(fold(&rule.device.each_ref().map(String::as_str))).or_default().push(rule);
    }
    for rules in kinds.values_mut() {
        rules.sort_by_key(|rule| rule.update_type.to_ascii_lowercase());
    }
    let kinds: Vec<_> = kinds.into_values().collect();
    let test_devices = test_devices(model);
    let test_count = test_devices.len().min((count * TEST_PERCENT).div_ceil(100));
    let phone = |index: usize| {
        let mut identity = identity(seed, index);
        if let Some((mac, serial)) = test_devices.get(index).filter(|_| index < test_count) {
            (identity.mac, identity.serial) = (mac.clone(), serial.clone());
        }
        let Some(rules) = kinds.get(index % kinds.len().max(1)) else { return unknown(identity) };
        let [device_type, brand, name, revision, locale] = rules[0].device.clone();
        identity = Identity { device_type, brand, model: name, revision, locale, ..identity };
        if random.random_range(0..100) < UNKNOWN_PERCENT {
            identity.model += "-unknown";
        }
        let modules = rules.iter().map(|rule| {
            let versions = choices(model, rule);
            // The first phone has something to update to, so that a run of one shows what there is to see.
            let chosen = if index == 0 { 0 } else { random.random_range(0..versions.len()) };
            Installed { file_name: format!("{}.nbt", rule.update_type.to_ascii_lowercase()), version: versions[chosen] }
        });
        Phone { modules: modules.collect(), identity }
    };
    (0..count).map(phone).collect()
}

/// So many phones like this one. The first is it; the others have addresses of their own.
pub fn like(phone: &Phone, count: usize, seed: u64) -> Vec<Phone> {
    let other = |index| {
        let own = identity(seed, index);
        let identity = Identity { mac: own.mac, serial: own.serial, ..phone.identity.clone() };
        Phone { identity, modules: phone.modules.clone() }
    };
    (0..count).map(|index| if index == 0 { phone.clone() } else { other(index) }).collect()
}

/// A locally administered MAC address, so that it is nobody's, and a serial number.
pub fn identity(seed: u64, index: usize) -> Identity {
    Identity {
        mac: format!("02{:02X}{index:08X}", seed & 0xff),
        serial: format!("SIM{seed}-{index}"),
        ..Identity::default()
    }
}

fn unknown(identity: Identity) -> Phone {
    let text = str::to_owned;
    let (device_type, brand, model) = (text("UCPhone"), text("Unknown"), text("Unknown"));
    let identity = Identity { device_type, brand, model, revision: text("A"), locale: text("ENU"), ..identity };
    Phone { identity, modules: vec![Installed { file_name: text("cpe.nbt"), version: OLD }] }
}

/// What a phone of this rule can have; first the one before the approved one.
fn choices(model: &Model, rule: &Rule) -> Vec<FirmwareVersion> {
    let [device_type, brand, name, revision, locale] = rule.device.each_ref().map(String::as_str);
    let before = rule.approved.or(rule.pending).map_or(OLD, |version| version.before());
    let mut versions = vec![before, FirmwareVersion::NONE, OLD, FirmwareVersion::new(99, 0, 0, 0)];
    versions.extend(model.versions(&fold(&[device_type, brand, name, revision, locale, &rule.update_type])));
    // Most phones have what was approved.
    versions.extend(rule.approved.into_iter().flat_map(|approved| [approved; 3]));
    versions
}

/// MAC address and serial number of each test device, one of them empty; in an order that does not change.
fn test_devices(model: &Model) -> Vec<(String, String)> {
    let macs = model.test_macs.iter().map(|mac| (mac.to_string(), String::new()));
    let serials = model.test_serials.iter().map(|serial| (String::new(), serial.clone()));
    let mut devices: Vec<_> = macs.chain(serials).collect();
    devices.sort();
    devices
}
