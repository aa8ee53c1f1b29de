//! Keeps the phone plane's snapshot up to date: one loop that loads the rules when a notification, the timer or an
//! administrator's change says so, and swaps them in whole. Rules that cannot be loaded, or cannot be right, leave the last
//! good ones, which are on disk too (decision 0016).

mod failure;
pub mod file;
pub mod folder;
mod keeper;
mod membership;
pub mod standing;

pub use membership::{Membership, MembershipError};

use crate::metrics::Load;
use crate::plane::PhonePlane;
use failure::{Failure, Kind};
use folder::{KeptSnapshot, Search, SnapshotFolder};
use keeper::SnapshotKeeper;
use schema::rule_set::{RuleSet, StoreMark};
use schema::store::StoreError;
use standing::{Source, Standing, Standings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Changes that may wait for one load.
const REQUEST_LIMIT: usize = 1024;

/// While the store does not answer it is asked so many times in a poll interval: an attempt may take a while itself, and
/// the node is to be back within one interval.
const ATTEMPTS_A_POLL: f64 = 4.0;

/// How long somebody who asked for a new snapshot waits for it: a store may hang after a change was committed, and whoever
/// made it is to hear of the change in time.
const REFRESH_PATIENCE: Duration = Duration::from_secs(1);

/// Asks the loop for a snapshot that holds everything changed before.
#[derive(Debug, Clone)]
pub struct Refresher(mpsc::Sender<oneshot::Sender<bool>>);

impl Refresher {
    /// Returns when this node's phones are answered from a snapshot as new as this call, when loading it failed, or
    /// after a second, or what is left of the request's budget: then the load that was asked for goes on, and the timer
    /// tries again. Whether it is the first of these.
    pub async fn refresh(&self) -> bool {
        let (done, wait) = oneshot::channel();
        let asked = async { self.0.send(done).await.is_ok() && wait.await.unwrap_or(false) };
        schema::store::within_rest_of_budget(REFRESH_PATIENCE, asked).await.unwrap_or(false)
    }
}

/// The loop, ready to run.
pub struct SnapshotLoop {
    plane: Arc<PhonePlane>,
    membership: Membership,
    standings: Arc<Standings>,
    keeper: SnapshotKeeper,
    poll_interval: Duration,
    requests: mpsc::Receiver<oneshot::Sender<bool>>,
    /// Tells the replication loop which rules phones are answered from.
    rules: watch::Sender<Option<Arc<RuleSet>>>,
    /// The state of the store whose rules were refused last, and why: they are not loaded again to be refused again.
    refused: Option<(StoreMark, String)>,
    /// Whether the store has been looked at since it last came back.
    joined: bool,
}

impl SnapshotLoop {
    /// The loop and the handle that hurries it.
    pub fn new(
        plane: Arc<PhonePlane>,
        membership: Membership,
        standings: Arc<Standings>,
        folder: Arc<SnapshotFolder>,
        rules: watch::Sender<Option<Arc<RuleSet>>>,
        poll_interval: Duration,
    ) -> (Self, Refresher) {
        let (sender, requests) = mpsc::channel(REQUEST_LIMIT);
        let keeper = SnapshotKeeper::new(folder, Arc::clone(&plane));
        let (refused, joined) = (None, false);
        let this = Self { plane, membership, standings, keeper, poll_interval, requests, rules, refused, joined };
        (this, Refresher(sender))
    }

    /// Answers phones from what was found on disk, until the store has been asked.
    pub fn begin_with(&mut self, search: Search) {
        for refused in &search.refused {
            self.plane.metrics.snapshots.refused_file(&refused.reason);
            tracing::error!(file = %refused.path.display(), reason = %refused.reason, "a snapshot on disk is refused");
        }
        let Some(KeptSnapshot { path, confirmed_at, rules, .. }) = search.found else { return };
        let rules = Arc::new(rules);
        self.keeper.found(rules.mark(), path.clone());
        let before = self.standings.now();
        let confirmed = Some(confirmed_at);
        let standing = Standing { source: Source::Disk, confirmed_at: confirmed, ..Standing::clone(&before) };
        let age_s = standing.age_s(self.plane.clock.now());
        let generation = rules.generation();
        tracing::info!(generation, age_s, file = %path.display(), "phones are answered from the snapshot on disk");
        self.standings.set(standing);
        self.put(rules);
    }

    /// Asks the store once, before the node serves. What a person has to mend is an error; a store that does not answer is
    /// none.
    pub async fn join(&mut self) -> Result<(), MembershipError> {
        match self.membership.join().await {
            Ok(()) => self.joined = true,
            Err(MembershipError::Store(error @ StoreError::Unavailable { .. })) => self.tell(Err(&error.into())),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the store has answered, and may be used.
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    /// Runs until `stop`. Cancellation between loads loses nothing: a snapshot is swapped in whole.
    pub async fn run(mut self, mut wake: watch::Receiver<()>, stop: CancellationToken) {
        let mut next = Instant::now();
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next) => {}
                Ok(()) = wake.changed() => {}
                Some(request) = self.requests.recv() => waiting.push(request),
                () = self.keeper.done() => continue,
            }
            while let Ok(request) = self.requests.try_recv() {
                waiting.push(request);
            }
            let asked = self.ask().await;
            if let Ok(rules) = &asked {
                self.put(Arc::clone(rules));
            }
            self.tell(asked.as_ref().map(drop));
            if let Ok(rules) = &asked {
                self.keeper.confirmed(rules);
            }
            next = Instant::now() + self.pause(asked.as_ref().err());
            for done in waiting {
                // Whoever asked may be gone.
                let _ = done.send(asked.is_ok());
            }
        }
        self.keeper.finish().await;
    }

    /// The rules as the store has them now.
    async fn ask(&mut self) -> Result<Arc<RuleSet>, Failure> {
        if !self.joined {
            self.membership.join().await?;
            self.joined = true;
        }
        let asked = self.load().await;
        // Whatever it is that comes back may be another: migrated, restored, set up anew.
        self.joined = asked.is_ok();
        asked
    }

    async fn load(&mut self) -> Result<Arc<RuleSet>, Failure> {
        let Membership { database, pool, .. } = &self.membership;
        let mark = database.mark().await?;
        let current = self.plane.snapshot.load_full().map(|snapshot| Arc::clone(&snapshot.rules));
        if let Some(current) = current.as_ref().filter(|current| current.mark() == mark) {
            self.plane.metrics.snapshots.load(Load::Unchanged);
            return Ok(Arc::clone(current));
        }
        if let Some((refused, why)) = &self.refused
            && *refused == mark
        {
            return Err(Failure::refused(why.clone()));
        }
        let loaded = database.load_rule_set(&pool.fqdn).await;
        if let Err(StoreError::Absurd(absurd)) = &loaded {
            self.refused = Some((mark, StoreError::Absurd(absurd.clone()).to_string()));
        }
        let rules = loaded?;
        self.membership.check_place(rules.pool())?;
        if let Some(current) = current
            && !database.continues(&current.mark()).await?
        {
            check_other_store(&current, &rules)?;
        }
        self.refused = None;
        let (generation, count) = (rules.generation(), rules.rule_count());
        tracing::info!(generation, rules = count, "phones are answered from a new snapshot");
        self.plane.metrics.snapshots.load(Load::New);
        Ok(Arc::new(rules))
    }

    /// Answers phones from these rules, and lets the replication loop know of them when they are new.
    fn put(&self, rules: Arc<RuleSet>) {
        self.plane.put_rules(&rules);
        self.rules.send_if_modified(|before| {
            let new = before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &rules));
            if new {
                *before = Some(rules);
            }
            new
        });
    }

    /// Writes down how things stand, and tells of it when it changed.
    fn tell(&self, asked: Result<(), &Failure>) {
        let before = self.standings.now();
        let standing = before.after(asked, self.plane.clock.now());
        if let Err(failure) = asked {
            self.plane.metrics.snapshots.load(failure.counted_as());
        }
        if standing.differs_from(&before) {
            match asked {
                Ok(()) => tracing::info!("the Central Management store answers, and its rules are used"),
                Err(failure) => tracing::error!(
                    cause = failure.cause,
                    age_s = standing.age_s(self.plane.clock.now()),
                    "no new rules, and what phones are answered from stays as it is: {}",
                    failure.told
                ),
            }
        }
        self.standings.set(standing);
    }

    /// Until the next look. While the store does not answer it is asked more often, and nodes do not ask as one. One that
    /// answers, and is to be mended by a person, has the interval.
    fn pause(&self, failure: Option<&Failure>) -> Duration {
        match failure.map(|failure| failure.kind) {
            None | Some(Kind::Unusable | Kind::Refused) => self.poll_interval,
            Some(Kind::Silent) => self.poll_interval.mul_f64((0.75 + rand::random::<f64>() / 2.0) / ATTEMPTS_A_POLL),
        }
    }
}

/// A store that is not the one which the present rules came from, or an older state of it, is believed when it has rules:
/// somebody restored or replaced it on purpose. One without any is more likely empty by a mistake, and would leave every
/// phone without updates and, outside, without its account.
fn check_other_store(current: &RuleSet, new: &RuleSet) -> Result<(), Failure> {
    if new.rule_count() == 0 && current.rule_count() > 0 {
        return Err(Failure::refused(format!(
            "the Central Management store is not the one that generation {} with {} rules came from, or was put back to an \
             older state, and has no rules: restore the right one, or import into this one; to accept that there are none, \
             stop the node, delete the folder snapshots in its data folder, and start it",
            current.generation(),
            current.rule_count()
        )));
    }
    tracing::warn!(
        before = current.generation(),
        now = new.generation(),
        "the Central Management store was replaced or put back to an older state; its rules are used"
    );
    Ok(())
}
