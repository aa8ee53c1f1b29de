//! Tells the Central Management store how this node's replica stands: when that changes, and with the node's signs of life.

use crate::api::Admin;
use crate::snapshot::standing::DatabaseState;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What changes within this time is told together.
const PAUSE: Duration = Duration::from_millis(500);

/// Reports until `stop`. A store that does not answer is left alone; it is told when it is back.
pub(super) async fn run(admin: Arc<Admin>, interval: Duration, stop: CancellationToken) {
    let mut state = admin.replication.state.clone();
    let reporting = async {
        let mut told = true;
        loop {
            if told {
                // The sender is the replication loop, which ends with the node.
                let _ = tokio::time::timeout(interval, state.changed()).await;
            }
            tokio::time::sleep(PAUSE).await;
            let (standing, current) = (admin.standings.now(), Arc::clone(&state.borrow_and_update()));
            told = standing.database == DatabaseState::Answers
                && admin
                    .database
                    .report_replica((&admin.pool.fqdn, &admin.node), &current, standing.confirmed_at)
                    .await
                    .is_ok();
        }
    };
    stop.run_until_cancelled(reporting).await;
}
