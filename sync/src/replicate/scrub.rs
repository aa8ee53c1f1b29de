//! The scrub: once in an interval every file of the replica is hashed again, slowly. A damaged one is dropped, and the loop
//! fetches it anew; one that rules need and that the store has lost is put back there.

use super::counts::Counts;
use crate::blobs::Blobs;
use crate::pace::Pace;
use crate::plan::{Need, wanted};
use crate::replica::{Held, Replica};
use schema::package::{Digest, UpdateFile};
use schema::rule_set::RuleSet;
use schema::topology::ServiceId;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a scrub reads of the disk in a second at most: phones come first.
const SCRUBBED_BYTES_PER_S: u64 = 32 << 20;

/// Bytes that are read and hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The first round begins this part of an interval after the start: a node that is restarted every night is scrubbed too.
const FIRST_ROUND_PART: u32 = 24;

/// The scrub of a node, ready to run.
pub struct Scrub {
    pub(super) replica: Arc<Replica>,
    pub(super) blobs: Blobs,
    pub(super) service: ServiceId,
    pub(super) rules: watch::Receiver<Option<Arc<RuleSet>>>,
    pub(super) counts: Arc<Counts>,
}

impl Scrub {
    /// Runs a round every `interval` until `stop`. Cancellation may interrupt anywhere: the next round begins anew.
    pub async fn run(self, interval: Duration, stop: CancellationToken) {
        let pace = Pace::new(SCRUBBED_BYTES_PER_S);
        let rounds = async {
            tokio::time::sleep(interval / FIRST_ROUND_PART).await;
            loop {
                if let Err(error) = self.round(&pace).await {
                    tracing::warn!(%error, "the replica could not be scrubbed");
                }
                tokio::time::sleep(interval).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    async fn round(&self, pace: &Pace) -> io::Result<()> {
        let replica = Arc::clone(&self.replica);
        let held = blocking(move || replica.look()).await?;
        let needed = self.needed();
        for (digest, Held { size_bytes, .. }) in held {
            if self.is_whole(digest, size_bytes, pace).await? {
                if let Some(file) = needed.get(&digest) {
                    self.give_back(file).await;
                }
                continue;
            }
            self.counts.damaged();
            let path = needed.get(&digest).map(|file| file.path.to_string());
            tracing::error!(%digest, path, "a file of the replica is damaged: it is dropped and fetched anew; look at the disk");
            let replica = Arc::clone(&self.replica);
            blocking(move || replica.evict(&digest)).await?;
        }
        self.counts.round();
        Ok(())
    }

    /// What rules need, as of now.
    fn needed(&self) -> BTreeMap<Digest, Arc<UpdateFile>> {
        let Some(rules) = self.rules.borrow().clone() else { return BTreeMap::new() };
        let needed = wanted(&rules).into_iter().filter(|wanted| wanted.need != Need::None);
        needed.map(|wanted| (wanted.file.digest, wanted.file)).collect()
    }

    /// Whether the file has the bytes that its name says; one that has gone meanwhile is not damaged.
    async fn is_whole(&self, digest: Digest, size_bytes: u64, pace: &Pace) -> io::Result<bool> {
        let replica = Arc::clone(&self.replica);
        let opened = blocking(move || match replica.open_file(&digest, size_bytes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        });
        let Some(mut file) = opened.await? else { return Ok(true) };
        let mut hasher = Sha256::new();
        loop {
            pace.pass(CHUNK_BYTES as u64).await;
            let read = blocking(move || {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
                // A disk that cannot read its bytes has lost them.
                Ok((file, read.ok().map(|_| chunk)))
            });
            let (rest, chunk) = read.await?;
            let Some(chunk) = chunk else { return Ok(false) };
            if chunk.is_empty() {
                return Ok(Digest::new(hasher.finalize().into()) == digest);
            }
            self.counts.scrubbed(chunk.len() as u64);
            hasher.update(&chunk);
            file = rest;
        }
    }

    /// Puts a verified file back that the store has lost (row X28). Another file in its place is told of, and stays.
    async fn give_back(&self, file: &UpdateFile) {
        match self.blobs.has_update_file(&self.service, &file.path).await {
            Ok(false) => {}
            // A store that does not answer is others' to tell.
            Ok(true) | Err(_) => return,
        }
        let source = self.replica.path(&file.digest);
        let path = &file.path;
        match self.blobs.put_update_file(&self.service, path, &source, file.digest).await {
            Ok(()) => {
                self.counts.gave_back();
                tracing::warn!(%path, "the store had lost a file that rules need: it was put back from this node's replica");
            }
            Err(error) => {
                tracing::error!(%path, %error, "the store has lost a file that rules need, and it could not be put back")
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
