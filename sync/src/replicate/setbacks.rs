//! What could not be fetched, and when it is tried again. A store that does not answer rests as a whole: one file's failure
//! is every file's.

use super::transfer::{FailureReason, FetchError};
use schema::package::{Digest, UpdateFile};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// The pause after a first failure of the store or the disk.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How often a wrong file is looked at again: a person has to mend it, and it may be large.
const WRONG_BYTES_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_WRONG_BYTES_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Setback {
    reason: FailureReason,
    told: String,
    tries: u32,
    until: Instant,
}

/// The setbacks of a node.
#[derive(Debug)]
pub(super) struct Setbacks {
    /// The longest pause of what mends itself: a store that is back is noticed within two polls.
    poll_interval: Duration,
    files: BTreeMap<Digest, Setback>,
    /// Since when the store fails: how often, and until when it is left alone.
    store: Option<(u32, Instant)>,
}

impl Setbacks {
    pub(super) fn new(poll_interval: Duration) -> Self {
        Self { poll_interval, files: BTreeMap::new(), store: None }
    }

    /// The file could not be fetched. Whether that is news.
    pub(super) fn failed(&mut self, file: &UpdateFile, error: &FetchError, now: Instant) -> bool {
        let before = self.files.get(&file.digest);
        let news = before.is_none_or(|before| before.reason != error.reason);
        let tries = before.filter(|_| !news).map_or(0, |before| before.tries + 1);
        let pause = self.pause(error.reason, tries);
        let until = now + pause;
        self.files.insert(file.digest, Setback { reason: error.reason, told: error.told.clone(), tries, until });
        if error.reason != FailureReason::Store {
            self.store = None;
            return news;
        }
        // The files that were under way fail together, and count once.
        let first = self.store.is_none();
        if self.store.is_none_or(|(_, until)| until <= now) {
            let tries = self.store.map_or(0, |(tries, _)| tries + 1);
            self.store = Some((tries, now + self.pause(FailureReason::Store, tries)));
        }
        news && first
    }

    fn pause(&self, reason: FailureReason, tries: u32) -> Duration {
        let (first, longest) = match reason {
            FailureReason::WrongBytes => (WRONG_BYTES_PAUSE, LONGEST_WRONG_BYTES_PAUSE),
            FailureReason::Store | FailureReason::Missing | FailureReason::Disk | FailureReason::NoRoom => {
                (FIRST_PAUSE, self.poll_interval)
            }
        };
        let pause = first.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(longest);
        pause.mul_f64(0.75 + rand::random::<f64>() / 4.0)
    }

    /// The file has arrived: the store answers, and what failed because it did not is tried at once.
    pub(super) fn arrived(&mut self, digest: &Digest) {
        self.files.retain(|other, setback| other != digest && setback.reason != FailureReason::Store);
        self.store = None;
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Digest) -> bool) {
        self.files.retain(|digest, _| keep(digest));
    }

    pub(super) fn store_rests(&self, now: Instant) -> bool {
        self.store.is_some_and(|(_, until)| until > now)
    }

    /// What is not tried now.
    pub(super) fn resting(&self, now: Instant) -> BTreeSet<Digest> {
        self.files.iter().filter(|(_, setback)| setback.until > now).map(|(digest, _)| *digest).collect()
    }

    /// Why a file is not fetched now; none when it may be.
    pub(super) fn of(&self, digest: &Digest, now: Instant) -> Option<String> {
        let setback = self.files.get(digest).filter(|setback| setback.until > now);
        let store = || self.store_rests(now).then(|| "the store does not answer".to_owned());
        setback.map(|setback| setback.told.clone()).or_else(store)
    }

    /// Why a file failed last, and how long it rests.
    pub(super) fn told(&self, digest: &Digest, now: Instant) -> Option<(FailureReason, String, Duration)> {
        let Setback { reason, told, until, .. } = self.files.get(digest)?;
        Some((*reason, told.clone(), until.saturating_duration_since(now)))
    }

    /// When something is tried again that rests.
    pub(super) fn next_try(&self, now: Instant) -> Option<Instant> {
        let files = self.files.values().map(|setback| setback.until);
        files.chain(self.store.map(|(_, until)| until)).filter(|at| *at > now).min()
    }
}
