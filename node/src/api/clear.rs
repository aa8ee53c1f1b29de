//! Clearing up: update files that no rule refers to, logs that are old (rows C11, C12, F01 to F07).

use super::auth::Actor;
use super::pools::find;
use super::types::packages::{ClearReport, ClearRequest};
use super::{Admin, ApiError, Body, dry_run};
use crate::log_cleanup::clear_logs;
use axum::extract::State;
use axum::{Extension, Json};
use schema::package::UpdateFile;
use std::collections::HashSet;
use std::sync::Arc;

/// Days that a clearing of logs may be asked for (row F05).
const DAYS_BACK: std::ops::RangeInclusive<u32> = 1..=30;

/// Rows first, blobs after, under the import lock: a crash in between leaves files that no row names, and those are
/// deleted here too the next time.
pub(super) async fn files(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(request): Body<ClearRequest>,
) -> Result<Json<ClearReport>, ApiError> {
    if request.days_back.is_some() {
        return Err(ApiError::invalid("days_back goes with logs alone"));
    }
    let pool = find(&admin, &request.pool).await?;
    let cleared = admin.database.clear_files(&pool.fqdn, &actor.0, dry_run(request.dry_run)).await?;
    let gone: HashSet<String> = cleared.files().map(|file: &UpdateFile| file.path.folded()).collect();
    let rules = admin.database.load_rule_set(&pool.fqdn).await?;
    let known: HashSet<String> = rules.files().map(|file| file.path.folded()).collect();
    let (mut names, mut size_bytes) = (Vec::new(), 0);
    for file in admin.blobs.update_files(&pool.service_id).await? {
        let Some(path) = file.store_path() else { continue };
        let orphaned = gone.contains(&path.folded()) || !known.contains(&path.folded());
        if orphaned {
            if !request.dry_run {
                admin.blobs.delete_update_file(&pool.service_id, &path).await?;
            }
            size_bytes += file.size_bytes;
            names.push(file.path);
        }
    }
    cleared.release().await?;
    admin.refresher.refresh().await;
    Ok(Json(ClearReport { dry_run: request.dry_run, files: names, size_bytes }))
}

pub(super) async fn logs(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(request): Body<ClearRequest>,
) -> Result<Json<ClearReport>, ApiError> {
    let days = request.days_back.filter(|days| DAYS_BACK.contains(days));
    let days = days.ok_or_else(|| ApiError::invalid("days_back must be 1 to 30"))?;
    let pool = find(&admin, &request.pool).await?;
    if !request.dry_run {
        admin.database.record_log_clearing(&pool.fqdn, days, &actor.0).await?;
    }
    let before = admin.clock.now() - std::time::Duration::from_secs(u64::from(days) * 86_400);
    let report = clear_logs(&admin.blobs, &pool.service_id, before, dry_run(request.dry_run)).await?;
    Ok(Json(report))
}
