//! Packages: import (rows C01, I01 to I14), and the list of what was imported.

use super::auth::Actor;
use super::intake::Incoming;
use super::types::packages::{ImportQuery, PackageBody, ReportCard};
use super::{Admin, ApiError, Query, dry_run};
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::{Extension, Json};
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
    let _slot = admin.imports.try_acquire().map_err(|_| ApiError::no_slot())?;
    // The store's first answer, within the budget. What follows takes its time.
    let pools = PoolSelection::Named(admin.importer.selected(&pools).await?);
    schema::store::end_budget();
    let (size_bytes, dry_run) = (body.size_hint().exact(), dry_run(query.dry_run));
    let incoming = Incoming { name: &query.name, size_bytes, pools, actor: &actor.0, dry_run };
    Ok(Json(admin.take_in(incoming, body.into_data_stream()).await?.card))
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
