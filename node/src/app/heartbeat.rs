//! Tells the Central Management store that this node is there, and makes its pool known on the first time.

use crate::api::Admin;
use crate::metrics::Outcome;
use schema::store::StoreError;
use schema::topology::Pool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Reports once; the answer is the pool as the store has it.
pub(super) async fn beat(admin: &Admin) -> Result<Pool, StoreError> {
    let pool = admin.database.ensure_pool(&admin.pool).await?;
    admin.database.register_node(&pool.fqdn, &admin.node, env!("CARGO_PKG_VERSION")).await?;
    Ok(pool)
}

/// Reports, and tells when that failed; the next report tries again.
async fn try_beat(admin: &Admin) {
    let outcome = match beat(admin).await {
        Ok(_) => Outcome::Done,
        Err(error) => {
            tracing::warn!(%error, "this node could not report to the Central Management store");
            Outcome::Failed
        }
    };
    admin.plane.metrics.upkeep.reported(outcome);
}

/// Reports every `interval` until `stop`.
pub(super) async fn run(admin: Arc<Admin>, interval: Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(interval);
    timer.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => try_beat(&admin).await,
        }
    }
}
