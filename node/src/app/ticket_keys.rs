//! Brings the pool's keys for session tickets from the Central Management store, and has the next one made when it is time.
//! While the store does not answer, the keys stay as they are: phones go on resuming on every node that knows them.

use crate::snapshot::Membership;
use crate::snapshot::standing::{DatabaseState, Standings};
use crate::tls::Tickets;
use anyhow::Context as _;
use schema::store::TicketKeySchedule;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long after the newest key the next one is made. With the two before it accepted, a ticket is good for at least a day.
const ROTATE_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// A new key is accepted before it encrypts for so many looks: by then every node has seen it.
const LOOKS_OF_NOTICE: u32 = 3;

/// The loop, ready to run.
pub(super) struct TicketKeyLoop {
    membership: Membership,
    tickets: Arc<Tickets>,
    interval: Duration,
}

impl TicketKeyLoop {
    pub(super) fn new(membership: Membership, tickets: &Arc<Tickets>, interval: Duration) -> Self {
        Self { membership, tickets: Arc::clone(tickets), interval }
    }

    /// Asks the store once; what it says is used from now on.
    pub(super) async fn look(&self) {
        if let Err(error) = self.bring().await {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "the pool's keys for session tickets could not be had; those that are known are used"
            );
        }
    }

    async fn bring(&self) -> anyhow::Result<()> {
        let schedule = TicketKeySchedule { rotate_after: ROTATE_AFTER, notice: self.interval * LOOKS_OF_NOTICE };
        let Membership { database, pool, .. } = &self.membership;
        let keys = database.ticket_keys(&pool.fqdn, &schedule).await.context("asking the Central Management store")?;
        Ok(self.tickets.set(&keys)?)
    }

    /// Looks every interval until `stop`, while the store answers and may be used. Cancellation leaves the keys whole.
    pub(super) async fn run(self, standings: Arc<Standings>, stop: CancellationToken) {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        while stop.run_until_cancelled(timer.tick()).await.is_some() {
            if standings.now().database == DatabaseState::Answers {
                stop.run_until_cancelled(self.look()).await;
            }
        }
    }
}
