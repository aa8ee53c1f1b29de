//! Keeps the phone plane's snapshot up to date: one loop that loads the rules when a notification, the timer or an
//! administrator's change says so, and swaps them in whole. A snapshot that cannot be loaded leaves the last one.

use crate::plane::{PhonePlane, Snapshot};
use schema::rule_set::{RuleSet, Servable};
use schema::store::{Database, StoreError};
use schema::topology::PoolFqdn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Changes that may wait for one load.
const REQUEST_LIMIT: usize = 1024;

/// How long the file system may take to say which files stand there.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Asks the loop for a snapshot that holds everything changed before.
#[derive(Debug, Clone)]
pub struct Refresher(mpsc::Sender<oneshot::Sender<()>>);

impl Refresher {
    /// Returns when this node's phones are answered from a snapshot as new as this call, or when loading it failed (then
    /// the timer tries again).
    pub async fn refresh(&self) {
        let (done, wait) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }
}

/// The loop, ready to run.
pub struct SnapshotLoop {
    /// Where the snapshot goes.
    pub plane: Arc<PhonePlane>,
    /// Where the rules come from.
    pub database: Database,
    /// Whose rules.
    pub pool: PoolFqdn,
    /// How often to look without being told.
    pub poll_interval: Duration,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    /// A look at the replica that has not ended.
    look: Option<JoinHandle<Servable>>,
}

impl SnapshotLoop {
    /// The loop and the handle that hurries it.
    pub fn new(
        plane: Arc<PhonePlane>,
        database: Database,
        pool: PoolFqdn,
        poll_interval: Duration,
    ) -> (Self, Refresher) {
        let (sender, requests) = mpsc::channel(REQUEST_LIMIT);
        (Self { plane, database, pool, poll_interval, requests, look: None }, Refresher(sender))
    }

    /// Runs until `stop`. Cancellation between loads loses nothing: a snapshot is swapped in whole.
    pub async fn run(mut self, mut wake: watch::Receiver<()>, stop: CancellationToken) {
        let mut timer = tokio::time::interval(self.poll_interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => {}
                Ok(()) = wake.changed() => {}
                Some(request) = self.requests.recv() => waiting.push(request),
            }
            while let Ok(request) = self.requests.try_recv() {
                waiting.push(request);
            }
            let loaded = self.load().await;
            match &loaded {
                Ok(()) if failing => tracing::info!("the Central Management store answers again"),
                Err(error) if !failing => {
                    tracing::warn!(%error, "no new snapshot; phones are served from the last one");
                }
                Ok(()) | Err(_) => {}
            }
            failing = loaded.is_err();
            for done in waiting {
                // Whoever asked may be gone.
                let _ = done.send(());
            }
        }
    }

    /// Loads the rules when they changed, and looks at every file each time: one that was deleted by hand (row X28) must
    /// not be offered.
    async fn load(&mut self) -> Result<(), StoreError> {
        let generation = self.database.generation().await?;
        let current = self.plane.snapshot.load_full();
        let rules = match current.as_deref() {
            Some(snapshot) if snapshot.rules.generation() == generation => Arc::clone(&snapshot.rules),
            _ => Arc::new(self.database.load_rule_set(&self.pool).await?),
        };
        let servable = match self.look(&rules).await {
            Some(servable) => Arc::new(servable),
            None => current.as_ref().map(|current| Arc::clone(&current.servable)).unwrap_or_default(),
        };
        if current.is_none_or(|current| current.rules.generation() != generation) {
            tracing::info!(generation, rules = rules.rule_count(), "phones are answered from a new snapshot");
        }
        self.plane.snapshot.store(Some(Arc::new(Snapshot { rules, servable })));
        Ok(())
    }

    /// What the replica holds; none while a hung share does not say. One look at a time: those that hang would pile up.
    async fn look(&mut self, rules: &Arc<RuleSet>) -> Option<Servable> {
        let look = self.look.get_or_insert_with(|| {
            let (rules, replica) = (Arc::clone(rules), self.plane.replica.clone());
            tokio::task::spawn_blocking(move || servable(&rules, &replica))
        });
        let Ok(looked) = tokio::time::timeout(LOOK_LIMIT, look).await else {
            tracing::warn!(folder = %self.plane.replica.display(), "the update files' folder does not answer");
            return None;
        };
        self.look = None;
        looked.ok()
    }
}

/// The files that stand in the replica with their full length. Their bytes were verified when they were written.
fn servable(rules: &RuleSet, replica: &Path) -> Servable {
    let stands = |path: &Path, size_bytes: u64| {
        std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size_bytes)
    };
    let files = rules.files().map(AsRef::as_ref);
    Servable::new(files.filter(|file| stands(&replica.join(file.path.as_str()), file.size_bytes)))
}
