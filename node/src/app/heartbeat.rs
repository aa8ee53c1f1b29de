//! Tells the Central Management store from time to time that this node is there. Its first report is the snapshot loop's,
//! whenever the store comes back.

use crate::metrics::{Metrics, Outcome};
use crate::snapshot::Membership;
use crate::snapshot::standing::{DatabaseState, Standings};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Reports every `interval` until `stop`. A store that does not answer, or may not be used, is left alone.
pub(super) async fn run(
    membership: Membership,
    metrics: Arc<Metrics>,
    standings: Arc<Standings>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        if standings.now().database != DatabaseState::Answers {
            metrics.upkeep.reported(Outcome::Failed);
            continue;
        }
        let reported = membership.report().await;
        metrics.upkeep.reported(if reported.is_ok() { Outcome::Done } else { Outcome::Failed });
        if let Err(error) = reported {
            tracing::warn!(%error, "this node could not report to the Central Management store");
        }
    }
}
