//! Packages: import (rows C01, I01 to I14) with its report card, and the list of what was imported.

use super::auth::Actor;
use super::types::packages::{ImportOutcomeBody, ImportQuery, PackageBody, ReportCard, ReportRow};
use super::{Admin, ApiError, Query, dry_run};
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use schema::import::{ImportOutcome, ImportRecord};
use schema::store::Package;
use std::sync::Arc;
use sync::import::PoolSelection;

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
    let received = admin.importer.receive(&query.name, body.into_data_stream()).await?;
    let (name, digest, size_bytes) = (received.name.clone(), received.digest.to_string(), received.size_bytes);
    let imported = admin.importer.import(received, pools, &actor.0, dry_run(query.dry_run)).await?;
    admin.refresher.refresh().await;
    let rows = imported.records.iter().map(row).collect();
    Ok(Json(ReportCard { name, digest, size_bytes, dry_run: query.dry_run, rows, ignored: imported.ignored }))
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
