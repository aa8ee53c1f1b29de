//! Whether this node knows the newest rules, asked when a phone wants a file that none of its rules names. The phone may have
//! been told of it a moment ago by another node, which heard of a change before this one, or which is not cut off as this
//! one is: then "there is nothing" would be wrong. A channel to the loop that loads the rules is all that is held here.

use crate::snapshot::Refresher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

/// Between two looks for the sake of phones, however many ask: each is one small query.
const REST: Duration = Duration::from_millis(500);

/// How long a phone waits at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether this node knows the newest rules.
#[derive(Debug)]
pub struct NewestRules {
    refresher: Refresher,
    turn: Semaphore,
    /// When the last look began, and whether the rules were known after it.
    last: Mutex<Option<(Instant, bool)>>,
}

impl NewestRules {
    /// By way of this refresher.
    pub fn new(refresher: Refresher) -> Self {
        Self { refresher, turn: Semaphore::new(1), last: Mutex::default() }
    }

    /// Has the rules looked at, one look for all who ask meanwhile. True when phones are now answered from rules at least as
    /// new as this call; false when the Central Management store did not say so in time.
    pub async fn are_known(&self) -> bool {
        timeout(PATIENCE, self.look(Instant::now())).await.unwrap_or(false)
    }

    async fn look(&self, came: Instant) -> bool {
        // Nobody closes it.
        let Ok(_turn) = self.turn.acquire().await else { return false };
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some((began, known)) if began >= came => return known,
            Some((began, _)) => sleep_until(began + REST).await,
            None => {}
        }
        let began = Instant::now();
        let known = self.refresher.refresh().await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((began, known));
        known
    }
}
