//! One package into the pools, whoever brings it: received, imported, counted, the rules of this node brought up to date,
//! and the report card that is shown for it.

use super::Admin;
use super::types::packages::{ImportOutcomeBody, ReportCard, ReportRow};
use crate::metrics::ImportEnd;
use bytes::Bytes;
use futures_util::Stream;
use schema::import::{ImportOutcome, ImportRecord};
use schema::store::DryRun;
use std::time::{Duration, Instant};
use sync::import::{ImportError, PoolSelection};

/// The file store must answer within this time before a package is received.
const STORE_ANSWER_LIMIT: Duration = Duration::from_millis(2500);

/// A package, and what is wanted of it.
pub struct Incoming<'a> {
    /// Its file name, for the records.
    pub name: &'a str,
    /// Its length in bytes, if that is known.
    pub size_bytes: Option<u64>,
    /// The pools that it is for.
    pub pools: PoolSelection,
    /// Who brings it, for the record of administrators' actions.
    pub actor: &'a str,
    /// Whether anything changes.
    pub dry_run: DryRun,
}

/// What became of a package.
pub struct Taken {
    /// How it ended, in one word.
    pub end: ImportEnd,
    /// What is shown of it.
    pub card: ReportCard,
}

impl Admin {
    /// Imports one package.
    pub async fn take_in<S, E>(&self, incoming: Incoming<'_>, body: S) -> Result<Taken, ImportError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (name, actor) = (incoming.name, incoming.actor);
        let taken = self.receive_and_import(incoming, body).await;
        let end = taken.as_ref().map_or_else(ImportEnd::from, |taken| taken.end);
        self.plane.metrics.imports.ended(end, began.elapsed());
        tracing::info!(name, actor, outcome = end.as_str(), "an import ended");
        if taken.is_ok() {
            self.refresher.refresh().await;
        }
        taken
    }

    async fn receive_and_import<S, E>(&self, incoming: Incoming<'_>, body: S) -> Result<Taken, ImportError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Incoming { name, size_bytes, pools, actor, dry_run } = incoming;
        if dry_run == DryRun::No {
            // Said before the package is sent: it may be large.
            self.blobs.look(&self.pool.service_id, STORE_ANSWER_LIMIT).await?;
        }
        let package = self.importer.receive(name, size_bytes, body).await?;
        let size_bytes = package.size_bytes;
        self.plane.metrics.imports.received(size_bytes);
        let (name, digest) = (package.name.clone(), package.digest.to_string());
        let imported = self.importer.import(package, pools, actor, dry_run).await?;
        let is_dry = dry_run == DryRun::Yes;
        let end = if is_dry { ImportEnd::DryRun } else { ImportEnd::of(&imported) };
        let rows = imported.records.iter().map(row).collect();
        let card = ReportCard { name, digest, size_bytes, dry_run: is_dry, rows, ignored: imported.ignored };
        Ok(Taken { end, card })
    }
}

fn row(record: &ImportRecord) -> ReportRow {
    let (outcome, detail) = match &record.outcome {
        ImportOutcome::Created => (ImportOutcomeBody::Created, String::new()),
        ImportOutcome::Replaced { pending: Some(pending) } => {
            (ImportOutcomeBody::Replaced, format!("{pending} was pending and is no more"))
        }
        ImportOutcome::Replaced { pending: None } => (ImportOutcomeBody::Replaced, "nothing was pending".to_owned()),
        ImportOutcome::Unchanged(already) => (ImportOutcomeBody::Unchanged, already.to_string()),
        ImportOutcome::Refused(refusal) => (ImportOutcomeBody::Refused, refusal.to_string()),
    };
    ReportRow {
        pool: record.pool.to_string(),
        target: (&record.target).into(),
        version: record.version.to_string(),
        outcome,
        detail,
    }
}
