//! The JSON document in a snapshot file, field by field, and its way to the domain and back. Every text is parsed by the
//! type that it becomes; what no constructor checks is checked here.

use super::{SnapshotFileError, StoredSnapshot};
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use schema::ParseError;
use schema::device::{DeviceKey, Name};
use schema::package::{Digest, FileRole, StorePath, Update, UpdateFile, UpdateTarget};
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSet, RuleSetParts, SteppingStone, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::test_device::TestIdentifier;
use schema::topology::{Pool, PoolUrls};
use schema::version::FirmwareVersion;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// Bytes of an account's name, and of its password's hash.
const ACCOUNT_LIMIT_BYTES: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    taken_at: Timestamp,
    generation: i64,
    last_event: i64,
    last_event_hash: String,
    pool: PoolContent,
    rules: Vec<RuleContent>,
    updates: Vec<UpdateContent>,
    stepping_stones: Vec<StoneContent>,
    test_devices: Vec<TestDeviceContent>,
    configuration: ConfigurationContent,
    accounts: Vec<AccountContent>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolContent {
    fqdn: String,
    site: String,
    service_id: String,
    internal_update_url: Option<String>,
    external_update_url: Option<String>,
    internal_files_url: Option<String>,
    external_files_url: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyContent {
    device_type: String,
    brand: String,
    model: String,
    revision: String,
    locale: String,
    update_type: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleContent {
    device: KeyContent,
    approved: Option<String>,
    pending: Option<String>,
    restore: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum TargetContent {
    Device(KeyContent),
    Interim { device_type: String, locale: String, update_type: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateContent {
    target: TargetContent,
    version: String,
    files: Vec<FileContent>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContent {
    name: String,
    role: RoleContent,
    sha256: String,
    size_bytes: u64,
    time_stamp: DateTime,
    path: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoleContent {
    Image,
    Signature,
    Other,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoneContent {
    device_type: String,
    brand: Option<String>,
    model: Option<String>,
    below: String,
    via: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestDeviceContent {
    identifier_type: String,
    identifier: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigurationContent {
    log_clean_up_interval_s: u64,
    log_clean_up_time_of_day: Option<Time>,
    log_flush_interval_s: u64,
    max_log_cache_limit_bytes: u32,
    max_log_file_size_bytes: u32,
    valid_log_file_extensions: Vec<String>,
    valid_log_file_types: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountContent {
    name: String,
    password_hash: String,
}

impl From<ParseError> for SnapshotFileError {
    fn from(error: ParseError) -> Self {
        Self::content(error)
    }
}

fn text(value: &impl ToString) -> String {
    value.to_string()
}

fn maybe<T: FromStr<Err = ParseError>>(text: Option<&String>) -> Result<Option<T>, ParseError> {
    text.map(|text| text.parse()).transpose()
}

impl Content {
    pub(super) fn of(taken_at: Timestamp, parts: RuleSetParts) -> Self {
        let RuleSetParts { mark, pool, rules, updates, stepping_stones, test_devices, configuration, accounts } = parts;
        let rule = |(key, versions): &(DeviceKey, RuleVersions)| RuleContent {
            device: KeyContent::of(key),
            approved: versions.approved().as_ref().map(text),
            pending: versions.pending().as_ref().map(text),
            restore: versions.restore().as_ref().map(text),
        };
        let device = |device: &TestIdentifier| TestDeviceContent {
            identifier_type: device.type_name().to_owned(),
            identifier: device.value().to_owned(),
        };
        Self {
            taken_at,
            generation: mark.generation,
            last_event: mark.last_event,
            last_event_hash: text(&mark.last_event_hash),
            pool: PoolContent::of(&pool),
            rules: rules.iter().map(rule).collect(),
            updates: updates.iter().map(UpdateContent::of).collect(),
            stepping_stones: stepping_stones.iter().map(StoneContent::of).collect(),
            test_devices: test_devices.iter().map(device).collect(),
            configuration: ConfigurationContent::of(configuration),
            accounts: accounts
                .into_iter()
                .map(|(name, password_hash)| AccountContent { name, password_hash })
                .collect(),
        }
    }

    pub(super) fn into_snapshot(self) -> Result<StoredSnapshot, SnapshotFileError> {
        let device = |device: &TestDeviceContent| TestIdentifier::parse(&device.identifier_type, &device.identifier);
        let parts = RuleSetParts {
            mark: StoreMark {
                generation: self.generation,
                last_event: self.last_event,
                last_event_hash: self.last_event_hash.parse()?,
            },
            pool: self.pool.parsed()?,
            rules: self.rules.iter().map(RuleContent::parsed).collect::<Result<_, _>>()?,
            updates: self.updates.iter().map(UpdateContent::parsed).collect::<Result<_, _>>()?,
            stepping_stones: self.stepping_stones.iter().map(StoneContent::parsed).collect::<Result<_, _>>()?,
            test_devices: self.test_devices.iter().map(device).collect::<Result<_, _>>()?,
            configuration: self.configuration.checked()?,
            accounts: self.accounts.into_iter().map(AccountContent::checked).collect::<Result<_, _>>()?,
        };
        Ok(StoredSnapshot { taken_at: self.taken_at, rules: RuleSet::new(parts)? })
    }
}

impl PoolContent {
    fn of(pool: &Pool) -> Self {
        let PoolUrls { internal_update, external_update, internal_files, external_files } = &pool.urls;
        Self {
            fqdn: text(&pool.fqdn),
            site: text(&pool.site),
            service_id: text(&pool.service_id),
            internal_update_url: internal_update.as_ref().map(text),
            external_update_url: external_update.as_ref().map(text),
            internal_files_url: internal_files.as_ref().map(text),
            external_files_url: external_files.as_ref().map(text),
        }
    }

    fn parsed(&self) -> Result<Pool, ParseError> {
        Ok(Pool {
            fqdn: self.fqdn.parse()?,
            site: self.site.parse()?,
            service_id: self.service_id.parse()?,
            urls: PoolUrls {
                internal_update: maybe(self.internal_update_url.as_ref())?,
                external_update: maybe(self.external_update_url.as_ref())?,
                internal_files: maybe(self.internal_files_url.as_ref())?,
                external_files: maybe(self.external_files_url.as_ref())?,
            },
        })
    }
}

impl KeyContent {
    fn of(key: &DeviceKey) -> Self {
        Self {
            device_type: text(&key.device_type),
            brand: text(&key.brand),
            model: text(&key.model),
            revision: text(&key.revision),
            locale: text(&key.locale),
            update_type: text(&key.update_type),
        }
    }

    fn parsed(&self) -> Result<DeviceKey, ParseError> {
        Ok(DeviceKey {
            device_type: self.device_type.parse()?,
            brand: self.brand.parse()?,
            model: self.model.parse()?,
            revision: self.revision.parse()?,
            locale: self.locale.parse()?,
            update_type: self.update_type.parse()?,
        })
    }
}

impl RuleContent {
    fn parsed(&self) -> Result<(DeviceKey, RuleVersions), SnapshotFileError> {
        let [approved, pending, restore] =
            [&self.approved, &self.pending, &self.restore].map(|version| maybe(version.as_ref()));
        let versions = RuleVersions::new(approved?, pending?, restore?).map_err(SnapshotFileError::content)?;
        Ok((self.device.parsed()?, versions))
    }
}

impl UpdateContent {
    fn of(update: &Update) -> Self {
        let target = match update.target() {
            UpdateTarget::Device(key) => TargetContent::Device(KeyContent::of(key)),
            UpdateTarget::Interim { device_type, locale, update_type } => TargetContent::Interim {
                device_type: text(device_type),
                locale: text(locale),
                update_type: text(update_type),
            },
        };
        Self { target, version: text(&update.version()), files: update.files().iter().map(FileContent::of).collect() }
    }

    fn parsed(&self) -> Result<Update, SnapshotFileError> {
        let target = match &self.target {
            TargetContent::Device(key) => UpdateTarget::Device(key.parsed()?),
            TargetContent::Interim { device_type, locale, update_type } => UpdateTarget::Interim {
                device_type: device_type.parse()?,
                locale: locale.parse()?,
                update_type: update_type.parse()?,
            },
        };
        let files = self.files.iter().map(FileContent::parsed).collect::<Result<_, _>>()?;
        Update::new(target, self.version.parse()?, files).map_err(SnapshotFileError::content)
    }
}

impl FileContent {
    fn of(file: &UpdateFile) -> Self {
        Self {
            name: text(&file.name),
            role: match file.role {
                FileRole::Image => RoleContent::Image,
                FileRole::Signature => RoleContent::Signature,
                FileRole::Other => RoleContent::Other,
            },
            sha256: text(&file.digest),
            size_bytes: file.size_bytes,
            time_stamp: file.time_stamp,
            path: text(&file.path),
        }
    }

    fn parsed(&self) -> Result<UpdateFile, ParseError> {
        Ok(UpdateFile {
            name: Name::parse(&self.name)?,
            role: match self.role {
                RoleContent::Image => FileRole::Image,
                RoleContent::Signature => FileRole::Signature,
                RoleContent::Other => FileRole::Other,
            },
            digest: Digest::parse(&self.sha256)?,
            size_bytes: self.size_bytes,
            time_stamp: self.time_stamp,
            path: StorePath::parse(&self.path)?,
        })
    }
}

impl StoneContent {
    fn of(stone: &SteppingStone) -> Self {
        Self {
            device_type: text(&stone.device_type),
            brand: stone.brand.as_ref().map(text),
            model: stone.model.as_ref().map(text),
            below: text(&stone.below),
            via: text(&stone.via),
        }
    }

    fn parsed(&self) -> Result<SteppingStone, ParseError> {
        Ok(SteppingStone {
            device_type: self.device_type.parse()?,
            brand: maybe(self.brand.as_ref())?,
            model: maybe(self.model.as_ref())?,
            below: FirmwareVersion::parse(&self.below)?,
            via: FirmwareVersion::parse(&self.via)?,
        })
    }
}

impl ConfigurationContent {
    fn of(configuration: DeviceUpdateConfiguration) -> Self {
        Self {
            log_clean_up_interval_s: configuration.log_clean_up_interval.as_secs(),
            log_clean_up_time_of_day: configuration.log_clean_up_time_of_day,
            log_flush_interval_s: configuration.log_flush_interval.as_secs(),
            max_log_cache_limit_bytes: configuration.max_log_cache_limit_bytes,
            max_log_file_size_bytes: configuration.max_log_file_size_bytes,
            valid_log_file_extensions: configuration.valid_log_file_extensions,
            valid_log_file_types: configuration.valid_log_file_types,
        }
    }

    fn checked(self) -> Result<DeviceUpdateConfiguration, SnapshotFileError> {
        let configuration = DeviceUpdateConfiguration {
            log_clean_up_interval: Duration::from_secs(self.log_clean_up_interval_s),
            log_clean_up_time_of_day: self.log_clean_up_time_of_day,
            log_flush_interval: Duration::from_secs(self.log_flush_interval_s),
            max_log_cache_limit_bytes: self.max_log_cache_limit_bytes,
            max_log_file_size_bytes: self.max_log_file_size_bytes,
            valid_log_file_extensions: self.valid_log_file_extensions,
            valid_log_file_types: self.valid_log_file_types,
        };
        configuration.checked().map_err(SnapshotFileError::content)
    }
}

impl AccountContent {
    /// As the store has it: the name in lower case, the hash in PHC form.
    fn checked(self) -> Result<(String, String), SnapshotFileError> {
        let Self { name, password_hash } = self;
        let short = |text: &str| (1..=ACCOUNT_LIMIT_BYTES).contains(&text.len());
        if !short(&name) || name != name.to_lowercase() || name.chars().any(char::is_control) {
            return Err(SnapshotFileError::content(format!("{name:?} is no account's name")));
        }
        if !short(&password_hash) || !password_hash.starts_with("$argon2") {
            return Err(SnapshotFileError::content(format!("the account {name} has no argon2 hash")));
        }
        Ok((name, password_hash))
    }
}
