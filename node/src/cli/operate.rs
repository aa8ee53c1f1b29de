//! Commands of an operator, on the machine of a node: they read its configuration file and speak to its database
//! themselves, so that they work before a node runs.

use crate::cli::output::{Console, Outcome, print};
use crate::config::Config;
use crate::config::check::{self, Report};
use crate::serve;
use crate::standard::{self, StandardArgs};
use crate::tls;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};
use sync::clock::{Clock as _, SystemClock};

/// Where a node's configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The node's configuration (deploy/config.toml shows every setting)
    #[arg(long = "config", value_name = "FILE", default_value = "/etc/ucupdates/config.toml")]
    path: PathBuf,
}

/// What to operate.
#[derive(Debug, Subcommand)]
pub enum OperateCommand {
    /// Run Standard Edition: one process with a private PostgreSQL, a local file store and its own certificate
    #[command(after_help = "\
Examples:
  ucupdates standard                 try it: only this machine can reach it
  ucupdates standard --address phones.contoso.com --domain contoso.com \\
      --http-port 80 --https-port 443

It writes the profile that every other command uses, so that they just work. Stop it with Ctrl+C.")]
    Standard(StandardArgs),
    /// Run a node of Enterprise Edition
    #[command(after_help = "Example:\n  ucupdates serve --config /etc/ucupdates/config.toml")]
    Serve(ConfigFile),
    /// Bring the database to this program's version; may be run again, and by several nodes at once
    #[command(after_help = "Example:\n  ucupdates migrate --config /etc/ucupdates/config.toml")]
    Migrate(ConfigFile),
    /// Read a configuration and everything it names, and say what is wrong and how to mend it
    #[command(after_help = "\
Examples:
  ucupdates check-config
  sudo -u ucupdates ucupdates check-config      as the user who runs the service

An error keeps a node from starting: exit code 1. A warning or a note doesn't: exit code 0. Nothing is changed, and \
neither the database nor a running node is asked.")]
    CheckConfig {
        /// The configuration
        #[arg(value_name = "FILE", default_value = "/etc/ucupdates/config.toml")]
        path: PathBuf,
    },
    /// Make the certificates that all nodes of a pool share, by a private authority; when run again, only what is missing or
    /// expires soon
    #[command(after_help = "\
Example:
  ucupdates certificates --folder /root/pool-tls --config /etc/ucupdates/config.toml

Phones trust one authority (ca.pem), so one machine makes the certificates and every node gets copies of ecdsa.pem, ecdsa.key, \
rsa.pem and rsa.key, which its [tls] names. ca.key stays in the folder: whoever has it can make certificates that phones \
trust. The names are those of [pool] fqdn, [tls] domains and [tls] names.")]
    Certificates {
        /// Where the authority and its certificates are kept
        #[arg(long, value_name = "FOLDER")]
        folder: PathBuf,
        /// The configuration of the pool's nodes.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Make an administrator's token straight in the database: how the first one comes to be
    #[command(after_help = "\
Example:
  ucupdates first-token anna --config /etc/ucupdates/config.toml

The token is shown once. Give it to commands as UCUPDATES_TOKEN; further ones are made with `ucupdates token new`.")]
    FirstToken {
        /// The administrator that it acts as
        #[arg(value_name = "NAME")]
        name: String,
        /// The node's configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl OperateCommand {
    /// Does it.
    pub async fn run(self, console: &Console) -> anyhow::Result<Outcome> {
        match self {
            Self::Standard(args) => standard::run(args).await?,
            Self::Serve(config) => serve::serve(&config.path).await?,
            Self::Migrate(config) => print(&serve::migrate(&Config::load(&config.path)?).await?)?,
            Self::CheckConfig { path } => return check_config(&path, console),
            Self::Certificates { folder, config } => print(&certificates(&folder, &Config::load(&config.path)?)?)?,
            Self::FirstToken { name, config } => {
                let token = serve::first_token(&config.path, &name).await?;
                console.show_token(&token)?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// Makes what is missing; the answer is for people.
fn certificates(folder: &Path, config: &Config) -> anyhow::Result<String> {
    tls::install_crypto_provider();
    let certificates = tls::private_certificates(folder, &config.certificate_names(), SystemClock.now())?;
    let until = certificates.facts().into_iter().map(|facts| facts.not_after).min();
    let until = until.map_or_else(String::new, |until| format!(", valid until {}", until.strftime("%F")));
    Ok(format!("the pool's certificates are in {}{until}", folder.display()))
}

/// What `check-config --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    valid: bool,
    #[serde(flatten)]
    report: &'a Report,
}

fn check_config(path: &Path, console: &Console) -> anyhow::Result<Outcome> {
    let (config, report) = check::check(path, check::Purpose::Telling)?;
    let file = path.display();
    let told = |summary: String| if summary.is_empty() { String::new() } else { format!(", with {summary}") };
    let end = match &config {
        None => format!("{file} has {}", report.summary()),
        Some(Config { node, pool, .. }) => {
            let told = told(report.summary());
            format!("{file} is valid: node {} of pool {}{told} (checked as {})", node.name, pool.fqdn, check::user())
        }
    };
    let checked = Checked { valid: config.is_some(), report: &report };
    console.show(&checked, |checked, _| format!("{}{end}", checked.report))?;
    Ok(Outcome::refused_if(config.is_none()))
}
