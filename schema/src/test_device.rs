//! Test devices (rows T01 to T11) and the scopes that they and the configuration live in.

use crate::ParseError;
use crate::device::{MacAddress, SerialNumber, text_type};
use crate::topology::SiteName;
use std::fmt;
use std::str::FromStr;

/// `global`, or `site:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// The pools of one site.
    Site(SiteName),
}

impl Scope {
    /// Reads `global` or `site:<name>`, without regard to case.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.eq_ignore_ascii_case("global") {
            return Ok(Self::Global);
        }
        match text.split_once(':') {
            Some((kind, name)) if kind.eq_ignore_ascii_case("site") => Ok(Self::Site(SiteName::parse(name)?)),
            _ => Err(ParseError::new("scope", text, "global, or site:<name>")),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Site(name) => write!(f, "site:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The name of a test device, unique in its scope without regard to case.
#[derive(Debug, Clone)]
pub struct TestDeviceName(String);

impl TestDeviceName {
    /// Reads 1 to 64 characters without `/`, control characters, or white space at an end.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let fits = (1..=64).contains(&text.chars().count()) && text.trim() == text;
        if !fits || text.chars().any(|c| c.is_control() || c == '/') {
            let expected = "1 to 64 characters without '/' or control characters";
            return Err(ParseError::new("test device name", text, expected));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for TestDeviceName {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl Eq for TestDeviceName {}

text_type!(TestDeviceName);

/// `global/<Name>` or `site:<Site>/<Name>` (row T01).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestDeviceIdentity {
    /// Where the device is listed.
    pub scope: Scope,
    /// Its name there.
    pub name: TestDeviceName,
}

impl TestDeviceIdentity {
    /// Reads a scope and a name with `/` between them.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("test device", text, "global/<name>, or site:<site>/<name>");
        let (scope, name) = text.split_once('/').ok_or_else(error)?;
        Ok(Self { scope: Scope::parse(scope)?, name: TestDeviceName::parse(name)? })
    }
}

impl fmt::Display for TestDeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}

impl FromStr for TestDeviceIdentity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// What a test device is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TestIdentifier {
    /// `MACAddress`
    MacAddress(MacAddress),
    /// `SerialNumber`
    SerialNumber(SerialNumber),
}

impl TestIdentifier {
    /// Reads an identifier of the type `MACAddress` or `SerialNumber` (row T03), without regard to the type's case.
    pub fn parse(identifier_type: &str, identifier: &str) -> Result<Self, ParseError> {
        if identifier_type.eq_ignore_ascii_case("MACAddress") {
            Ok(Self::MacAddress(MacAddress::parse(identifier)?))
        } else if identifier_type.eq_ignore_ascii_case("SerialNumber") {
            Ok(Self::SerialNumber(SerialNumber::parse(identifier)?))
        } else {
            Err(ParseError::new("identifier type", identifier_type, "MACAddress or SerialNumber"))
        }
    }

    /// `MACAddress` or `SerialNumber`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::MacAddress(_) => "MACAddress",
            Self::SerialNumber(_) => "SerialNumber",
        }
    }

    /// The address or number, normalised.
    pub fn value(&self) -> &str {
        match self {
            Self::MacAddress(mac) => mac.as_str(),
            Self::SerialNumber(serial) => serial.as_str(),
        }
    }
}

/// A test device: it gets pending versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestDevice {
    /// Where it is listed, and its name there.
    pub identity: TestDeviceIdentity,
    /// What it is recognised by.
    pub identifier: TestIdentifier,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_scope_and_name() {
        let identity = TestDeviceIdentity::parse("site:Redmond/Lab 3").unwrap();
        assert_eq!(identity.to_string(), "site:Redmond/Lab 3");
        assert_eq!(TestDeviceIdentity::parse("SITE:redmond/lab 3").unwrap(), identity);
        assert_eq!(TestDeviceIdentity::parse("Global/x").unwrap().scope, Scope::Global);
        for text in ["", "global", "global/", "site:/x", "pool:a/x", "global/a/b", "x"] {
            assert!(TestDeviceIdentity::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn identifiers_are_of_two_types() {
        let mac = TestIdentifier::parse("macaddress", "01-02-03-04-05-06").unwrap();
        assert_eq!((mac.type_name(), mac.value()), ("MACAddress", "010203040506"));
        assert!(TestIdentifier::parse("SerialNumber", "AB37_679e").is_ok());
        assert!(TestIdentifier::parse("MACAddress", "01-02-03-04-05").is_err());
        assert!(TestIdentifier::parse("IPAddress", "1.2.3.4").is_err());
    }
}
