//! `ucupdates test-device`: new, list, set, remove (rows C13 to C16, T01 to T08).

use crate::api::types::devices::{TestDeviceBody, TestDeviceChange};
use crate::cli::output::{Console, Outcome, Wrap, count, printable, table};
use crate::cli::{DryRun, usage_error};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;

/// What to do with test devices.
#[derive(Debug, Subcommand)]
pub enum TestDeviceCommand {
    /// Declare a test device: it gets pending versions
    #[command(after_help = "\
Examples:
  ucupdates test-device new 'site:Redmond/Lab 3' --mac 00-21-63-0F-20-7B
  ucupdates test-device new --parent global --name desk --serial C185H001209

Replaces New-CsTestDevice.")]
    New {
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        identifier: IdentifierArgs,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// List test devices
    #[command(after_help = "\
Examples:
  ucupdates test-device list
  ucupdates test-device list site:Redmond
  ucupdates test-device list 'global/lab*'

Replaces Get-CsTestDevice.")]
    List {
        /// A scope (global, site:NAME) or an identity; * and ? are wildcards
        identity: Option<String>,
    },
    /// Change what a test device is recognised by
    #[command(after_help = "\
Example:
  ucupdates test-device set global/desk --serial C185H001210

Replaces Set-CsTestDevice.")]
    Set {
        /// global/NAME or site:SITE/NAME
        identity: String,
        #[command(flatten)]
        identifier: IdentifierArgs,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove a test device, or all of a scope
    #[command(after_help = "\
Examples:
  ucupdates test-device remove global/desk
  ucupdates test-device remove site:Redmond --dry-run

Replaces Remove-CsTestDevice.")]
    Remove {
        /// An identity (global/NAME, site:SITE/NAME), or a scope: then every test device of it
        identity: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// Where a new test device is listed, and its name.
#[derive(Debug, Default, Args)]
pub struct IdentityArgs {
    /// global/NAME or site:SITE/NAME
    #[arg(required_unless_present_all = ["parent", "name"], conflicts_with_all = ["parent", "name"])]
    pub identity: Option<String>,
    /// The scope, instead of an identity: global or site:SITE
    #[arg(long, value_name = "SCOPE", requires = "name")]
    pub parent: Option<String>,
    /// The name in that scope
    #[arg(long, requires = "parent")]
    pub name: Option<String>,
}

impl IdentityArgs {
    fn text(self) -> String {
        let both = self.parent.zip(self.name).map(|(parent, name)| format!("{parent}/{name}"));
        self.identity.or(both).unwrap_or_default()
    }
}

/// What a test device is recognised by.
#[derive(Debug, Default, Args)]
pub struct IdentifierArgs {
    /// A MAC address: six or more pairs, joined by nothing, - or :
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["serial", "identifier_type", "identifier"])]
    pub mac: Option<String>,
    /// A serial number
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["identifier_type", "identifier"])]
    pub serial: Option<String>,
    /// The type of --identifier
    #[arg(long, value_enum, ignore_case = true)]
    pub identifier_type: Option<IdentifierType>,
    /// The address or number
    #[arg(long)]
    pub identifier: Option<String>,
}

/// The two types of identifiers (row T03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IdentifierType {
    /// A MAC address.
    #[value(name = "MACAddress")]
    MacAddress,
    /// A serial number.
    #[value(name = "SerialNumber")]
    SerialNumber,
}

impl IdentifierType {
    fn text(self) -> String {
        match self {
            Self::MacAddress => "MACAddress".to_owned(),
            Self::SerialNumber => "SerialNumber".to_owned(),
        }
    }
}

impl IdentifierArgs {
    /// Type and identifier, each none when it was not given.
    fn parts(self) -> (Option<String>, Option<String>) {
        match (self.mac, self.serial) {
            (Some(mac), _) => (Some(IdentifierType::MacAddress.text()), Some(mac)),
            (None, Some(serial)) => (Some(IdentifierType::SerialNumber.text()), Some(serial)),
            (None, None) => (self.identifier_type.map(IdentifierType::text), self.identifier),
        }
    }
}

impl TestDeviceCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::New { identity, identifier, dry_run } => {
                let (Some(identifier_type), Some(identifier)) = identifier.parts() else {
                    return Err(usage_error("a test device is recognised by --mac or by --serial: give one of them"));
                };
                let device = TestDeviceBody { identity: identity.text(), identifier_type, identifier };
                let device: TestDeviceBody =
                    console.client()?.send(Method::POST, "/test-devices", &dry_run, &device).await?;
                console.show(&device, |device, _| dry_run.told(&format!("new test device: {}", line(device))))?;
            }
            Self::List { identity } => {
                let query: Vec<_> = identity.iter().map(|identity| ("identity", identity)).collect();
                let devices: Vec<TestDeviceBody> = console.client()?.get("/test-devices", &query).await?;
                console.show(&devices, |devices, width| list(devices, identity.is_some(), width))?;
            }
            Self::Set { identity, identifier, dry_run } => {
                let (identifier_type, identifier) = identifier.parts();
                if identifier_type.is_none() && identifier.is_none() {
                    return Err(usage_error("nothing to set: give --mac, --serial or --identifier"));
                }
                let change = TestDeviceChange { identity, identifier_type, identifier };
                let device: TestDeviceBody =
                    console.client()?.send(Method::PATCH, "/test-devices", &dry_run, &change).await?;
                console.show(&device, |device, _| dry_run.told(&format!("test device is now: {}", line(device))))?;
            }
            Self::Remove { identity, dry_run } => {
                let query = dry_run.with("identity", &identity);
                let removed: Vec<TestDeviceBody> = console.client()?.delete("/test-devices", &query).await?;
                console.show(&removed, |removed, _| gone(removed, dry_run))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(devices: &[TestDeviceBody], filtered: bool, width: Option<u16>) -> String {
    if devices.is_empty() {
        let none = "no test devices yet: declare one with `ucupdates test-device new global/NAME --mac ADDRESS`";
        return if filtered { "no test device matches" } else { none }.to_owned();
    }
    let row = |device: &TestDeviceBody| {
        vec![device.identity.clone(), device.identifier_type.clone(), device.identifier.clone()]
    };
    let columns = [("IDENTITY", Wrap::Words), ("IDENTIFIER TYPE", Wrap::Never), ("IDENTIFIER", Wrap::Never)];
    table(&columns, devices.iter().map(row), width)
}

fn line(device: &TestDeviceBody) -> String {
    printable(&format!("{}, {} {}", device.identity, device.identifier_type, device.identifier))
}

fn gone(removed: &[TestDeviceBody], dry_run: DryRun) -> String {
    let done = if dry_run.dry_run { "would be removed" } else { "removed" };
    let mut lines: Vec<String> = removed.iter().map(|device| format!("{done}: {}", line(device))).collect();
    lines.push(format!("{} {done}", count(removed.len(), "test device", "test devices")));
    dry_run.told(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> [TestDeviceBody; 2] {
        [("global/desk", "SerialNumber", "C185H001209"), ("site:Redmond/Lab 3", "MACAddress", "0021630F207B")].map(
            |(identity, identifier_type, identifier)| TestDeviceBody {
                identity: identity.into(),
                identifier_type: identifier_type.into(),
                identifier: identifier.into(),
            },
        )
    }

    #[test]
    fn test_devices_are_a_table() {
        insta::assert_snapshot!(list(&devices(), false, None), @r"
        IDENTITY            IDENTIFIER TYPE  IDENTIFIER
        global/desk         SerialNumber     C185H001209
        site:Redmond/Lab 3  MACAddress       0021630F207B
        ");
        insta::assert_snapshot!(list(&[], false, None), @"no test devices yet: declare one with `ucupdates test-device new global/NAME --mac ADDRESS`");
        insta::assert_snapshot!(list(&[], true, None), @"no test device matches");
        insta::assert_snapshot!(gone(&devices(), DryRun::default()), @r"
        removed: global/desk, SerialNumber C185H001209
        removed: site:Redmond/Lab 3, MACAddress 0021630F207B
        2 test devices removed
        ");
    }

    #[test]
    fn an_identifier_is_given_as_mac_or_serial_or_by_type() {
        let some = |text: &str| Some(text.to_owned());
        let mac = IdentifierArgs { mac: some("1"), ..IdentifierArgs::default() };
        assert_eq!(mac.parts(), (some("MACAddress"), some("1")));
        let serial = IdentifierArgs { serial: some("2"), ..IdentifierArgs::default() };
        assert_eq!(serial.parts(), (some("SerialNumber"), some("2")));
        let only = IdentifierArgs { identifier: some("3"), ..IdentifierArgs::default() };
        assert_eq!(only.parts(), (None, some("3")));
    }

    #[test]
    fn scope_and_name_are_an_identity() {
        let parts = IdentityArgs { parent: Some("site:A".into()), name: Some("b".into()), identity: None };
        assert_eq!(parts.text(), "site:A/b");
    }
}
