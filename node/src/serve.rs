//! Commands of an operator that work on a configuration file: serve, migrate, a first token.

use crate::api::new_token;
use crate::api::types::NewToken;
use crate::app::{self, DataFolder, RunningNode};
use crate::config::Config;
use crate::config::check::{Severity, check};
use crate::{descriptors, telemetry};
use anyhow::Context as _;
use schema::store::Database;
use std::path::Path;
use std::sync::Arc;
use sync::clock::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a node until it is told to stop.
pub async fn serve(path: &Path) -> anyhow::Result<()> {
    let (config, report) = check(path)?;
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
    until_told_to_stop(node).await
}

/// Waits for SIGTERM or SIGINT, then stops the node.
pub async fn until_told_to_stop(node: RunningNode) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; requests in flight finish");
    node.stop().await;
    Ok(())
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
