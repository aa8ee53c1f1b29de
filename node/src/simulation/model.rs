//! The model: what a pool's phones must be told, as facts, made from the body of `GET /snapshot`. Pure. It shares no
//! type and no function with `decide`, so that it cannot share its mistakes.

use crate::api::types::packages::TargetBody;
use crate::api::types::snapshot::{FileRoleBody, RuleVersionsBody, SnapshotBody, UpdateBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schema::ParseError;
use schema::device::MacAddress;
use schema::version::FirmwareVersion;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a pool's phones must be told.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub(super) rules: HashMap<String, Rule>,
    pub(super) stones: Vec<Stone>,
    pub(super) test_macs: HashSet<MacAddress>,
    pub(super) test_serials: HashSet<String>,
    updates: HashMap<(String, FirmwareVersion), Arc<ModelUpdate>>,
    /// Where phones inside ask, if the pool says it.
    pub internal_update_url: Option<String>,
    /// Where phones outside ask, if the pool says it.
    pub external_update_url: Option<String>,
}

/// The versions of a rule, and the names it is for, as written.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) device: [String; 5],
    pub(super) update_type: String,
    pub(super) approved: Option<FirmwareVersion>,
    pub(super) pending: Option<FirmwareVersion>,
}

/// A build that old firmware must take first; brand and model in lower case, none for any.
#[derive(Debug, Clone)]
pub(super) struct Stone {
    pub(super) device_type: String,
    pub(super) brand: Option<String>,
    pub(super) model: Option<String>,
    pub(super) below: FirmwareVersion,
    pub(super) via: FirmwareVersion,
}

/// An update as a phone is told of it, and the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUpdate {
    /// Its version.
    pub version: FirmwareVersion,
    /// The image.
    pub image: ModelFile,
    /// The signature, if it has one.
    pub signature: Option<ModelFile>,
    /// `BaseURL`; empty when the pool has none.
    pub base_url: String,
    /// `ExternalBaseURL`, likewise.
    pub external_base_url: String,
}

/// A file of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// As stored.
    pub name: String,
    /// SHA-256 in lower-case hex.
    pub digest: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A model that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A text is no version, MAC address, ...
    #[error(transparent)]
    Text(#[from] ParseError),
    /// An update has no image.
    #[error("the update {0} has no file whose role is image")]
    NoImage(String),
    /// A test device is known by something else.
    #[error("a test device's identifier type is MACAddress or SerialNumber, not {0:?}")]
    IdentifierType(String),
}

/// Names compare without regard to case: one text for each key.
pub(super) fn fold(parts: &[&str]) -> String {
    parts.join("/").to_ascii_lowercase()
}

impl Model {
    /// Reads the facts.
    pub fn new(body: &SnapshotBody) -> Result<Self, ModelError> {
        let mut model = Self {
            internal_update_url: body.pool.internal_update_url.clone(),
            external_update_url: body.pool.external_update_url.clone(),
            ..Self::default()
        };
        for rule in &body.rules {
            let rule = read_rule(rule)?;
            let [device_type, brand, name, revision, locale] = rule.device.each_ref().map(String::as_str);
            let key = fold(&[device_type, brand, name, revision, locale, &rule.update_type]);
            model.rules.insert(key, rule);
        }
        for stone in &body.stepping_stones {
            let folded = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_lowercase());
            model.stones.push(Stone {
                device_type: stone.device_type.to_ascii_lowercase(),
                brand: folded(&stone.brand),
                model: folded(&stone.model),
                below: FirmwareVersion::parse(&stone.below)?,
                via: FirmwareVersion::parse(&stone.via)?,
            });
        }
        for device in &body.test_devices {
            match device.identifier_type.to_ascii_lowercase().as_str() {
                "macaddress" => model.test_macs.insert(MacAddress::parse(&device.identifier)?),
                "serialnumber" => model.test_serials.insert(device.identifier.to_ascii_lowercase()),
                _ => return Err(ModelError::IdentifierType(device.identifier_type.clone())),
            };
        }
        for update in &body.updates {
            let read = read_update(update, body)?;
            model.updates.insert((target_key(&update.target), read.version), Arc::new(read));
        }
        Ok(model)
    }

    /// The update of this target ([`fold`]ed key, `interim/...` for an interim build) and version.
    pub(super) fn update(&self, target: &str, version: FirmwareVersion) -> Option<&Arc<ModelUpdate>> {
        self.updates.get(&(target.to_owned(), version))
    }

    /// The stored versions of a target.
    pub(super) fn versions(&self, target: &str) -> Vec<FirmwareVersion> {
        let of_target = self.updates.keys().filter(|(key, _)| key == target);
        let mut versions: Vec<FirmwareVersion> = of_target.map(|(_, version)| *version).collect();
        versions.sort();
        versions
    }
}

fn read_rule(rule: &RuleVersionsBody) -> Result<Rule, ModelError> {
    let version = |text: &Option<String>| text.as_deref().map(FirmwareVersion::parse).transpose();
    Ok(Rule {
        device: [&rule.device_type, &rule.brand, &rule.model, &rule.revision, &rule.locale].map(String::clone),
        update_type: rule.update_type.clone(),
        approved: version(&rule.approved_version)?,
        pending: version(&rule.pending_version)?,
    })
}

fn target_key(target: &TargetBody) -> String {
    let TargetBody { interim, device_type, brand, model, revision, locale, update_type } = target;
    if *interim {
        return interim_key(device_type, locale, update_type);
    }
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    fold(&[device_type, &text(brand), &text(model), &text(revision), locale, update_type])
}

/// The key of an interim build.
pub(super) fn interim_key(device_type: &str, locale: &str, update_type: &str) -> String {
    fold(&["interim", device_type, locale, update_type])
}

fn read_update(update: &UpdateBody, body: &SnapshotBody) -> Result<ModelUpdate, ModelError> {
    let of_role = |role| update.files.iter().find(|file| file.role == role);
    let image = of_role(FileRoleBody::Image)
        .ok_or_else(|| ModelError::NoImage(format!("{} {}", target_key(&update.target), update.version)))?;
    let file = |file: &crate::api::types::snapshot::UpdateFileBody| ModelFile {
        name: file.name.clone(),
        digest: file.digest.to_ascii_lowercase(),
        size_bytes: file.size_bytes,
    };
    let folder = image.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let url = |base: &Option<String>| base.as_ref().map_or(String::new(), |base| join(base, folder));
    Ok(ModelUpdate {
        version: FirmwareVersion::parse(&update.version)?,
        image: file(image),
        signature: of_role(FileRoleBody::Signature).map(file),
        base_url: url(&body.pool.internal_files_url),
        external_base_url: url(&body.pool.external_files_url),
    })
}

/// What stands in a URL's path as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A folder's URL and a path below it.
pub(super) fn join(base: &str, path: &str) -> String {
    format!("{base}/{}", utf8_percent_encode(path, ENCODED))
}
