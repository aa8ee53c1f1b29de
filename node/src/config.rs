//! The configuration file of a node (TOML, `deploy/config.toml`). Every setting has a default but the few that only the
//! administrator knows; an unknown one is an error that names its line. Nothing here is read again while the node runs.

mod limits;

pub use limits::{AccountSettings, CaptureSettings, ConnectionSettings, PackageSettings};

use anyhow::Context as _;
use ipnet::IpNet;
use schema::store::check_url;
use schema::topology::{NodeName, Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this node is.
    #[serde(default)]
    pub node: NodeSettings,
    /// The pool that it belongs to.
    pub pool: PoolSettings,
    /// The Central Management store.
    pub database: DatabaseSection,
    /// The shared file store.
    pub store: StoreSettings,
    /// Where it listens.
    #[serde(default)]
    pub listeners: ListenerSettings,
    /// Certificates.
    #[serde(default)]
    pub tls: TlsSettings,
    /// What a connection may do.
    #[serde(default)]
    pub connections: ConnectionSettings,
    /// Packages.
    #[serde(default)]
    pub packages: PackageSettings,
    /// Accounts of phones outside.
    #[serde(default)]
    pub accounts: AccountSettings,
    /// How phones speak.
    #[serde(default)]
    pub phones: PhoneSettings,
    /// The node's own log.
    #[serde(default)]
    pub log: LogSettings,
}

/// Who this node is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Unique in the pool; stands in the names of audit files.
    #[serde(deserialize_with = "parsed")]
    pub name: NodeName,
    /// Everything that the node keeps for itself.
    pub data_folder: PathBuf,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self { name: host_name(), data_folder: PathBuf::from("/var/lib/ucupdates") }
    }
}

fn host_name() -> NodeName {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.and_then(|name| NodeName::parse(&name).ok());
    name.unwrap_or_else(|| NodeName::parse("node").expect("a constant that is a node name"))
}

/// The pool that this node belongs to. It is registered when the node first starts; later changes of its addresses are
/// made with `ucupdates pool set`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// The pool's FQDN.
    #[serde(deserialize_with = "parsed")]
    pub fqdn: PoolFqdn,
    /// The site that it stands in.
    #[serde(default = "default_site", deserialize_with = "parsed")]
    pub site: SiteName,
    /// Its folder in the store.
    #[serde(default = "default_service_id", deserialize_with = "parsed")]
    pub service_id: ServiceId,
    /// Where phones inside ask.
    #[serde(default, deserialize_with = "parsed_option")]
    pub internal_update_url: Option<PublicUrl>,
    /// Where phones outside ask.
    #[serde(default, deserialize_with = "parsed_option")]
    pub external_update_url: Option<PublicUrl>,
    /// Where phones inside fetch files.
    #[serde(default, deserialize_with = "parsed_option")]
    pub internal_files_url: Option<PublicUrl>,
    /// Where phones outside fetch files.
    #[serde(default, deserialize_with = "parsed_option")]
    pub external_files_url: Option<PublicUrl>,
}

fn default_site() -> SiteName {
    SiteName::parse("Default").expect("a constant that is a site name")
}

fn default_service_id() -> ServiceId {
    ServiceId::parse("1-WebServices-1").expect("a constant that is a service id")
}

impl PoolSettings {
    /// The pool as it is registered.
    pub fn pool(&self) -> Pool {
        let urls = PoolUrls {
            internal_update: self.internal_update_url.clone(),
            external_update: self.external_update_url.clone(),
            internal_files: self.internal_files_url.clone(),
            external_files: self.external_files_url.clone(),
        };
        Pool { fqdn: self.fqdn.clone(), site: self.site.clone(), service_id: self.service_id.clone(), urls }
    }
}

/// The Central Management store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// libpq's key words (`host=... user=... dbname=...`) or a `postgresql://` URL; no password in it.
    pub url: String,
    /// A file whose first line is the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Connections at most.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// A new connection must stand within this time.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// An answer must be there within this time.
    #[serde(default = "default_query_timeout_ms")]
    pub query_timeout_ms: u64,
    /// How often the rules are looked at when no notification came.
    #[serde(default = "default_poll_interval_ms")]
    pub poll_interval_ms: u64,
}

fn default_pool_size() -> usize {
    8
}

fn default_connect_timeout_ms() -> u64 {
    2000
}

fn default_query_timeout_ms() -> u64 {
    2500
}

fn default_poll_interval_ms() -> u64 {
    5000
}

impl DatabaseSection {
    /// The password, read from its file.
    pub fn password(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the database's password from {}", path.display()))?;
        Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
    }

    /// How often the rules are looked at when no notification came.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }
}

/// The shared file store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The folder, local or a mounted share.
    pub folder: PathBuf,
}

/// Where the node listens. An empty list of addresses switches a listener off.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerSettings {
    /// Phones inside, plain.
    pub internal_http: ListenerSection,
    /// Phones inside, TLS.
    pub internal_https: ListenerSection,
    /// Phones outside, TLS, with authentication.
    pub external_https: ListenerSection,
    /// Administrators, TLS.
    pub management_https: ListenerSection,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        let on = |port| ListenerSection {
            addresses: vec![SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0u16; 8], port))],
            proxy_from: Vec::new(),
        };
        Self { internal_http: on(80), internal_https: on(443), external_https: on(4443), management_https: on(9443) }
    }
}

/// One listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerSection {
    /// Addresses with ports, IPv4 and IPv6.
    pub addresses: Vec<SocketAddr>,
    /// Peers that must speak PROXY protocol v2: balancers. Nobody else may use a listener that lists any.
    pub proxy_from: Vec<IpNet>,
}

/// Certificates. Without files, a private authority and certificates are made on first start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// DNS domains that DHCP gives to phones: `ucupdates-r2.<domain>` and `ucupdates.<domain>` go into the certificate.
    pub domains: Vec<String>,
    /// More names and IP addresses for the certificate.
    pub names: Vec<String>,
    /// PEM chain with an ECDSA P-256 key.
    pub ecdsa_certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub ecdsa_key_file: Option<PathBuf>,
    /// PEM chain with an RSA key, for phones that know no ECDSA.
    pub rsa_certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub rsa_key_file: Option<PathBuf>,
}

/// How phones speak.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhoneSettings {
    /// Element names and response layout; the built-in dialect when not given.
    pub dialect_file: Option<PathBuf>,
    /// Keeping requests that could not be read.
    pub capture: CaptureSettings,
}

/// The node's own log, on standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, or directives such as `info,node=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a line of the node's own log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The largest number of anything that a setting may allow.
const MOST: usize = 1_000_000;

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Reads and checks the text of a configuration file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let pairs = [
            ("ecdsa", &self.tls.ecdsa_certificate_file, &self.tls.ecdsa_key_file),
            ("rsa", &self.tls.rsa_certificate_file, &self.tls.rsa_key_file),
        ];
        for (kind, certificate, key) in pairs {
            anyhow::ensure!(
                certificate.is_some() == key.is_some(),
                "[tls] {kind}_certificate_file and {kind}_key_file go together: give both or none"
            );
        }
        let listeners = &self.listeners;
        let phones = [&listeners.internal_http, &listeners.internal_https, &listeners.external_https];
        anyhow::ensure!(
            phones.iter().any(|listener| !listener.addresses.is_empty()),
            "[listeners] every phone listener is switched off: give at least one of internal_http, internal_https and external_https an address"
        );
        anyhow::ensure!(self.database.pool_size >= 2, "[database] pool_size must be at least 2");
        anyhow::ensure!(self.database.poll_interval_ms >= 100, "[database] poll_interval_ms must be at least 100");
        check_url(&self.database.url).context("[database] give the password as password_file")?;
        let (connections, accounts) = (&self.connections, &self.accounts);
        let counts = [
            ("[connections] most", connections.most),
            ("[accounts] most_hashes", accounts.most_hashes),
            ("[accounts] most_waiting", accounts.most_waiting),
        ];
        for (name, value) in counts {
            anyhow::ensure!((1..=MOST).contains(&value), "{name} must be 1 to {MOST}");
        }
        Ok(())
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = schema::ParseError>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = schema::ParseError>,
{
    parsed(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str =
        "[pool]\nfqdn = 'pool01.contoso.com'\n[database]\nurl = 'host=db'\n[store]\nfolder = '/srv'\n";

    #[test]
    fn the_annotated_configuration_is_valid_and_shows_the_defaults() {
        let annotated = Config::parse(include_str!("../../deploy/config.toml")).unwrap();
        let smallest = Config::parse(SMALLEST).unwrap();
        let shown = |config: &Config| {
            let Config { listeners, tls, connections, packages, accounts, phones, log, .. } = config;
            format!("{listeners:#?}{tls:#?}{connections:#?}{packages:#?}{accounts:#?}{phones:#?}{log:#?}")
        };
        assert_eq!(shown(&annotated), shown(&smallest));
    }

    /// What serde would take in a section; the empty path is the whole file.
    fn known_settings(section: &str) -> Vec<String> {
        let mut config: toml::Table = SMALLEST.parse().unwrap();
        let names = section.split('.').filter(|name| !name.is_empty());
        let table = names.fold(&mut config, |table, name| {
            let inner = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            inner.as_table_mut().unwrap()
        });
        table.insert("nonsense".to_owned(), toml::Value::Boolean(true));
        let error = format!("{:#}", Config::parse(&config.to_string()).unwrap_err());
        let (_, expected) = error.split_once("unknown field `nonsense`, expected ").expect(&error);
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The settings of each section of a file, those in comments (`# name = ...`) too; a section is one of the section
    /// above it.
    fn shown_settings(text: &str) -> std::collections::BTreeSet<(String, String)> {
        let mut section = String::new();
        let mut shown = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                header.clone_into(&mut section);
                let mut above = String::new();
                for name in header.split('.') {
                    shown.insert((above.clone(), name.to_owned()));
                    above = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
                }
            } else if let Some((name, _)) = line.strip_prefix("# ").unwrap_or(line).split_once(" =") {
                shown.insert((section.clone(), name.to_owned()));
            }
        }
        shown
    }

    #[test]
    fn every_setting_stands_in_the_annotated_configuration() {
        let shown = shown_settings(include_str!("../../deploy/config.toml"));
        let sections = [
            "",
            "node",
            "pool",
            "database",
            "store",
            "listeners",
            "listeners.internal_http",
            "listeners.internal_https",
            "listeners.external_https",
            "listeners.management_https",
            "tls",
            "connections",
            "packages",
            "accounts",
            "phones",
            "phones.capture",
            "log",
        ];
        for section in sections {
            let known = known_settings(section);
            assert!(!known.is_empty(), "[{section}]");
            for name in known {
                assert!(shown.contains(&(section.to_owned(), name.clone())), "{name} of [{section}] is missing");
            }
        }
        // A section that is added needs a line above.
        let folders = shown.iter().filter(|(section, name)| {
            let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            shown.iter().any(|(section, _)| *section == path) && !sections.contains(&path.as_str())
        });
        assert_eq!(folders.count(), 0);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let listener = format!("{SMALLEST}[listeners.internal_http]\naddresses = ['80']");
        let cases = [
            (SMALLEST.replace("fqdn", "fqnd"), "line 2, column 1"),
            (SMALLEST.replace("fqdn", "fqnd"), "unknown field `fqnd`, expected one of `fqdn`, `site`"),
            (SMALLEST.replace("pool01.contoso.com", "pool 1"), "a host name such as pool01.contoso.com"),
            (SMALLEST.replace("host=db", "host=db password=x"), "url holds a password"),
            (SMALLEST.replace("host=db", "postgresql://u:secret@h/d"), "url holds a password"),
            (SMALLEST.replace("url = 'host=db'", ""), "missing field `url`"),
            (format!("{SMALLEST}[connections]\nmost = 0"), "[connections] most must be 1 to 1000000"),
            (format!("{SMALLEST}[tls]\nrsa_key_file = 'x'"), "go together: give both or none"),
            (listener, "invalid socket address"),
        ];
        for (text, expected) in cases {
            let error = format!("{:#}", Config::parse(&text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
