//! Bodies about single phones: test devices, stepping stones, accounts, explanations.

use schema::test_device::TestDevice;
use serde::{Deserialize, Serialize};

/// A test device (rows T01 to T05).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestDeviceBody {
    /// `global/<name>` or `site:<site>/<name>`.
    pub identity: String,
    /// `MACAddress` or `SerialNumber`.
    pub identifier_type: String,
    /// The address or number.
    pub identifier: String,
}

impl From<&TestDevice> for TestDeviceBody {
    fn from(device: &TestDevice) -> Self {
        Self {
            identity: device.identity.to_string(),
            identifier_type: device.identifier.type_name().to_owned(),
            identifier: device.identifier.value().to_owned(),
        }
    }
}

/// `PATCH /test-devices`: what is not given stays (row T07).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestDeviceChange {
    /// The device.
    pub identity: String,
    /// `MACAddress` or `SerialNumber`.
    pub identifier_type: Option<String>,
    /// The address or number.
    pub identifier: Option<String>,
}

/// A stepping stone (row D11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteppingStoneBody {
    /// The device type it is for.
    pub device_type: String,
    /// The brand; any when not given.
    pub brand: Option<String>,
    /// The model; any when not given.
    pub model: Option<String>,
    /// Installed versions below this one need the stone.
    pub below: String,
    /// The interim build.
    pub via: String,
}

/// `POST /accounts`: a new account of phones outside, or a new password for one. Passwords only travel in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRequest {
    /// The account's name, as the phone sends it.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// The query of `GET /explain`: a phone, imagined or one that asked before (then MAC or serial alone will do).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainQuery {
    /// The pool asked; this node's own when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Device type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Locale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The module's file name, `CPE.nbt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The installed version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a phone would get, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// A paragraph for people.
    pub text: String,
    /// The reason of each module, from the closed list.
    pub reasons: Vec<String>,
    /// The versions offered.
    pub offered: Vec<String>,
    /// When the phone last asked, if its values were taken from that (RFC 3339, UTC).
    pub last_asked: Option<String>,
}
