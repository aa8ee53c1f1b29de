//! Tells the Central Management store that this node is there, and makes its pool known on the first time.

use crate::api::Admin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Reports once. A store that is down is told by the snapshot loop; the next report tries again.
pub(super) async fn beat(admin: &Admin) {
    let version = env!("CARGO_PKG_VERSION");
    let reported = match admin.database.ensure_pool(&admin.pool).await {
        Ok(_) => admin.database.register_node(&admin.pool.fqdn, &admin.node, version).await,
        Err(error) => Err(error),
    };
    if let Err(error) = reported {
        tracing::warn!(%error, "this node could not report to the Central Management store");
    }
}

/// Reports every `interval` until `stop`.
pub(super) async fn run(admin: Arc<Admin>, interval: Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(interval);
    timer.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => beat(&admin).await,
        }
    }
}
