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

/// The pause after a first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the end of the node waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keeper of a node's snapshots.
pub(super) struct SnapshotKeeper {
    folder: Arc<SnapshotFolder>,
    plane: Arc<PhonePlane>,
    /// What the newest file holds, and which it is.
    kept: Option<Kept>,
    job: Option<JoinHandle<io::Result<Kept>>>,
    /// Since when it fails, at the last attempt, and until when no other is made.
    failing: Option<Backoff>,
}

struct Kept {
    mark: StoreMark,
    path: PathBuf,
    /// When it was last written down that the store confirms it; never by this process when none.
    confirmed: Option<Instant>,
}

/// A pause that doubles with each failure: rules that cannot be kept are not rendered anew at every look at the store.
#[derive(Clone, Copy)]
struct Backoff {
    until: Instant,
    pause: Duration,
}

impl Backoff {
    fn after(before: Option<Self>, now: Instant) -> Self {
        let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
        Self { until: now + pause, pause }
    }
}

impl SnapshotKeeper {
    pub(super) fn new(folder: Arc<SnapshotFolder>, plane: Arc<PhonePlane>) -> Self {
        Self { folder, plane, kept: None, job: None, failing: None }
    }

    /// These rules stand in this file already. How old they are said to be is mended when the store first confirms them.
    pub(super) fn found(&mut self, mark: StoreMark, path: PathBuf) {
        self.kept = Some(Kept { mark, path, confirmed: None });
    }

    /// The store has confirmed these rules just now: to be called at each such time.
    pub(super) fn confirmed(&mut self, rules: &Arc<RuleSet>) {
        let resting = self.failing.is_some_and(|backoff| Instant::now() < backoff.until);
        if self.job.is_some() || resting {
            return;
        }
        let (folder, rules, now) = (Arc::clone(&self.folder), Arc::clone(rules), self.plane.clock.now());
        let mark = rules.mark();
        let confirmed = Some(Instant::now());
        self.job = match &self.kept {
            Some(kept) if kept.mark == mark && is_recent(kept.confirmed) => return,
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
                if self.failing.is_some() {
                    tracing::info!(file = %kept.path.display(), "the rules are kept on disk again");
                }
                self.kept = Some(kept);
                self.failing = None;
            }
            Err(error) => {
                metrics.not_kept();
                if self.failing.is_none() {
                    tracing::error!(
                        %error,
                        "the rules could not be kept on disk; if this node is restarted while the Central Management store \
                         is down, its phones get older ones"
                    );
                }
                // Whatever stands there now: the next time it is written anew.
                self.kept = None;
                self.failing = Some(Backoff::after(self.failing, Instant::now()));
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

fn is_recent(confirmed: Option<Instant>) -> bool {
    confirmed.is_some_and(|at| at.elapsed() < CONFIRM_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures_grow_up_to_a_minute() {
        let now = Instant::now();
        let mut backoff = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let next = Backoff::after(backoff, now);
            assert_eq!(next.until, now + next.pause);
            pauses.push(next.pause.as_secs());
            backoff = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_was_found_on_disk_is_confirmed_at_the_first_chance() {
        assert!(!is_recent(None));
        assert!(is_recent(Some(Instant::now())));
    }
}
