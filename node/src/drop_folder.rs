//! The drop folder of a node: what administrators put there is imported as pending, by the one importer, and filed with
//! its report. A look from time to time is what counts; the kernel's word that a file was closed only hastens it. What
//! cannot be imported now (the Central Management store or the file store is down, a disk is full) stays and is tried
//! again; only what is wrong with the package itself is refused.

mod report;
mod silence;

use crate::api::{Admin, Incoming};
use crate::metrics::{DropEnd, Fault, ImportEnd};
use crate::snapshot::standing::DatabaseState;
use futures_util::{Stream, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use report::{Report, chain};
use schema::package::Digest;
use schema::store::{DryRun, StoreError};
use silence::Silence;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sync::drop_folder::{Claim, DropFolder, Look, Settling, Stamp, Verdict, Watch};
use sync::import::{ImportError, PoolSelection};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

/// Who imports, in the record of administrators' actions.
const ACTOR: &str = "drop folder";

/// Files that this node holds at a time because they could not be imported yet. The others stay where every node may take
/// them.
const MOST_CLAIMS: usize = 8;

/// Files that are taken between two looks.
const BATCH_FILES: usize = 16;

/// Bytes of a package that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The longest pause before a file is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A folder that has not answered for this long is told of.
const SLOW: Duration = Duration::from_secs(10);

/// What a drop folder is, and for whom.
#[derive(Debug, Clone)]
pub struct DropFolderSettings {
    /// The folder.
    pub folder: PathBuf,
    /// A file that has not changed for so long is whole.
    pub settle: SignedDuration,
    /// How often the folder is looked at.
    pub poll_interval: Duration,
    /// The pools that its packages are for.
    pub pools: PoolSelection,
    /// A node that has not reported for so long leaves its claims to others.
    pub silence: Duration,
}

/// A claim that waits for its next try.
struct PutOff {
    since: Timestamp,
    tries: u32,
    next_try: Instant,
    reason: String,
    /// What became of the package, when only filing it failed.
    finished: Option<Finished>,
}

/// What is left to do for a package: to file it.
#[derive(Clone)]
struct Finished {
    verdict: Verdict,
    end: DropEnd,
    digest: Option<Digest>,
    report: String,
}

struct Intake {
    admin: Arc<Admin>,
    settings: DropFolderSettings,
    folder: DropFolder,
    settling: Settling,
    silence: Silence,
    put_off: HashMap<OsString, PutOff>,
    /// Names that the log was told of already.
    told: HashSet<OsString>,
}

/// Serves the drop folder until `stop`. Cancellation may interrupt anything: what was claimed stays claimed, and is taken
/// up again by the next start, or by another node.
pub async fn run(admin: Arc<Admin>, settings: DropFolderSettings, stop: CancellationToken) {
    let folder = DropFolder::new(&settings.folder, &admin.node, &admin.pool.fqdn);
    let intake = Intake {
        folder,
        settling: Settling::new(settings.settle),
        silence: Silence::new(settings.silence),
        put_off: HashMap::new(),
        told: HashSet::new(),
        admin,
        settings,
    };
    stop.run_until_cancelled(Box::pin(intake.work())).await;
}

impl Intake {
    async fn work(mut self) {
        let mut watch: Option<Watch> = None;
        loop {
            if watch.is_none() {
                let folder = self.settings.folder.clone();
                watch = self.blocking(move || Watch::new(&folder)).await.ok();
            }
            let asked = watch.as_mut().map_or(Ok(false), Watch::ask);
            let closed = watch.as_ref().map(|watch| watch.closed().clone()).unwrap_or_default();
            let more = self.round(&closed).await;
            if asked.is_err() {
                watch = None;
            }
            if more {
                continue;
            }
            let pause = tokio::time::sleep(self.settings.poll_interval);
            match &mut watch {
                Some(watching) => tokio::select! {
                    () = pause => {}
                    seen = watching.wait() => if seen.is_err() { watch = None },
                },
                None => pause.await,
            }
        }
    }

    /// Off the runtime's threads. A share that hangs is told of, and waited for.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let mut work = tokio::task::spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut work => return done.expect("looking at files does not panic"),
                () = tokio::time::sleep(SLOW) => self.stands("it does not answer: is its share hung?"),
            }
        }
    }

    fn stands(&self, reason: &str) {
        let text = format!("packages wait in the drop folder {}: {reason}", self.settings.folder.display());
        if self.admin.plane.metrics.faults.stands(Fault::DropFolderWaits, &*text) {
            tracing::error!("{text}");
        }
    }

    /// Looks, and takes some of what is whole; whether there is more.
    async fn round(&mut self, closed: &HashSet<OsString>) -> bool {
        let folder = self.folder.clone();
        let look = match self.blocking(move || folder.look()).await {
            Ok(look) => look,
            Err(error) => {
                self.stands(&format!("it cannot be looked into: {error}"));
                return false;
            }
        };
        let now = self.admin.clock.now();
        let settled = self.settling.look(&look.candidates, closed, now);
        let waits = look.candidates.len() + look.claims.len();
        self.forget_what_is_gone(&look);
        let put_off = self.put_off.values().map(|put_off| put_off.since);
        let oldest = put_off.chain(self.settling.oldest()).min();
        self.admin.plane.metrics.drop_folder.waiting(waits, oldest, now);
        if waits + look.of_others.len() > 0 && self.admin.standings.now().database != DatabaseState::Answers {
            self.stands("the Central Management store does not answer");
            return false;
        }
        self.pass_over(&look.no_files);
        for claim in self.due(&look.claims) {
            self.attempt(claim).await;
        }
        for claim in self.abandoned(look.of_others).await {
            let folder = self.folder.clone();
            if let Ok(Some(claim)) = self.blocking(move || folder.take_over(&claim)).await {
                tracing::warn!(name = claim.shown(), "a package that a silent node had taken is taken over");
                self.attempt(claim).await;
            }
        }
        let mut taken = 0;
        let more = settled.len() > BATCH_FILES;
        for candidate in settled.into_iter().take(BATCH_FILES) {
            if self.put_off.len() >= MOST_CLAIMS {
                break;
            }
            if let Some(claim) = self.claim(candidate.name, candidate.stamp).await {
                self.attempt(claim).await;
                taken += 1;
            }
        }
        match self.put_off.values().min_by_key(|put_off| put_off.next_try) {
            Some(put_off) => self.stands(&put_off.reason),
            None => self.admin.plane.metrics.faults.is_over(Fault::DropFolderWaits),
        }
        more && taken > 0
    }

    fn forget_what_is_gone(&mut self, look: &Look) {
        self.put_off.retain(|name, _| look.claims.iter().any(|claim| claim.name == *name));
        let there = |name: &OsString| {
            look.no_files.contains(name) || look.candidates.iter().any(|candidate| candidate.name == *name)
        };
        self.told.retain(there);
    }

    /// What is named like a package and is none is left where it is.
    fn pass_over(&mut self, names: &[OsString]) {
        for name in names {
            if self.told.insert(name.clone()) {
                tracing::warn!(name = %name.display(), "what lies in the drop folder is no regular file; it is passed over");
            }
        }
    }

    /// This node's claims whose time has come: those of an earlier start at once.
    fn due(&self, claims: &[Claim]) -> Vec<Claim> {
        let next_try = |claim: &Claim| self.put_off.get(&claim.name).map(|put_off| put_off.next_try);
        let now = Instant::now();
        let mut due: Vec<Claim> =
            claims.iter().filter(|claim| next_try(claim).is_none_or(|at| at <= now)).cloned().collect();
        due.sort_by_key(next_try);
        due
    }

    async fn abandoned(&mut self, claims: Vec<Claim>) -> Vec<Claim> {
        if claims.is_empty() {
            self.silence.forget();
            return claims;
        }
        match self.admin.database.nodes().await {
            Ok(nodes) => self.silence.abandoned(claims, &nodes, Instant::now()),
            Err(_) => {
                // Who cannot ask knows nothing of others.
                self.silence.forget();
                Vec::new()
            }
        }
    }

    /// Takes a file that is whole, if this node can read it and nobody was faster.
    async fn claim(&mut self, name: OsString, stamp: Stamp) -> Option<Claim> {
        let (folder, named) = (self.folder.clone(), name.clone());
        let claimed = self.blocking(move || match folder.readable(&named)? {
            // It was written to after the look.
            now if now != stamp => Ok(None),
            _ => folder.claim(&named),
        });
        match claimed.await {
            Ok(claim) => claim,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.stays(&name, &error);
                None
            }
        }
    }

    fn stays(&mut self, name: &OsStr, error: &io::Error) {
        if self.told.insert(name.to_owned()) {
            let name = name.display();
            tracing::error!(%name, %error, "a package in the drop folder cannot be taken: let the node read it, and write the folder");
        }
    }

    /// Imports one claimed file and files it, or puts it off.
    async fn attempt(&mut self, claim: Claim) {
        let earlier = self.put_off.remove(&claim.name);
        let tries = earlier.as_ref().map_or(0, |put_off| put_off.tries);
        let since = earlier.as_ref().map_or_else(|| self.admin.clock.now(), |put_off| put_off.since);
        let finished = match earlier.and_then(|put_off| put_off.finished) {
            Some(finished) => Ok(Some(finished)),
            None => self.import(&claim).await,
        };
        let metrics = &self.admin.plane.metrics.drop_folder;
        let (reason, finished) = match finished {
            Ok(None) => return,
            Err(reason) => (format!("{}: {reason}", claim.shown()), None),
            Ok(Some(finished)) => match self.file(&claim, finished.clone()).await {
                Ok(()) => return metrics.ended(finished.end),
                Err(error) => (format!("{} cannot be moved: {error}", claim.shown()), Some(finished)),
            },
        };
        metrics.ended(DropEnd::PutOff);
        if tries == 0 {
            tracing::warn!("a package stays in the drop folder and is tried again: {reason}");
        }
        let pause = (self.settings.poll_interval * 2u32.saturating_pow(tries.min(16))).min(LONGEST_PAUSE);
        let pause = pause.div_f64(1.0 + rand::random::<f64>());
        let put_off = PutOff { since, tries: tries + 1, next_try: Instant::now() + pause, reason, finished };
        self.put_off.insert(claim.name, put_off);
    }

    /// What becomes of a package, none if it is gone; the error is why it must wait.
    async fn import(&self, claim: &Claim) -> Result<Option<Finished>, String> {
        let name = claim.shown();
        let report = Report { name: &name, node: &self.admin.node, at: self.admin.clock.now() };
        let opened = claim.clone();
        let (file, stamp) = match self.blocking(move || opened.open()).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(Some(report.refused(&error.to_string())));
            }
            Err(error) => return Err(error.to_string()),
        };
        let _slot = self.admin.imports.acquire().await.expect("the semaphore is never closed");
        let (size_bytes, pools) = (Some(stamp.size_bytes), self.settings.pools.clone());
        let incoming = Incoming { name: &name, size_bytes, pools, actor: ACTOR, dry_run: DryRun::No };
        match self.admin.take_in(incoming, bytes_of(file, claim.clone(), stamp)).await {
            Ok(taken) => {
                let (verdict, end) = match taken.end {
                    ImportEnd::Refused => (Verdict::Refused, DropEnd::Refused),
                    ImportEnd::Unchanged => (Verdict::Imported, DropEnd::Unchanged),
                    _ => (Verdict::Imported, DropEnd::Imported),
                };
                Ok(Some(report.of_card(verdict, end, &taken.card)))
            }
            Err(error) if is_refusal(&error) => Ok(Some(report.refused(&error.to_string()))),
            Err(error) => Err(chain(&error)),
        }
    }

    async fn file(&self, claim: &Claim, finished: Finished) -> io::Result<()> {
        let (folder, claim) = (self.folder.clone(), claim.clone());
        let name = claim.shown();
        let Finished { verdict, digest, report, .. } = finished;
        let filed = self.blocking(move || folder.file(&claim, verdict, digest, &report)).await?;
        match filed {
            Some(path) => tracing::info!(name, path = %path.display(), "a package from the drop folder was filed"),
            None => tracing::warn!(name, "another node has taken the package over meanwhile, and files it"),
        }
        Ok(())
    }
}

/// The bytes of a file; an error at the end if it was written to meanwhile.
fn bytes_of(file: File, claim: Claim, stamp: Stamp) -> impl Stream<Item = io::Result<bytes::Bytes>> {
    let bytes = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_BYTES);
    let end = stream::once(async move {
        let opened = tokio::task::spawn_blocking(move || claim.open()).await.map_err(io::Error::other)?;
        match opened {
            Ok((_, now)) if now != stamp => Err(io::Error::other("the file was written to while it was read")),
            // Another node has it now; the bytes are what they were.
            _ => Ok(bytes::Bytes::new()),
        }
    });
    bytes.chain(end)
}

/// Whether the package is at fault, and the same bytes would fare no better later.
fn is_refusal(error: &ImportError) -> bool {
    match error {
        ImportError::TooLarge { .. } => true,
        ImportError::Package(error) => !error.is_failure(),
        ImportError::Store(error) => matches!(error, StoreError::Refused(_) | StoreError::Absurd(_)),
        ImportError::Interrupted(_) | ImportError::Blob(_) | ImportError::Full(_) | ImportError::Local(_) => false,
    }
}
