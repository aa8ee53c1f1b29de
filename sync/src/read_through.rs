//! The one way from a phone's request to a file that this node does not hold: a wish, which the replication loop grants by
//! fetching the file now, once for all that wish it, and the file as it arrives. Neither the shared store nor the database
//! can be reached by these types.

use crate::replica::Replica;
use schema::package::UpdateFile;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Wishes that wait for the loop at one time.
const WISH_LIMIT: usize = 1024;

/// Why a file is not fetched now. Whoever asks may ask again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The last attempt failed, and it is too early for another.
    #[error("it could not be fetched: {0}")]
    Failed(String),
    /// As many files are read through as may be.
    #[error("as many files are fetched for phones as may be")]
    Busy,
    /// There is no room for it.
    #[error("the replica has no room for it")]
    NoRoom,
    /// Nothing came in time, or the loop does not run.
    #[error("the store does not answer")]
    Silent,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is known yet.
    Waiting,
    /// So many bytes are there, and may be wrong.
    Bytes(u64),
    /// All are there, and are what they should be.
    Verified,
    /// The rest will not come.
    Failed,
}

/// Somebody wants a file now.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) file: Arc<UpdateFile>,
    pub(crate) reply: oneshot::Sender<Result<watch::Receiver<Progress>, NotNow>>,
}

/// Asks for files.
#[derive(Debug, Clone)]
pub struct ReadThrough(mpsc::Sender<Wish>);

impl ReadThrough {
    /// The asking end, and the loop's.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (sender, wishes) = mpsc::channel(WISH_LIMIT);
        (Self(sender), wishes)
    }

    /// One that nobody answers: of a node without a loop.
    pub fn unanswered() -> Self {
        Self::new().0
    }

    /// The file as it arrives, from its first byte on. A store that is silent for so long is not waited for; the fetching
    /// goes on.
    pub async fn read(
        &self,
        replica: &Arc<Replica>,
        file: &Arc<UpdateFile>,
        patience: Duration,
    ) -> Result<Arriving, NotNow> {
        let arriving = async {
            let (reply, answer) = oneshot::channel();
            self.0.send(Wish { file: Arc::clone(file), reply }).await.map_err(|_| NotNow::Silent)?;
            let mut progress = answer.await.map_err(|_| NotNow::Silent)??;
            let begun = |progress: &Progress| match progress {
                Progress::Waiting => false,
                Progress::Bytes(bytes) => *bytes > 0,
                Progress::Verified | Progress::Failed => true,
            };
            match progress.wait_for(begun).await.as_deref() {
                Ok(Progress::Failed) | Err(_) => return Err(NotNow::Failed("the store failed".to_owned())),
                Ok(_) => {}
            }
            let (replica, digest, size_bytes) = (Arc::clone(replica), file.digest, file.size_bytes);
            let opening = tokio::task::spawn_blocking(move || replica.open_arriving(&digest, size_bytes));
            match opening.await.map_err(io::Error::other).flatten() {
                Ok(file) => Ok(Arriving { file: Arc::new(file), progress }),
                Err(error) => Err(NotNow::Failed(error.to_string())),
            }
        };
        tokio::time::timeout(patience, arriving).await.unwrap_or(Err(NotNow::Silent))
    }
}

/// A file that is on its way in. What of it is there may be sent on, but no answer may end before it is verified.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// Grows until it is whole.
    pub file: Arc<File>,
    progress: watch::Receiver<Progress>,
}

impl Arriving {
    /// Waits until the first so many bytes are there. An error when they will not come.
    pub async fn until(&mut self, bytes: u64) -> io::Result<()> {
        self.wait(|progress| matches!(progress, Progress::Bytes(there) if *there >= bytes)).await
    }

    /// Waits until the whole file is there and verified. An error when it is wrong, or will not come.
    pub async fn verified(&mut self) -> io::Result<()> {
        self.wait(|_| false).await
    }

    async fn wait(&mut self, enough: impl Fn(&Progress) -> bool) -> io::Result<()> {
        let ended = |progress: &Progress| matches!(progress, Progress::Verified | Progress::Failed);
        match self.progress.wait_for(|progress| ended(progress) || enough(progress)).await.as_deref() {
            Ok(Progress::Failed) | Err(_) => Err(io::Error::other("the file did not arrive whole from the store")),
            Ok(_) => Ok(()),
        }
    }
}
