//! Bodies about packages: import, its report card, clear-up.

use schema::package::UpdateTarget;
use serde::{Deserialize, Serialize};

/// What an update is for, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetBody {
    /// Whether it is an interim build (a stepping stone), which has no brand, model and revision.
    pub interim: bool,
    /// `UCPhone`, `RoundTable`, ...
    pub device_type: String,
    /// The vendor.
    pub brand: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The hardware revision.
    pub revision: Option<String>,
    /// Windows' three letters.
    pub locale: String,
    /// The stem of the image's file name.
    pub update_type: String,
}

impl From<&UpdateTarget> for TargetBody {
    fn from(target: &UpdateTarget) -> Self {
        match target {
            UpdateTarget::Device(key) => Self {
                interim: false,
                device_type: key.device_type.to_string(),
                brand: Some(key.brand.to_string()),
                model: Some(key.model.to_string()),
                revision: Some(key.revision.to_string()),
                locale: key.locale.to_string(),
                update_type: key.update_type.to_string(),
            },
            UpdateTarget::Interim { device_type, locale, update_type } => Self {
                interim: true,
                device_type: device_type.to_string(),
                brand: None,
                model: None,
                revision: None,
                locale: locale.to_string(),
                update_type: update_type.to_string(),
            },
        }
    }
}

/// The query of `POST /packages`; the body is the package itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportQuery {
    /// The package's file name, for the records.
    pub name: String,
    /// FQDNs of pools, joined by commas; empty or `all` means every pool.
    pub pool: String,
    /// Tell what would happen and change nothing.
    pub dry_run: bool,
}

/// The report card of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportCard {
    /// The package's file name.
    pub name: String,
    /// SHA-256 of the package.
    pub digest: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Whether nothing was changed on purpose.
    pub dry_run: bool,
    /// One for each update and pool.
    pub rows: Vec<ReportRow>,
    /// Files of the package that belong to no update.
    pub ignored: Vec<String>,
}

/// What became of one update in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// The pool's FQDN.
    pub pool: String,
    /// What the update is for.
    pub target: TargetBody,
    /// Its version.
    pub version: String,
    /// What happened.
    pub outcome: ImportOutcomeBody,
    /// Why, in words; empty when there is nothing to add.
    pub detail: String,
}

/// What an import did with one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcomeBody {
    /// A new rule is pending, or a new interim build is stored.
    Created,
    /// The rule's pending version is now this one.
    Replaced,
    /// Everything was as the package says already.
    Unchanged,
    /// Nothing of this update was taken.
    Refused,
}

/// An imported package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageBody {
    /// SHA-256.
    pub digest: String,
    /// The file name it was first imported under.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Who imported it first.
    pub imported_by: String,
    /// When (RFC 3339, UTC).
    pub imported_at: String,
}

/// `POST /files/clear` and `POST /logs/clear`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClearRequest {
    /// The pool's FQDN, or its identity `service:WebServer:<FQDN>`.
    pub pool: String,
    /// Logs only: delete what is older than this many days, 1 to 30.
    pub days_back: Option<u32>,
    /// Tell what would go and delete nothing.
    pub dry_run: bool,
}

/// What a clear-up deleted, or would delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearReport {
    /// Whether nothing was deleted on purpose.
    pub dry_run: bool,
    /// Paths in the pool's folder of the store.
    pub files: Vec<String>,
    /// Their bytes.
    pub size_bytes: u64,
}
