//! A small pool for the tests of `decide`, `explain` and `update`: rules, updates and test devices in few words.

use crate::wire::request::{Module, UpdateRequest};
use jiff::civil::date;
use schema::device::{DeviceKey, Name};
use schema::package::{Digest, FileRole, Update, UpdateFile, UpdateTarget};
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSet, RuleSetParts, Servable, SteppingStone, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::test_device::TestIdentifier;
use schema::topology::{Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use schema::version::FirmwareVersion;

/// The MAC address of the phone of PROTOCOL.md 9.
pub(crate) const MAC: &str = "0021630F207B";

/// What a node knows and holds.
#[derive(Debug)]
pub(crate) struct World {
    parts: RuleSetParts,
    unheld: Vec<FirmwareVersion>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn version(text: &str) -> FirmwareVersion {
    text.parse().unwrap()
}

/// `UCPhone/LG-Nortel/IP8540/A/ENU/CPE`
pub(crate) fn key(text: &str) -> DeviceKey {
    let parts: Vec<Name> = text.split('/').map(name).collect();
    let [device_type, brand, model, revision, locale, update_type] = parts.try_into().unwrap();
    DeviceKey { device_type, brand, model, revision, locale, update_type }
}

/// The phone of PROTOCOL.md 9 with these modules: `cpe.nbt 1.0.522.34`.
pub(crate) fn phone(modules: &[&str]) -> UpdateRequest {
    let module = |text: &&str| {
        let (file_name, installed) = text.split_once(' ').unwrap();
        Module { file_name: file_name.into(), version: version(installed), time_stamp: None }
    };
    UpdateRequest {
        device_type: "UCPhone".into(),
        mac: MAC.into(),
        serial: "C185H001209".into(),
        vendor: "LG-Nortel".into(),
        model: "IP8540".into(),
        revision: "A".into(),
        locale: "ENU".into(),
        user: "ruisilva@demo.local".into(),
        request_date_time: Some(date(2009, 3, 6).at(17, 10, 39, 0)),
        modules: modules.iter().map(module).collect(),
    }
}

fn update(target: UpdateTarget, version: FirmwareVersion) -> Update {
    let stem = target.update_type().to_string();
    let file = |role, extension: &str| {
        let name = name(&format!("{stem}.{extension}"));
        let path = target.store_path(version, &name);
        let time_stamp = date(2008, 12, 16).at(4, 43, 58, 0);
        let mut bytes = [0; 32];
        for (byte, letter) in bytes.iter_mut().zip(format!("{version}{extension}").bytes()) {
            *byte = letter;
        }
        UpdateFile { name, role, digest: Digest::new(bytes), size_bytes: 1, time_stamp, path }
    };
    let files = vec![file(FileRole::Image, "nbt"), file(FileRole::Signature, "cat")];
    Update::new(target, version, files).unwrap()
}

impl World {
    /// The pool of PROTOCOL.md 9, in site Redmond, with the original's stepping stone and nothing imported.
    pub(crate) fn new() -> Self {
        let url = |text| PublicUrl::parse(text).ok();
        let pool = Pool {
            fqdn: PoolFqdn::parse("pool01.demo.local").unwrap(),
            site: SiteName::parse("Redmond").unwrap(),
            service_id: ServiceId::parse("1-WebServices-1").unwrap(),
            urls: PoolUrls {
                internal_files: url("http://ocs.demo.local/DeviceUpdateFiles_Int"),
                external_files: url("https://ext.demo.local/DeviceUpdateFiles_Ext"),
                ..PoolUrls::default()
            },
        };
        let parts = RuleSetParts {
            mark: StoreMark { generation: 1, ..StoreMark::NOTHING },
            pool,
            rules: vec![],
            updates: vec![],
            stepping_stones: vec![SteppingStone::of_the_original()],
            test_devices: vec![],
            configuration: DeviceUpdateConfiguration::default(),
            accounts: vec![],
        };
        Self { parts, unheld: vec![] }
    }

    /// With a rule: approved and pending version, empty for none. Both are stored.
    pub(crate) fn rule(mut self, rule: &str, approved: &str, pending: &str) -> Self {
        let place = |text: &str| (!text.is_empty()).then(|| version(text));
        let (approved, pending) = (place(approved), place(pending));
        self.parts.rules.push((key(rule), RuleVersions::new(approved, pending, None).unwrap()));
        let stored = approved.into_iter().chain(pending);
        stored.fold(self, |world, version| world.holding(UpdateTarget::Device(key(rule)), version))
    }

    /// With an update of a device's key that no rule may refer to.
    pub(crate) fn stored(self, device: &str, stored: &str) -> Self {
        self.holding(UpdateTarget::Device(key(device)), version(stored))
    }

    /// As the store does: an update is stored once.
    fn holding(mut self, target: UpdateTarget, version: FirmwareVersion) -> Self {
        if !self.parts.updates.iter().any(|held| *held.target() == target && held.version() == version) {
            self.parts.updates.push(update(target, version));
        }
        self
    }

    /// With an interim build for `UCPhone`, `ENU`, `CPE`; a locale has room for one.
    pub(crate) fn interim(mut self, build: &str) -> Self {
        let target =
            UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
        self.parts.updates.retain(|held| *held.target() != target);
        self.holding(target, version(build))
    }

    /// With another stepping stone, unless the store would refuse it.
    pub(crate) fn stone(mut self, below: &str, via: &str) -> Self {
        let stone = SteppingStone { below: version(below), via: version(via), ..SteppingStone::of_the_original() };
        if stone.via >= stone.below {
            self.parts.stepping_stones.push(stone);
        }
        self
    }

    /// With a test device.
    pub(crate) fn test_device(mut self, identifier_type: &str, identifier: &str) -> Self {
        self.parts.test_devices.push(TestIdentifier::parse(identifier_type, identifier).unwrap());
        self
    }

    /// Where the files of this version are not held by the node.
    pub(crate) fn unheld(mut self, missing: &str) -> Self {
        self.unheld.push(version(missing));
        self
    }

    /// With this MaxLogFileSize.
    pub(crate) fn max_log_file_size(mut self, bytes: u32) -> Self {
        self.parts.configuration.max_log_file_size_bytes = bytes;
        self
    }

    /// Without the pool's URLs.
    pub(crate) fn without_urls(mut self) -> Self {
        self.parts.pool.urls = PoolUrls::default();
        self
    }

    /// The snapshot.
    pub(crate) fn build(&self) -> (RuleSet, Servable) {
        let held = self.parts.updates.iter().filter(|update| !self.unheld.contains(&update.version()));
        let servable = Servable::new(held.flat_map(|update| update.files()));
        (RuleSet::new(self.parts.clone()).unwrap(), servable)
    }
}
