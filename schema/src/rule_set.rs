//! All that a node must know to answer the phones of its pool, as one immutable value: the snapshot.
//! Loaded by `store`, read by the node's `decide` and file routes; holds no connection and no clock.

mod sound;

pub(crate) use sound::check_counts;
pub use sound::{AbsurdRuleSet, LIMITS, RuleSetLimits};

use crate::device::{DeviceKey, MacAddress, Name, SerialNumber};
use crate::package::{Digest, Update, UpdateFile, UpdateTarget};
use crate::rule::RuleVersions;
use crate::settings::DeviceUpdateConfiguration;
use crate::test_device::TestIdentifier;
use crate::topology::Pool;
use crate::version::FirmwareVersion;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A build that old firmware must take before its target (PROTOCOL.md 5, row D11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteppingStone {
    /// The device type it is for.
    pub device_type: Name,
    /// The brand it is for; any when not given.
    pub brand: Option<Name>,
    /// The model it is for; any when not given.
    pub model: Option<Name>,
    /// Installed versions below this one need the stone.
    pub below: FirmwareVersion,
    /// The interim build; not below `below`, so that a phone that took it goes on.
    pub via: FirmwareVersion,
}

impl SteppingStone {
    /// The stone of the original for Communicator Phone Edition.
    pub fn of_the_original() -> Self {
        Self {
            device_type: Name::parse("UCPhone").expect("a constant that is a name"),
            brand: None,
            model: None,
            below: FirmwareVersion::new(1, 0, 522, 98),
            via: FirmwareVersion::new(1, 0, 522, 103),
        }
    }

    /// Whether a device of this key with `installed` must take the stone on its way to `target`.
    pub fn stands_between(&self, key: &DeviceKey, installed: FirmwareVersion, target: FirmwareVersion) -> bool {
        self.device_type == key.device_type
            && self.brand.as_ref().is_none_or(|brand| *brand == key.brand)
            && self.model.as_ref().is_none_or(|model| *model == key.model)
            && installed < self.below
            && target > self.via
    }
}

/// A state of the Central Management store. Two stores, or one before and after it was put back from a backup, may reach
/// the same generation; they do not reach the same chain of admin events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMark {
    /// Counts the changes.
    pub generation: i64,
    /// The number of the newest admin event; 0 when there is none.
    pub last_event: i64,
    /// Its hash.
    pub last_event_hash: Digest,
}

impl StoreMark {
    /// That of a store in which nothing has happened.
    pub const NOTHING: Self = Self { generation: 0, last_event: 0, last_event_hash: Digest::new([0; 32]) };
}

/// What a [`RuleSet`] is made of, as loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetParts {
    /// The state of the Central Management store that the snapshot is as of.
    pub mark: StoreMark,
    /// The pool that the snapshot is for.
    pub pool: Pool,
    /// The pool's rules.
    pub rules: Vec<(DeviceKey, RuleVersions)>,
    /// All updates stored for the pool, approved or not.
    pub updates: Vec<Update>,
    /// All stepping stones.
    pub stepping_stones: Vec<SteppingStone>,
    /// Test devices of the global scope and of the pool's site.
    pub test_devices: Vec<TestIdentifier>,
    /// The configuration in force: the site's if it has one, else the global one.
    pub configuration: DeviceUpdateConfiguration,
    /// Accounts of phones outside: name in lower case, argon2 hash in PHC form.
    pub accounts: Vec<(String, String)>,
}

/// The files that a node holds and may therefore offer (PROTOCOL.md 5, `not_ready`), by their bytes: wherever a file of the
/// snapshot stands, it is held when its bytes are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servable(HashSet<Digest>);

impl Servable {
    /// A node that holds these files.
    pub fn new<'a>(files: impl Iterator<Item = &'a UpdateFile>) -> Self {
        files.map(|file| file.digest).collect()
    }

    /// One more file.
    pub fn insert(&mut self, digest: Digest) -> bool {
        self.0.insert(digest)
    }

    /// One file less.
    pub fn remove(&mut self, digest: &Digest) -> bool {
        self.0.remove(digest)
    }

    /// Whether the file is held.
    pub fn holds_file(&self, file: &UpdateFile) -> bool {
        self.0.contains(&file.digest)
    }

    /// Whether all files of the update are held.
    pub fn holds(&self, update: &Update) -> bool {
        update.files().iter().all(|file| self.holds_file(file))
    }
}

impl FromIterator<Digest> for Servable {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        Self(digests.into_iter().collect())
    }
}

type UpdatesByVersion = HashMap<FirmwareVersion, Arc<Update>>;

/// The snapshot.
#[derive(Debug)]
pub struct RuleSet {
    mark: StoreMark,
    pool: Pool,
    rules: HashMap<DeviceKey, RuleVersions>,
    device_updates: HashMap<DeviceKey, UpdatesByVersion>,
    interim_updates: HashMap<UpdateTarget, UpdatesByVersion>,
    files: HashMap<String, Arc<UpdateFile>>,
    stepping_stones: Vec<SteppingStone>,
    test_macs: HashSet<MacAddress>,
    test_serials: HashSet<SerialNumber>,
    configuration: DeviceUpdateConfiguration,
    accounts: HashMap<String, String>,
}

impl RuleSet {
    /// Indexes the parts, if they are sound: no more of anything than [`LIMITS`], and nothing that contradicts itself.
    pub fn new(parts: RuleSetParts) -> Result<Self, AbsurdRuleSet> {
        sound::check(&parts)?;
        let mut set = Self {
            mark: parts.mark,
            pool: parts.pool,
            rules: parts.rules.into_iter().collect(),
            device_updates: HashMap::new(),
            interim_updates: HashMap::new(),
            files: HashMap::new(),
            stepping_stones: parts.stepping_stones,
            test_macs: HashSet::new(),
            test_serials: HashSet::new(),
            configuration: parts.configuration,
            accounts: parts.accounts.into_iter().collect(),
        };
        set.stepping_stones.sort_by_key(|stone| stone.via);
        for identifier in parts.test_devices {
            match identifier {
                TestIdentifier::MacAddress(mac) => set.test_macs.insert(mac),
                TestIdentifier::SerialNumber(serial) => set.test_serials.insert(serial),
            };
        }
        for update in parts.updates {
            let files = update.files().iter();
            set.files.extend(files.map(|file| (file.path.folded(), Arc::new(file.clone()))));
            let of_target = match update.target() {
                UpdateTarget::Device(key) => set.device_updates.entry(key.clone()).or_default(),
                interim @ UpdateTarget::Interim { .. } => set.interim_updates.entry(interim.clone()).or_default(),
            };
            of_target.insert(update.version(), Arc::new(update));
        }
        Ok(set)
    }

    /// What [`RuleSet::new`] makes an equal one from, each list in an order of its own: equal sets have equal parts.
    pub fn parts(&self) -> RuleSetParts {
        let mut rules: Vec<_> = self.rules.iter().map(|(key, versions)| (key.clone(), *versions)).collect();
        rules.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut updates: Vec<Update> = self.updates().map(|update| Update::clone(update)).collect();
        updates.sort_by(|one, other| (one.target(), one.version()).cmp(&(other.target(), other.version())));
        let macs = self.test_macs.iter().cloned().map(TestIdentifier::MacAddress);
        let serials = self.test_serials.iter().cloned().map(TestIdentifier::SerialNumber);
        let mut test_devices: Vec<TestIdentifier> = macs.chain(serials).collect();
        test_devices.sort_by_key(|device| (device.type_name(), device.value().to_owned()));
        let mut accounts: Vec<_> = self.accounts.iter().map(|(name, hash)| (name.clone(), hash.clone())).collect();
        accounts.sort();
        RuleSetParts {
            mark: self.mark,
            pool: self.pool.clone(),
            rules,
            updates,
            stepping_stones: self.stepping_stones.clone(),
            test_devices,
            configuration: self.configuration.clone(),
            accounts,
        }
    }

    /// The generation that the snapshot is as of.
    pub fn generation(&self) -> i64 {
        self.mark.generation
    }

    /// The state of the store that the snapshot is as of.
    pub fn mark(&self) -> StoreMark {
        self.mark
    }

    /// The pool that the snapshot is for.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The versions of the rule with this key.
    pub fn rule(&self, key: &DeviceKey) -> Option<RuleVersions> {
        self.rules.get(key).copied()
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = (&DeviceKey, RuleVersions)> {
        self.rules.iter().map(|(key, versions)| (key, *versions))
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The stored update of this target and version.
    pub fn update(&self, target: &UpdateTarget, version: FirmwareVersion) -> Option<&Arc<Update>> {
        match target {
            UpdateTarget::Device(key) => self.device_update(key, version),
            interim @ UpdateTarget::Interim { .. } => self.interim_updates.get(interim)?.get(&version),
        }
    }

    /// The stored update of this version for the devices of a key.
    pub fn device_update(&self, key: &DeviceKey, version: FirmwareVersion) -> Option<&Arc<Update>> {
        self.device_updates.get(key)?.get(&version)
    }

    /// The stored file at this path below the update folder, without regard to case.
    pub fn file(&self, path: &str) -> Option<&Arc<UpdateFile>> {
        self.files.get(&path.to_ascii_lowercase())
    }

    /// All stored updates.
    pub fn updates(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.device_updates.values().chain(self.interim_updates.values()).flat_map(HashMap::values)
    }

    /// All stored files.
    pub fn files(&self) -> impl Iterator<Item = &Arc<UpdateFile>> {
        self.files.values()
    }

    /// All stepping stones, those with the lowest build first.
    pub fn stepping_stones(&self) -> &[SteppingStone] {
        &self.stepping_stones
    }

    /// The first stone that the device must take on its way to `target`: the one with the lowest build.
    pub fn stepping_stone(
        &self,
        key: &DeviceKey,
        installed: FirmwareVersion,
        target: FirmwareVersion,
    ) -> Option<&SteppingStone> {
        self.stepping_stones.iter().find(|stone| stone.stands_between(key, installed, target))
    }

    /// Whether a device is listed, by its MAC address or by its serial number (D16: either is enough, ours).
    pub fn is_test_device(&self, mac: Option<&MacAddress>, serial: Option<&SerialNumber>) -> bool {
        mac.is_some_and(|mac| self.test_macs.contains(mac))
            || serial.is_some_and(|serial| self.test_serials.contains(serial))
    }

    /// The MAC addresses and the serial numbers of all test devices.
    pub fn test_devices(&self) -> (&HashSet<MacAddress>, &HashSet<SerialNumber>) {
        (&self.test_macs, &self.test_serials)
    }

    /// The configuration in force for the pool.
    pub fn configuration(&self) -> &DeviceUpdateConfiguration {
        &self.configuration
    }

    /// The argon2 hash (PHC form) of the account's password; names compare without regard to case.
    pub fn account(&self, name: &str) -> Option<&str> {
        self.accounts.get(&name.to_lowercase()).map(String::as_str)
    }
}
