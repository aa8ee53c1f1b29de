//! Keeps the rules on disk as they change, and how fresh they are. One job at a time, off the runtime's threads: a disk that
//! is full or hangs is told of and stops nothing.

use super::folder::{self, SnapshotFolder};
use crate::plane::PhonePlane;
use schema::rule_set::{RuleSet, StoreMark};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often it is written down that the store still confirms the rules on disk: after a restart they may be shown as this
/// much older than they are.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(30);

/// How long the end of the node waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keeper of a node's snapshots.
pub(super) struct SnapshotKeeper {
    folder: Arc<SnapshotFolder>,
    plane: Arc<PhonePlane>,
    /// What the newest file holds, and which it is.
    kept: Option<Kept>,
    job: Option<JoinHandle<io::Result<Kept>>>,
    failing: bool,
}

struct Kept {
    mark: StoreMark,
    path: PathBuf,
    confirmed: Instant,
}

impl SnapshotKeeper {
    pub(super) fn new(folder: Arc<SnapshotFolder>, plane: Arc<PhonePlane>) -> Self {
        Self { folder, plane, kept: None, job: None, failing: false }
    }

    /// These rules stand in this file already.
    pub(super) fn found(&mut self, mark: StoreMark, path: PathBuf) {
        self.kept = Some(Kept { mark, path, confirmed: Instant::now() });
    }

    /// The store has confirmed these rules just now: to be called at each such time.
    pub(super) fn confirmed(&mut self, rules: &Arc<RuleSet>) {
        if self.job.is_some() {
            return;
        }
        let (folder, rules, now) = (Arc::clone(&self.folder), Arc::clone(rules), self.plane.clock.now());
        let mark = rules.mark();
        let confirmed = Instant::now();
        self.job = match &self.kept {
            Some(kept) if kept.mark == mark && kept.confirmed.elapsed() < CONFIRM_INTERVAL => return,
            Some(kept) if kept.mark == mark => {
                let path = kept.path.clone();
                Some(tokio::task::spawn_blocking(move || {
                    folder::confirm(&path, now)?;
                    Ok(Kept { mark, path, confirmed })
                }))
            }
            _ => {
                Some(tokio::task::spawn_blocking(move || Ok(Kept { mark, path: folder.keep(now, &rules)?, confirmed })))
            }
        };
    }

    /// Waits until the job that runs is done; for ever when none does. May be dropped and called again.
    pub(super) async fn done(&mut self) {
        let Some(job) = &mut self.job else { return std::future::pending().await };
        let ended = job.await;
        self.job = None;
        let metrics = &self.plane.metrics.snapshots;
        match ended.map_err(io::Error::other).flatten() {
            Ok(kept) => {
                let new = self.kept.as_ref().is_none_or(|before| before.mark != kept.mark);
                if new {
                    metrics.kept();
                }
                if self.failing {
                    tracing::info!(file = %kept.path.display(), "the rules are kept on disk again");
                }
                self.kept = Some(kept);
                self.failing = false;
            }
            Err(error) => {
                metrics.not_kept();
                if !self.failing {
                    tracing::error!(
                        %error,
                        "the rules could not be kept on disk; if this node is restarted while the Central Management store \
                         is down, its phones get older ones"
                    );
                }
                // Whatever stands there now: the next time it is written anew.
                self.kept = None;
                self.failing = true;
            }
        }
    }

    /// Waits a while for the job that runs.
    pub(super) async fn finish(mut self) {
        if self.job.is_some() {
            let _ = tokio::time::timeout(PATIENCE, self.done()).await;
        }
    }
}
