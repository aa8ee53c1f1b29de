//! Packages: import (rows C01, I01 to I14) with its report card, and the list of what was imported.

use super::auth::Actor;
use super::types::packages::{ImportOutcomeBody, ImportQuery, PackageBody, ReportCard, ReportRow};
use super::{Admin, ApiError, Query, dry_run};
use crate::metrics::ImportEnd;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::{Extension, Json};
use schema::import::{ImportOutcome, ImportRecord};
use schema::package::Digest;
use schema::store::Package;
use std::sync::Arc;
use std::time::Instant;
use sync::import::{ImportError, Imported, PoolSelection};

/// Packages that a list shows at most.
const LIST_LIMIT: u32 = 1000;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<PackageBody>>, ApiError> {
    let body = |package: Package| PackageBody {
        digest: package.digest.to_string(),
        name: package.name,
        size_bytes: package.size_bytes,
        imported_by: package.imported_by,
        imported_at: package.imported_at.to_string(),
    };
    Ok(Json(admin.database.packages(LIST_LIMIT).await?.into_iter().map(body).collect()))
}

pub(super) async fn import(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<ImportQuery>,
    body: Body,
) -> Result<Json<ReportCard>, ApiError> {
    let pools = pool_selection(&query.pool)?;
    let _slot = admin.imports.try_acquire().map_err(|_| ApiError::no_slot())?;
    let began = Instant::now();
    let imported = receive_and_import(&admin, &actor, &query, pools, body).await;
    let end = match &imported {
        Ok(_) if query.dry_run => ImportEnd::DryRun,
        Ok((_, imported)) => ImportEnd::of(imported),
        Err(error) => ImportEnd::from(error),
    };
    admin.plane.metrics.imports.ended(end, began.elapsed());
    tracing::info!(name = query.name, actor = actor.0, outcome = end.as_str(), "an import ended");
    let (received, imported) = imported?;
    admin.refresher.refresh().await;
    let rows = imported.records.iter().map(row).collect();
    let Received { name, digest, size_bytes } = received;
    let digest = digest.to_string();
    Ok(Json(ReportCard { name, digest, size_bytes, dry_run: query.dry_run, rows, ignored: imported.ignored }))
}

/// What a report card says of the package itself.
struct Received {
    name: String,
    digest: Digest,
    size_bytes: u64,
}

async fn receive_and_import(
    admin: &Admin,
    actor: &Actor,
    query: &ImportQuery,
    pools: PoolSelection,
    body: Body,
) -> Result<(Received, Imported), ImportError> {
    // The store's first answer, within the budget. What follows takes its time.
    let pools = PoolSelection::Named(admin.importer.selected(&pools).await?);
    schema::store::end_budget();
    let package = admin.importer.receive(&query.name, body.size_hint().exact(), body.into_data_stream()).await?;
    admin.plane.metrics.imports.received(package.size_bytes);
    let received = Received { name: package.name.clone(), digest: package.digest, size_bytes: package.size_bytes };
    let imported = admin.importer.import(package, pools, &actor.0, dry_run(query.dry_run)).await?;
    Ok((received, imported))
}

fn pool_selection(text: &str) -> Result<PoolSelection, ApiError> {
    if text.is_empty() || text.eq_ignore_ascii_case("all") {
        return Ok(PoolSelection::All);
    }
    let mut pools = Vec::new();
    for name in text.split(',') {
        let fqdn = super::pools::pool_name(name)?;
        if !pools.contains(&fqdn) {
            pools.push(fqdn);
        }
    }
    Ok(PoolSelection::Named(pools))
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
