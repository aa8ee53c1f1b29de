//! Commands of an operator that work on a configuration file: serve, migrate, a first token.

use crate::api::new_token;
use crate::api::types::NewToken;
use crate::app::{self, DataFolder, RunningNode};
use crate::config::Config;
use crate::config::check::{Purpose, Severity, check};
use crate::{descriptors, systemd, telemetry};
use anyhow::{Context as _, anyhow};
use schema::store::Database;
use std::path::Path;
use std::sync::Arc;
use sync::clock::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a node until it is told to stop.
pub async fn serve(path: &Path) -> anyhow::Result<()> {
    let (config, report) = check(path, Purpose::Starting)?;
    let Some(config) = config else { return Err(report.into_error()) };
    let _log = telemetry::start(&config.log)?;
    for problem in report.problems.iter().filter(|problem| problem.severity == Severity::Warning) {
        let line = problem.place.map(|place| place.line);
        let (problem, mend) = (&problem.problem, &problem.mend);
        tracing::warn!(line, %problem, %mend, "the configuration says what is probably not meant");
    }
    descriptors::take_all();
    let data = DataFolder::take(&config.node.data_folder)?;
    let node = app::start(&config, data, Arc::new(SystemClock)).await?;
    tracing::info!(node = %config.node.name, pool = %config.pool.fqdn, addresses = ?node.addresses, "the node serves");
    until_told_to_stop(node, Hangup::Reloads).await
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// A service: look at the certificates now.
    Reloads,
    /// A program in a terminal, which was closed.
    Stops,
}

/// Waits for SIGTERM or SIGINT, then stops the node; a second one ends at once. systemd is told how the node stands.
pub async fn until_told_to_stop(node: RunningNode, hangup: Hangup) -> anyhow::Result<()> {
    tokio::select! {
        ended = run(node, hangup) => ended,
        never = systemd::watchdog() => match never {},
    }
}

async fn run(node: RunningNode, hangup: Hangup) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut hung_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    systemd::ready();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hung_up.recv() => match hangup {
                Hangup::Reloads => node.reload_certificates(),
                Hangup::Stops => break,
            },
        }
    }
    systemd::stopping();
    tracing::info!("stopping; requests in flight finish");
    tokio::select! {
        () = node.stop() => Ok(()),
        _ = terminate.recv() => Err(anyhow!("stopped at once, as the second signal asked: requests in flight were cut")),
        _ = interrupt.recv() => Err(anyhow!("stopped at once, as the second signal asked: requests in flight were cut")),
    }
}

/// Brings the database to this program's version; the answer is for people.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    crate::tls::install_crypto_provider();
    let migrated = Database::new(&app::database_settings(config)?)?.migrate().await?;
    Ok(match migrated.from == migrated.to {
        true => format!("the database is at schema version {} already", migrated.to),
        false => format!("the database went from schema version {} to {}", migrated.from, migrated.to),
    })
}

/// Makes an administrator's token straight in the database: how the first one comes to be.
pub async fn first_token(path: &Path, name: &str) -> anyhow::Result<NewToken> {
    crate::tls::install_crypto_provider();
    let config = Config::load(path)?;
    let (token, digest) = new_token();
    let database = Database::new(&app::database_settings(&config)?)?;
    database.create_token(name, name, &digest, None, "command line").await?;
    Ok(NewToken { name: name.to_owned(), token })
}
