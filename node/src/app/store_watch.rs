//! Watches the file store: tries out whether it can be trusted as soon as it answers, and tells of one that does not, or
//! that cannot be. A node starts and serves phones without it; only administrators and the shipping of logs wait.

use crate::api::Admin;
use crate::metrics::{Fault, Metrics};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::BlobError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Between two looks at a store that answers.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Between two looks at one that does not: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The store must answer within this time. A try is several questions.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Looks at once, which `first` tells, and until `stop`. Cancellation may interrupt a look; what it leaves in the store is
/// swept.
pub(super) async fn run(admin: Arc<Admin>, first: oneshot::Sender<()>, stop: CancellationToken) {
    let mut first = Some(first);
    let mut pause = FIRST_PAUSE;
    loop {
        let looking = admin.blobs.look(&admin.pool.service_id, ANSWER_LIMIT);
        let Some(looked) = stop.run_until_cancelled(looking).await else { return };
        pause = match looked {
            Ok(()) => LOOK_INTERVAL,
            Err(_) if pause == LOOK_INTERVAL => FIRST_PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        tell(&admin.plane.metrics, looked);
        let _ = first.take().map(|first| first.send(()));
        // So that the nodes of a pool do not ask all at once when their store is back.
        let waited = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        if stop.run_until_cancelled(tokio::time::sleep(waited)).await.is_none() {
            return;
        }
    }
}

/// Tells the log once, and everybody else as long as it lasts.
fn tell(metrics: &Metrics, looked: Result<(), BlobError>) {
    let faults = &metrics.faults;
    let (fault, other, sentence) = match looked {
        Ok(()) => {
            faults.is_over(Fault::StoreSilent);
            return faults.is_over(Fault::StoreUntrustworthy);
        }
        Err(error @ BlobError::Untrustworthy { .. }) => {
            (Fault::StoreUntrustworthy, Some(Fault::StoreSilent), error.to_string())
        }
        // A full store is a fault of its own, and one that answers.
        Err(BlobError::Full(_)) => return faults.is_over(Fault::StoreSilent),
        // What was wrong with it is, until it answers as it should.
        Err(error) => (Fault::StoreSilent, None, format!("{error}; imports are refused, phones are served")),
    };
    if let Some(other) = other {
        faults.is_over(other);
    }
    if faults.stands(fault, &sentence) {
        tracing::error!("{sentence}");
    }
}
