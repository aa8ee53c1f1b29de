//! The configuration file of a node (TOML, `deploy/config.toml`). Every setting has a default but the few that only the
//! administrator knows; [`check`] says what is
//! wrong with a file. Nothing here is read again while the node runs.

pub mod check;
mod drop_folder;
mod limits;

pub use drop_folder::DropFolderSection;
pub use limits::{
    AccessLogSettings, AccountSettings, AuditSettings, CaptureSettings, ConnectionSettings, DownloadSettings,
    PackageSettings, ReplicaSettings,
};

use crate::tls::CertificateNames;
use anyhow::Context as _;
use check::Report;
use ipnet::IpNet;
use schema::topology::{NodeName, Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use sync::blobs::{Blobs, BucketProblem, BucketSettings, StoreAddress};

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
    /// This node's own copies of update files.
    #[serde(default)]
    pub replica: ReplicaSettings,
    /// Where it listens.
    #[serde(default)]
    pub listeners: ListenerSettings,
    /// Certificates.
    #[serde(default)]
    pub tls: TlsSettings,
    /// What a connection may do.
    #[serde(default)]
    pub connections: ConnectionSettings,
    /// What downloads may cost.
    #[serde(default)]
    pub downloads: DownloadSettings,
    /// Packages.
    #[serde(default)]
    pub packages: PackageSettings,
    /// The drop folder.
    #[serde(default)]
    pub drop_folder: DropFolderSection,
    /// Accounts of phones outside.
    #[serde(default)]
    pub accounts: AccountSettings,
    /// The request audit log.
    #[serde(default)]
    pub audit: AuditSettings,
    /// The access log.
    #[serde(default)]
    pub access_log: AccessLogSettings,
    /// How phones speak.
    #[serde(default)]
    pub phones: PhoneSettings,
    /// The node's own log.
    #[serde(default)]
    pub log: LogSettings,
    /// What Prometheus scrapes.
    #[serde(default)]
    pub metrics: MetricsSettings,
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
    /// Bytes that imports and audit lines leave free, there and (imports) in the store.
    pub reserve_bytes: u64,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self { name: host_name(), data_folder: PathBuf::from("/var/lib/ucupdates"), reserve_bytes: 32 << 20 }
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
    1500
}

fn default_query_timeout_ms() -> u64 {
    2000
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

/// The shared file store: a folder, or a bucket by its URL.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// The folder, local or a mounted share.
    pub folder: Option<PathBuf>,
    /// Instead of the folder: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, or `file:///folder`.
    pub url: Option<String>,
    /// The bucket's server; that of the provider when not given.
    pub endpoint: Option<String>,
    /// The region, of S3.
    pub region: Option<String>,
    /// A file of credentials; those of the environment when not given.
    pub credentials_file: Option<PathBuf>,
    /// PEM file of the authority that signed the certificate of the bucket's server.
    pub ca_file: Option<PathBuf>,
    /// Whether the bucket's server may be spoken to without TLS.
    pub allow_http: bool,
}

impl StoreSettings {
    /// Where the store is; the error says what is wrong with `url`, or that there is neither.
    pub fn address(&self) -> Result<StoreAddress, String> {
        match (&self.folder, &self.url) {
            (Some(folder), _) => Ok(StoreAddress::Folder(folder.clone())),
            (None, Some(url)) => StoreAddress::parse(url),
            (None, None) => Err("neither folder nor url is given".to_owned()),
        }
    }

    /// The folder, if the store is one.
    pub fn local_folder(&self) -> Option<PathBuf> {
        self.address().ok()?.folder().map(Path::to_owned)
    }

    /// The store as `node` uses it. Nothing is looked at yet but the files that are named here.
    pub fn open(&self, node: &NodeName) -> Result<Blobs, BucketProblem> {
        let address = self.address().map_err(|problem| BucketProblem { setting: "url", problem })?;
        let settings = BucketSettings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            credentials_file: self.credentials_file.clone(),
            ca_file: self.ca_file.clone(),
            allow_http: self.allow_http,
        };
        Blobs::open(&address, &settings, node)
    }
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

/// `/metrics` on the management listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// A file whose first line is the bearer token that a scrape must bring; without one nobody is asked.
    pub token_file: Option<PathBuf>,
}

impl MetricsSettings {
    /// The token, read from its file.
    pub fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the token of [metrics] token_file from {}", path.display()))?;
        let token = text.lines().next().unwrap_or_default().trim();
        anyhow::ensure!(!token.is_empty(), "[metrics] token_file: the first line of {} is empty", path.display());
        Ok(Some(token.to_owned()))
    }
}

impl Config {
    /// Reads and checks the file; what it names is looked at when it is used.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let (config, problems) = check::read(&text_of(path)?);
        let report = Report { file: path.display().to_string(), problems };
        config.ok_or_else(|| report.into_error())
    }

    /// The names of the certificates that are made for the pool.
    pub fn certificate_names(&self) -> CertificateNames {
        let Self { pool, tls, .. } = self;
        let (domains, names) = (tls.domains.iter().map(String::as_str), tls.names.iter().map(String::as_str));
        CertificateNames::of_pool(&pool.fqdn, domains, names)
    }

    /// Reads and checks the text of a configuration file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (config, problems) = check::read(text);
        config.ok_or_else(|| Report { file: "configuration".to_owned(), problems }.into_error())
    }
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!(
            "reading the configuration {} (--config FILE names another; deploy/config.toml shows every setting)",
            path.display()
        )
    })
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
mod tests;
