//! One file on its way from the store into the replica: resumed where an earlier transfer broke off, verified, taken in.

use super::counts::Counts;
use crate::blobs::{BlobError, BlobReader, Blobs};
use crate::pace::Pace;
use crate::read_through::Progress;
use crate::replica::{Part, Replica};
use schema::package::{Digest, UpdateFile};
use schema::topology::ServiceId;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;

/// Why a file could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The store does not answer, or failed.
    Store,
    /// The store has no such file.
    Missing,
    /// The store has other bytes under that name.
    WrongBytes,
    /// This node's disk failed, or is full.
    Disk,
    /// There is no room for it within the budget.
    NoRoom,
}

impl FailureReason {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Store, Self::Missing, Self::WrongBytes, Self::Disk, Self::NoRoom];

    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Missing => "missing",
            Self::WrongBytes => "wrong_bytes",
            Self::Disk => "disk",
            Self::NoRoom => "no_room",
        }
    }
}

/// A transfer that failed.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) reason: FailureReason,
    /// One sentence for people.
    pub(super) told: String,
}

impl FetchError {
    fn new(reason: FailureReason, told: impl Into<String>) -> Self {
        Self { reason, told: told.into() }
    }

    fn disk(error: &io::Error) -> Self {
        Self::new(FailureReason::Disk, format!("the replica's disk failed: {error}"))
    }
}

impl From<BlobError> for FetchError {
    fn from(error: BlobError) -> Self {
        Self::new(FailureReason::Store, error.to_string())
    }
}

/// A transfer that runs.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) file: Arc<UpdateFile>,
    pub(super) progress: watch::Sender<Progress>,
    /// A phone waits for it: the byte rate is not for this one.
    pub(super) urgent: AtomicBool,
    pub(super) began: Instant,
}

/// Where files come from, and go to.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) replica: Arc<Replica>,
    pub(super) blobs: Blobs,
    pub(super) service: ServiceId,
    pub(super) pace: Arc<Pace>,
    pub(super) counts: Arc<Counts>,
}

impl Transfer {
    pub(super) fn new(file: Arc<UpdateFile>) -> Arc<Self> {
        let progress = watch::Sender::new(Progress::Waiting);
        Arc::new(Self { file, progress, urgent: AtomicBool::new(false), began: Instant::now() })
    }

    /// How many bytes are there.
    pub(super) fn done_bytes(&self) -> u64 {
        match *self.progress.borrow() {
            Progress::Bytes(bytes) => bytes,
            Progress::Verified => self.file.size_bytes,
            Progress::Waiting | Progress::Failed => 0,
        }
    }

    /// Fetches the file. Cancellation leaves what came, to be gone on with.
    pub(super) async fn run(self: Arc<Self>, route: Route) -> Result<(), FetchError> {
        let fetched = self.fetch(&route).await;
        let progress = if fetched.is_ok() { Progress::Verified } else { Progress::Failed };
        self.progress.send_replace(progress);
        fetched
    }

    async fn fetch(&self, route: &Route) -> Result<(), FetchError> {
        let (digest, size_bytes) = (self.file.digest, self.file.size_bytes);
        let replica = Arc::clone(&route.replica);
        let part = blocking(move || Part::resume(&replica, &digest, size_bytes)).await?;
        let resumed = part.length_bytes > 0;
        self.progress.send_replace(Progress::Bytes(part.length_bytes));
        let part = match part.length_bytes < size_bytes || size_bytes == 0 {
            true => self.receive(route, part).await?,
            false => part,
        };
        let found = (part.digest(), part.length_bytes);
        if found != (digest, size_bytes) {
            // Nothing says that what a crash left was on disk: it may be this node's own fault, once.
            blocking(move || part.discard()).await?;
            return Err(if resumed { damaged_part() } else { self.wrong_bytes(found) });
        }
        let replica = Arc::clone(&route.replica);
        blocking(move || part.publish(&replica, &digest)).await
    }

    async fn receive(&self, route: &Route, mut part: Part) -> Result<Part, FetchError> {
        let opened = route.blobs.read_update_file(&route.service, &self.file.path, part.length_bytes).await?;
        let Some(mut reader) = opened else {
            let told = "the store has no such file; importing its package again brings it back";
            return Err(FetchError::new(FailureReason::Missing, told));
        };
        let mut next = reader.next().await?;
        while let Some(bytes) = next {
            if !self.urgent.load(Ordering::Relaxed) {
                route.pace.pass(bytes.len() as u64).await;
            }
            route.counts.fetched(bytes.len() as u64);
            let writing = blocking(move || part.append(&bytes).map(|()| part));
            let (written, read) = tokio::join!(writing, reader.next());
            part = written?;
            self.progress.send_replace(Progress::Bytes(part.length_bytes.min(self.file.size_bytes)));
            if part.length_bytes > self.file.size_bytes {
                break;
            }
            next = read?;
        }
        ended_early(&reader, &part, self.file.size_bytes)?;
        Ok(part)
    }

    fn wrong_bytes(&self, (found, length_bytes): (Digest, u64)) -> FetchError {
        let UpdateFile { digest, size_bytes, .. } = &*self.file;
        let told = match length_bytes == *size_bytes {
            true => format!("the store has other bytes there: SHA-256 {found}, {digest} is expected"),
            false => format!(
                "the store has {length_bytes} bytes there or more, {size_bytes} are expected: SHA-256 {found}, {digest} is expected"
            ),
        };
        FetchError::new(FailureReason::WrongBytes, format!("{told}; importing its package again says what to do"))
    }
}

/// A store that ends before the length that it told itself broke off: what came is gone on with. One that tells a shorter
/// length has another file.
fn ended_early(reader: &BlobReader, part: &Part, size_bytes: u64) -> Result<(), FetchError> {
    match part.length_bytes < size_bytes && reader.size_bytes == size_bytes {
        true => Err(FetchError::new(FailureReason::Store, "the store ended the file before its end")),
        false => Ok(()),
    }
}

fn damaged_part() -> FetchError {
    FetchError::new(FailureReason::Disk, "what an earlier transfer left was damaged; it is fetched anew")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| FetchError::disk(&error))
}
