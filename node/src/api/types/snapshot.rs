//! The body of `GET /snapshot`: all that decides what the phones of a pool are told, as of one generation. It is also
//! the file that `ucupdates phone --model` reads. No account and no password is in it.

use super::devices::SteppingStoneBody;
use super::packages::TargetBody;
use super::settings::PoolBody;
use serde::{Deserialize, Serialize};

/// What the phones of a pool are told, as facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotBody {
    /// Counts the changes of the Central Management store.
    pub generation: i64,
    /// The pool, with the addresses that phones are told.
    pub pool: PoolBody,
    /// Its rules.
    pub rules: Vec<RuleVersionsBody>,
    /// All its stored updates, approved or not.
    pub updates: Vec<UpdateBody>,
    /// All stepping stones.
    pub stepping_stones: Vec<SteppingStoneBody>,
    /// The test devices of the global scope and of the pool's site.
    pub test_devices: Vec<TestIdentifierBody>,
}

/// The versions of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleVersionsBody {
    /// `UCPhone`, `RoundTable`, ...
    pub device_type: String,
    /// The vendor.
    pub brand: String,
    /// The model.
    pub model: String,
    /// The hardware revision.
    pub revision: String,
    /// Windows' three letters.
    pub locale: String,
    /// The stem of the image's file name.
    pub update_type: String,
    /// What every phone gets.
    #[serde(default)]
    pub approved_version: Option<String>,
    /// What test devices get first.
    #[serde(default)]
    pub pending_version: Option<String>,
}

/// A stored update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateBody {
    /// What it is for.
    pub target: TargetBody,
    /// Its version.
    pub version: String,
    /// Its files.
    pub files: Vec<UpdateFileBody>,
}

/// A file of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateFileBody {
    /// In the case of the package.
    pub name: String,
    /// What it is for the phone.
    pub role: FileRoleBody,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its path below the update files' folder.
    pub path: String,
}

/// What a file of an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRoleBody {
    /// The software image.
    Image,
    /// The security catalog beside it.
    Signature,
    /// Whatever else the package carries.
    Other,
}

/// What a test device is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestIdentifierBody {
    /// `MACAddress` or `SerialNumber`.
    pub identifier_type: String,
    /// The address or number.
    pub identifier: String,
}
