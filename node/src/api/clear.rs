//! Clearing up: update files that no rule refers to, logs that are old (rows C11, C12, F01 to F07).

use super::auth::Actor;
use super::pools::find;
use super::types::packages::{ClearReport, ClearRequest};
use super::{Admin, ApiError, Body, dry_run};
use crate::log_cleanup::clear_logs;
use axum::extract::State;
use axum::{Extension, Json};
use schema::package::StorePath;
use schema::store::ClearedFiles;
use schema::topology::Pool;
use std::collections::HashSet;
use std::sync::Arc;

/// Days that a clearing of logs may be asked for (row F05).
const DAYS_BACK: std::ops::RangeInclusive<u32> = 1..=30;

/// Files that are deleted between two proofs that the import lock is still ours (decision record 0017).
const PROVEN: usize = 20;

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
    schema::store::end_budget();
    let cleared = admin.database.clear_files(&pool.fqdn, &actor.0, dry_run(request.dry_run)).await?;
    let mut report = ClearReport { dry_run: request.dry_run, files: Vec::new(), size_bytes: 0 };
    let deleted = delete_files(&admin, &pool, &cleared, &mut report).await;
    let updates = cleared.updates().len();
    // The connection goes with it, and the lock with the connection: nothing depends on the answer.
    let _ = cleared.release().await;
    admin.refresher.refresh().await;
    match deleted {
        Ok(()) => Ok(Json(report)),
        Err(error) if request.dry_run => Err(error),
        Err(error) => {
            let files = report.files.len();
            let done = format!("{updates} updates and {files} of their files are deleted, then it stopped");
            Err(error.after(&format!("{done}; clear again for the other files")))
        }
    }
}

/// Deletes the files that no row names, or lists them. In this order: what stands in the store is listed, the rows are
/// read, the lock is proven. A file that an import on another node puts, should the lock be lost, is not in the list or
/// in the rows then, except between a proof and the deletions that follow it.
async fn delete_files(
    admin: &Admin,
    pool: &Pool,
    cleared: &ClearedFiles,
    report: &mut ClearReport,
) -> Result<(), ApiError> {
    let stored = admin.blobs.update_files(&pool.service_id).await?;
    let rules = admin.database.load_rule_set(&pool.fqdn).await?;
    let known: HashSet<String> = rules.files().map(|file| file.path.folded()).collect();
    // On a dry run the rows are still there.
    let gone: HashSet<String> = match report.dry_run {
        true => cleared.files().map(|file| file.path.folded()).collect(),
        false => HashSet::new(),
    };
    let is_orphaned = |path: &StorePath| gone.contains(&path.folded()) || !known.contains(&path.folded());
    let orphaned = stored.into_iter().filter_map(|file| Some((file.store_path().filter(is_orphaned)?, file)));
    for (number, (path, file)) in orphaned.enumerate() {
        if !report.dry_run {
            if number.is_multiple_of(PROVEN) {
                cleared.prove_lock().await?;
            }
            admin.blobs.delete_update_file(&pool.service_id, &path).await?;
        }
        report.size_bytes += file.size_bytes;
        report.files.push(file.path);
    }
    Ok(())
}

pub(super) async fn logs(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(request): Body<ClearRequest>,
) -> Result<Json<ClearReport>, ApiError> {
    let days = request.days_back.filter(|days| DAYS_BACK.contains(days));
    let days = days.ok_or_else(|| ApiError::invalid("days_back must be 1 to 30"))?;
    let pool = find(&admin, &request.pool).await?;
    schema::store::end_budget();
    if !request.dry_run {
        admin.database.record_log_clearing(&pool.fqdn, days, &actor.0).await?;
    }
    let before = admin.clock.now() - std::time::Duration::from_secs(u64::from(days) * 86_400);
    let report = clear_logs(&admin.blobs, &pool.service_id, before, dry_run(request.dry_run)).await?;
    Ok(Json(report))
}
