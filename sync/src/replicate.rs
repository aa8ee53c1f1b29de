//! The replication loop of a node: compares what the rules in memory want with what the replica holds, fetches what is
//! missing, drops what nobody needs, and fetches at once what a phone waits for. It works while the database is down. Its
//! facts are looked at anew at every pass; what a wake-up says is a hint.

mod counts;
mod scrub;
mod setbacks;
#[cfg(test)]
mod tests;
mod transfer;

pub use counts::Counts;
pub use scrub::Scrub;
pub use transfer::FailureReason;

use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::disk::free_bytes;
use crate::pace::Pace;
use crate::plan::{Facts, Need, Plan, Step, Wanted, plan, wanted};
use crate::read_through::{NotNow, Progress, ReadThrough, Wish};
use crate::replica::{Held, Replica};
use jiff::Timestamp;
use schema::package::{Digest, UpdateFile};
use schema::replica::{Failed, Fetching, ReplicaState};
use schema::rule_set::RuleSet;
use schema::topology::ServiceId;
use setbacks::Setbacks;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use transfer::{FetchError, Route, Transfer};

/// How often the state is told while files are on their way.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Files that a list of the state names at most.
const NAMED: usize = 16;

/// What replication may cost, and how it goes about it.
#[derive(Debug, Clone)]
pub struct ReplicateSettings {
    /// Bytes that the replica may have; none is no budget.
    pub most_bytes: Option<u64>,
    /// Bytes that stay free on its disk.
    pub reserve_bytes: u64,
    /// Transfers at one time; as many again for files that phones wait for.
    pub most_transfers: usize,
    /// Bytes a second of all transfers that no phone waits for; 0 is no limit.
    pub most_bytes_per_s: u64,
    /// How often it looks at everything when nothing happens.
    pub poll_interval: Duration,
}

/// The loop, ready to run.
pub struct Replicator {
    route: Route,
    settings: ReplicateSettings,
    clock: Arc<dyn Clock>,
    rules: watch::Receiver<Option<Arc<RuleSet>>>,
    wishes: mpsc::Receiver<Wish>,
    state: watch::Sender<Arc<ReplicaState>>,
    transfers: JoinSet<(Digest, Result<(), FetchError>)>,
    running: HashMap<Digest, Arc<Transfer>>,
    /// What is to be fetched next, as last planned.
    queue: VecDeque<Arc<UpdateFile>>,
    setbacks: Setbacks,
    /// What the last look found.
    seen: Seen,
}

/// What the last pass found.
#[derive(Default)]
struct Seen {
    generation: Option<i64>,
    wanted: Vec<Wanted>,
    without_room: BTreeSet<Digest>,
    /// Bytes that there are left for more.
    free_room_bytes: u64,
}

/// What a node has of its loop.
#[derive(Debug, Clone)]
pub struct Replication {
    /// For phones.
    pub read_through: ReadThrough,
    /// How the replica stands.
    pub state: watch::Receiver<Arc<ReplicaState>>,
    /// What was counted.
    pub counts: Arc<Counts>,
}

impl Replicator {
    /// The loop of a pool's node.
    pub fn new(
        replica: Arc<Replica>,
        (blobs, service): (Blobs, ServiceId),
        rules: watch::Receiver<Option<Arc<RuleSet>>>,
        settings: ReplicateSettings,
        clock: Arc<dyn Clock>,
    ) -> (Self, Replication) {
        let (read_through, wishes) = ReadThrough::new();
        let (state, states) = watch::channel(Arc::default());
        let (pace, counts) = (Arc::new(Pace::new(settings.most_bytes_per_s)), Arc::new(Counts::default()));
        let route = Route { replica, blobs, service, pace, counts: Arc::clone(&counts) };
        let setbacks = Setbacks::new(settings.poll_interval);
        let (transfers, running, queue, seen) = Default::default();
        let this = Self { route, settings, clock, rules, wishes, state, transfers, running, queue, setbacks, seen };
        (this, Replication { read_through, state: states, counts })
    }

    /// The scrub of the same replica.
    pub fn scrub(&self) -> Scrub {
        let Route { replica, blobs, service, counts, .. } = self.route.clone();
        Scrub { replica, blobs, service, rules: self.rules.clone(), counts }
    }

    /// Runs until `stop`. Cancellation may interrupt any transfer: what came of it is gone on with.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut next, mut tell_at) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(wish) = self.wishes.recv() => {
                    self.answer(wish);
                    continue;
                }
                Some(ended) = self.transfers.join_next() => {
                    // A transfer that panicked is found by its progress, which nobody sends any more.
                    if let Ok((digest, ended)) = ended {
                        self.ended(&digest, ended);
                    }
                    self.running.retain(|_, transfer| Arc::strong_count(transfer) > 1);
                    self.start_next();
                    if !self.running.is_empty() && !self.queue.is_empty() {
                        self.tell();
                        continue;
                    }
                }
                () = tokio::time::sleep_until(tell_at), if !self.running.is_empty() => {
                    self.tell();
                    tell_at = Instant::now() + TOLD_EVERY;
                    continue;
                }
                Ok(()) = self.rules.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            if let Err(error) = self.pass().await {
                let folder = self.route.replica.folder().display();
                tracing::error!(%error, %folder, "the replica cannot be looked at; what is offered stays as it is");
            }
            self.tell();
            let jitter = 0.75 + rand::random::<f64>() / 4.0;
            let interval = Instant::now() + self.settings.poll_interval.mul_f64(jitter);
            next = self.setbacks.next_try(Instant::now()).map_or(interval, |at| at.min(interval));
        }
    }

    /// Looks, plans, and begins what there is to do.
    async fn pass(&mut self) -> io::Result<()> {
        let rules = self.rules.borrow_and_update().clone();
        let replica = Arc::clone(&self.route.replica);
        let Some(rules) = rules else {
            return blocking(move || replica.look().map(drop)).await;
        };
        if self.seen.generation != Some(rules.generation()) {
            self.seen.wanted = wanted(&rules);
            self.seen.generation = Some(rules.generation());
        }
        let needed = self.seen.wanted.iter().filter(|wanted| wanted.need != Need::None);
        let keep = needed.map(|wanted| wanted.file.digest).chain(self.running.keys().copied()).collect();
        let (held, parts_bytes, free_bytes) = blocking(move || {
            let held = replica.look()?;
            let parts_bytes = replica.sweep(&keep)?;
            Ok((held, parts_bytes, free_bytes(replica.folder())?))
        })
        .await?;
        let used_bytes = held.values().map(|held| held.size_bytes).fold(parts_bytes, u64::saturating_add);
        let on_disk = used_bytes.saturating_add(free_bytes).saturating_sub(self.settings.reserve_bytes);
        let room_bytes = self.settings.most_bytes.unwrap_or(u64::MAX).min(on_disk);
        self.seen.free_room_bytes = room_bytes.saturating_sub(used_bytes);
        self.forget(&held);
        let plan = self.plan(&held, room_bytes);
        self.seen.without_room = plan.without_room;
        self.queue.clear();
        for step in plan.steps {
            match step {
                Step::Evict(digest) => self.evict(digest).await?,
                Step::Fetch(file) => self.queue.push_back(file),
            }
        }
        self.start_next();
        Ok(())
    }

    fn plan(&self, held: &BTreeMap<Digest, Held>, room_bytes: u64) -> Plan {
        let fetching = self.running.keys().copied().collect();
        let resting = self.setbacks.resting(Instant::now());
        plan(&Facts { wanted: &self.seen.wanted, held, fetching: &fetching, resting: &resting, room_bytes })
    }

    /// What arrived otherwise, or is not wanted any more, has not failed.
    fn forget(&mut self, held: &BTreeMap<Digest, Held>) {
        let wanted: BTreeSet<Digest> = self.seen.wanted.iter().map(|wanted| wanted.file.digest).collect();
        self.setbacks.retain(|digest| wanted.contains(digest) && !held.contains_key(digest));
    }

    async fn evict(&mut self, digest: Digest) -> io::Result<()> {
        let replica = Arc::clone(&self.route.replica);
        blocking(move || replica.evict(&digest)).await?;
        tracing::info!(%digest, "a file that no rule needs was dropped from the replica");
        self.route.counts.evicted();
        Ok(())
    }

    /// Begins transfers as far as there are places.
    fn start_next(&mut self) {
        if self.setbacks.store_rests(Instant::now()) {
            return self.queue.clear();
        }
        while self.unwished() < self.settings.most_transfers {
            let Some(file) = self.queue.pop_front() else { return };
            if !self.running.contains_key(&file.digest) {
                drop(self.start(file));
            }
        }
    }

    fn unwished(&self) -> usize {
        self.running.values().filter(|transfer| !transfer.urgent.load(Ordering::Relaxed)).count()
    }

    fn start(&mut self, file: Arc<UpdateFile>) -> Arc<Transfer> {
        let (digest, transfer, route) = (file.digest, Transfer::new(file), self.route.clone());
        self.running.insert(digest, Arc::clone(&transfer));
        let running = Arc::clone(&transfer);
        self.transfers.spawn(async move { (digest, running.run(route).await) });
        transfer
    }

    fn ended(&mut self, digest: &Digest, ended: Result<(), FetchError>) {
        let Some(transfer) = self.running.remove(digest) else { return };
        let path = &transfer.file.path;
        self.route.counts.ended(ended.as_ref().err().map(|error| error.reason));
        match ended {
            Ok(()) => {
                tracing::info!(%path, %digest, size_bytes = transfer.file.size_bytes, "a file has arrived in the replica");
                self.setbacks.arrived(digest);
            }
            Err(error) => {
                if self.setbacks.failed(&transfer.file, &error, Instant::now()) {
                    tracing::warn!(%path, reason = error.reason.as_str(), "a file could not be fetched: {}", error.told);
                }
            }
        }
    }

    /// Answers a phone's wish: joins the transfer that runs, or begins one.
    fn answer(&mut self, wish: Wish) {
        let Wish { file, reply } = wish;
        // Whoever asked may be gone.
        let _ = reply.send(self.wished(file));
    }

    fn wished(&mut self, file: Arc<UpdateFile>) -> Result<watch::Receiver<Progress>, NotNow> {
        if let Some(transfer) = self.running.get(&file.digest) {
            transfer.urgent.store(true, Ordering::Relaxed);
            return Ok(transfer.progress.subscribe());
        }
        if let Some(told) = self.setbacks.of(&file.digest, Instant::now()) {
            return Err(NotNow::Failed(told));
        }
        if self.running.len() - self.unwished() >= self.settings.most_transfers {
            return Err(NotNow::Busy);
        }
        if file.size_bytes > self.seen.free_room_bytes {
            return Err(NotNow::NoRoom);
        }
        self.route.counts.wished();
        self.seen.free_room_bytes -= file.size_bytes;
        let transfer = self.start(file);
        transfer.urgent.store(true, Ordering::Relaxed);
        Ok(transfer.progress.subscribe())
    }

    /// Tells how the replica stands.
    fn tell(&self) {
        let state = self.standing();
        self.state.send_if_modified(|before| {
            let changed = **before != state;
            if changed {
                *before = Arc::new(state);
            }
            changed
        });
    }

    fn standing(&self) -> ReplicaState {
        let servable = self.route.replica.servable();
        let mut state = ReplicaState { generation: self.seen.generation, ..ReplicaState::default() };
        let (mut missing, mut given_up, mut waits_for_store) = (0_u64, 0_u64, false);
        for Wanted { file, .. } in self.seen.wanted.iter().filter(|wanted| wanted.need != Need::None) {
            state.needed.add(file.size_bytes);
            if servable.holds_file(file) {
                state.held.add(file.size_bytes);
                continue;
            }
            missing += 1;
            if state.lacking.len() < NAMED {
                state.lacking.push(file.path.to_string());
            }
            let failed = self.failed(file);
            if let Some((reason, failed)) = failed {
                given_up += 1;
                waits_for_store |= reason == FailureReason::Store;
                state.failed_files += 1;
                if state.failed.len() < NAMED {
                    state.failed.push(failed);
                }
            }
        }
        state.fetching = self.running.values().map(|transfer| fetching(transfer)).collect();
        state.fetching.sort_by(|one, other| one.path.cmp(&other.path));
        state.fetching.truncate(NAMED);
        state.settled = self.seen.generation.is_some() && missing == given_up;
        let complete = state.settled && (!waits_for_store || state.held.files > 0);
        state.ready = self.state.borrow().ready || complete;
        state
    }

    fn failed(&self, file: &UpdateFile) -> Option<(FailureReason, Failed)> {
        let path = file.path.to_string();
        if self.seen.without_room.contains(&file.digest) {
            let told = format!("there is no room for its {} bytes in the replica", file.size_bytes);
            return Some(failed(path, FailureReason::NoRoom, told, None));
        }
        if self.running.contains_key(&file.digest) {
            return None;
        }
        let (reason, told, wait) = self.setbacks.told(&file.digest, Instant::now())?;
        Some(failed(path, reason, told, Some(self.clock.now() + wait)))
    }
}

fn failed(path: String, reason: FailureReason, told: String, next_try: Option<Timestamp>) -> (FailureReason, Failed) {
    (reason, Failed { path, reason: reason.as_str().to_owned(), told, next_try })
}

fn fetching(transfer: &Transfer) -> Fetching {
    let done_bytes = transfer.done_bytes();
    let took = transfer.began.elapsed().as_millis().max(1);
    let bytes_per_s = u64::try_from(u128::from(done_bytes) * 1000 / took).unwrap_or(u64::MAX);
    Fetching { path: transfer.file.path.to_string(), done_bytes, size_bytes: transfer.file.size_bytes, bytes_per_s }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
