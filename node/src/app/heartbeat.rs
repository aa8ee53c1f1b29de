//! Tells the Central Management store from time to time that this node is there. Its first report is the snapshot loop's,
//! whenever the store comes back.

use crate::api::Admin;
use crate::metrics::Outcome;
use crate::snapshot::standing::DatabaseState;
use schema::store::ReportedState;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the last words of a node that ends may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports every `interval` until `stop`. A store that does not answer, or may not be used, is left alone.
pub(super) async fn run(admin: Arc<Admin>, interval: Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer.tick().await;
    let metrics = &admin.plane.metrics.upkeep;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        if admin.standings.now().database != DatabaseState::Answers {
            metrics.reported(Outcome::Failed);
            continue;
        }
        let reported = admin.membership.report().await;
        metrics.reported(if reported.is_ok() { Outcome::Done } else { Outcome::Failed });
        if let Err(error) = reported {
            tracing::warn!(%error, "this node could not report to the Central Management store");
        }
    }
}

/// Says that the node ends, if the store answers; a node that could not say it is silent soon.
pub(super) async fn farewell(admin: &Admin, state: ReportedState) {
    if admin.standings.now().database != DatabaseState::Answers {
        return;
    }
    match tokio::time::timeout(FAREWELL_TIMEOUT, admin.membership.say(state)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the Central Management store could not be told that this node ends"),
        Err(_) => tracing::warn!("the Central Management store was not told in time that this node ends"),
    }
}
