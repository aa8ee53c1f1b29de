//! Standard Edition: one process on one machine, with its own data folder, its own private PostgreSQL, a local file store
//! and a certificate of its own. The same node as everywhere, configured from a few options.

mod profile_file;
mod state;

use crate::app::{self, Addresses, BindError, DataFolder, RunningNode};
use crate::config::{Config, DatabaseSection};
use crate::postgres::PrivatePostgres;
use crate::serve::{self, Hangup};
use crate::{descriptors, telemetry};
use anyhow::Context as _;
use schema::topology::PublicUrl;
use state::State;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sync::clock::SystemClock;

/// Options of `ucupdates standard`.
#[derive(Debug, Clone, clap::Args)]
pub struct StandardArgs {
    /// Folder for everything: database, update files, logs, certificates [default: /var/lib/ucupdates for root, else
    /// ~/.local/share/ucupdates]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Name or IP address by which phones reach this machine; remembered. Without it only programs on this machine can
    /// reach the service
    #[arg(long, value_name = "HOST")]
    pub address: Option<String>,
    /// DNS domain that DHCP gives to phones: `ucupdates-r2.DOMAIN` and `ucupdates.DOMAIN` go into the certificate; may be
    /// repeated; remembered
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub domains: Vec<String>,
    /// Port for phones inside, plain HTTP
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// Port for phones inside, HTTPS
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub https_port: u16,
    /// Port for phones outside, HTTPS, with an account
    #[arg(long, value_name = "PORT", default_value_t = 4443)]
    pub external_port: u16,
    /// Port for administrators, HTTPS
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub management_port: u16,
}

/// Runs Standard Edition until it is told to stop.
pub async fn run(args: StandardArgs) -> anyhow::Result<()> {
    let folder = match &args.data {
        Some(folder) => std::path::absolute(folder).context("finding the data folder")?,
        None => default_data_folder()?,
    };
    let data = DataFolder::take(&folder)?;
    std::fs::create_dir_all(folder.join("store")).context("making the file store's folder")?;
    let mut state = State::load(&folder)?;
    state.remember(&args);
    let config = config(&args, &state, &folder)?;
    let _log = telemetry::start(&config.log)?;
    descriptors::take_all();
    // A standard error that is closed or full is no reason not to start.
    let _ = writeln!(std::io::stderr(), "starting Standard Edition in {}", folder.display());
    let mut postgres = PrivatePostgres::start(&folder.join("postgresql")).await?;
    let config = Config { database: DatabaseSection { url: postgres.url(), ..config.database }, ..config };
    let ran = tokio::select! {
        ran = run_node(&config, data, &mut state, &folder) => ran,
        never = postgres.tend() => match never {},
    };
    postgres.stop().await?;
    ran
}

async fn run_node(config: &Config, data: DataFolder, state: &mut State, folder: &Path) -> anyhow::Result<()> {
    serve::migrate(config).await?;
    let node = app::start(config, data, Arc::new(SystemClock)).await.map_err(with_option)?;
    let profile = match introduce(&node, state, folder).await {
        Ok(profile) => profile,
        Err(error) => {
            // It answers phones already: what they asked is written down, and downloads end.
            node.stop().await;
            return Err(error);
        }
    };
    // Whoever started us may have read enough and closed the pipe: no reason not to serve.
    if let Err(error) = print_welcome(&node.addresses, state, folder, &profile) {
        tracing::warn!(error = format!("{error:#}"), "the welcome could not be printed");
    }
    serve::until_told_to_stop(node, Hangup::Stops).await
}

/// A port that can't be had: which option gives another.
fn with_option(error: anyhow::Error) -> anyhow::Error {
    let option = error.downcast_ref::<BindError>().and_then(|error| match error.listener {
        "internal_http" => Some("--http-port"),
        "internal_https" => Some("--https-port"),
        "external_https" => Some("--external-port"),
        "management_https" => Some("--management-port"),
        _ => None,
    });
    match option {
        Some(option) => anyhow::anyhow!("{error:#}; or give another port: {option} PORT"),
        None => error,
    }
}

/// Tells the pool its addresses and the command line where the node is.
async fn introduce(node: &RunningNode, state: &mut State, folder: &Path) -> anyhow::Result<PathBuf> {
    state.announce(node).await?;
    state.save(folder)?;
    profile_file::provide(node, folder).await
}

fn default_data_folder() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ucupdates"));
    }
    match std::env::var_os("XDG_DATA_HOME") {
        Some(folder) if !folder.is_empty() => Ok(PathBuf::from(folder).join("ucupdates")),
        _ => {
            let home = std::env::home_dir().context("finding the home folder: give --data FOLDER")?;
            Ok(home.join(".local/share/ucupdates"))
        }
    }
}

/// The configuration of a node of Standard Edition.
fn config(args: &StandardArgs, state: &State, folder: &Path) -> anyhow::Result<Config> {
    let mut text = toml::Table::new();
    let path = |path: PathBuf| path.to_str().map(str::to_owned).context("the data folder's path must be UTF-8");
    let hosts: &[&str] = if state.address.is_some() { &["0.0.0.0", "::"] } else { &["127.0.0.1", "::1"] };
    let listener = |port: u16| {
        let addresses = hosts.iter().filter_map(|host| host.parse().ok());
        let addresses: Vec<String> = addresses.map(|host| SocketAddr::new(host, port).to_string()).collect();
        toml::Table::from_iter([("addresses".to_owned(), addresses.into())])
    };
    let mut section = |name: &str, table: toml::Table| text.insert(name.to_owned(), toml::Value::Table(table));
    let table = |pairs: &[(&str, String)]| -> toml::Table {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect()
    };
    section("node", table(&[("name", state.node.to_string()), ("data_folder", path(folder.to_owned())?)]));
    section("pool", table(&[("fqdn", state.pool.to_string())]));
    section("database", table(&[("url", "host=private".to_owned())]));
    section("store", table(&[("folder", path(folder.join("store"))?)]));
    let listeners = [
        ("internal_http", args.http_port),
        ("internal_https", args.https_port),
        ("external_https", args.external_port),
        ("management_https", args.management_port),
    ];
    let listeners = listeners.map(|(name, port)| (name.to_owned(), toml::Value::Table(listener(port))));
    section("listeners", toml::Table::from_iter(listeners));
    let names: Vec<String> = state.address.iter().cloned().collect();
    let tls = [("domains".to_owned(), state.domains.clone().into()), ("names".to_owned(), names.into())];
    section("tls", toml::Table::from_iter(tls));
    section("log", table(&[("filter", "warn".to_owned())]));
    Config::parse(&text.to_string())
}

fn print_welcome(addresses: &Addresses, state: &State, folder: &Path, profile: &Path) -> anyhow::Result<()> {
    let host = state.host();
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "
ucupdates Standard Edition is running.

  phones inside    http://{host}:{}/RequestHandler/ucdevice.upx
                   https://{host}:{}/RequestHandler/ucdevice.upx
  phones outside   https://{host}:{}/RequestHandlerExt/ucdevice.upx  (with an account: ucupdates account new)
  administrators   https://{host}:{}/api/v1  (and the command line)
  data folder      {}
  authority        {}  (phones and tools must trust it)
  audit log        {}
  profile          {}  (the command line uses it)

Next: ucupdates import FILE. Every command has --help. Stop with Ctrl+C.",
        port(&addresses.internal_http),
        port(&addresses.internal_https),
        port(&addresses.external_https),
        port(&addresses.management_https),
        folder.display(),
        folder.join("tls/ca.pem").display(),
        folder.join("spool/audit").display(),
        profile.display(),
    )?;
    if state.address.is_none() {
        writeln!(out, "Only this machine can reach it; for real phones, start it with --address HOST.")?;
    }
    out.flush()?;
    Ok(())
}

impl State {
    /// What phones and people write for this machine.
    fn host(&self) -> String {
        match &self.address {
            None => "localhost".to_owned(),
            Some(address) if address.contains(':') => format!("[{address}]"),
            Some(address) => address.clone(),
        }
    }

    /// Tells the pool's addresses to the Central Management store, unless an administrator set others.
    async fn announce(&mut self, node: &RunningNode) -> anyhow::Result<()> {
        let host = self.host();
        let url = |scheme: &str, addresses: &[SocketAddr], path: &str| {
            let port = addresses.first().map_or(0, SocketAddr::port);
            PublicUrl::parse(&format!("{scheme}://{host}:{port}/{path}"))
        };
        let addresses = &node.addresses;
        let wanted = [
            url("https", &addresses.internal_https, "RequestHandler/ucdevice.upx")?,
            url("https", &addresses.external_https, "RequestHandlerExt/ucdevice.upx")?,
            url("http", &addresses.internal_http, "DeviceUpdateFiles_Int")?,
            url("https", &addresses.external_https, "DeviceUpdateFiles_Ext")?,
        ];
        let database = &node.admin.database;
        let pools = database.pools().await?;
        let pool = pools.into_iter().find(|pool| pool.fqdn == node.admin.pool.fqdn);
        let mut urls = pool.context("the pool is not registered; the database did not answer in time")?.urls;
        let before = urls.clone();
        let stored =
            [&mut urls.internal_update, &mut urls.external_update, &mut urls.internal_files, &mut urls.external_files];
        for (index, place) in stored.into_iter().enumerate() {
            let ours =
                self.announced.get(index).is_some_and(|ours| place.as_ref().is_some_and(|url| url.as_str() == ours));
            if place.is_none() || ours {
                *place = Some(wanted[index].clone());
            }
        }
        if urls != before {
            database.set_pool_urls(&node.admin.pool.fqdn, &urls, "standard").await?;
        }
        self.announced = wanted.iter().map(ToString::to_string).collect();
        node.admin.refresher.refresh().await;
        Ok(())
    }
}
