//! Steps of the store, each bounded in time: a share that hangs answers nothing, not even an error. A step that does not
//! end keeps its thread and its place until it does; when all places are taken, further steps are refused, so that a
//! share that hangs for days costs a few threads and no more.

use super::BlobError;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Steps that may be under way at one time, hung ones included.
const STEPS: usize = 16;

/// How long steps may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepLimits {
    /// Opening, reading or writing a piece, renaming, deleting.
    pub(super) step: Duration,
    /// What works through many bytes or names: syncing a large file, listing.
    pub(super) long_step: Duration,
}

impl Default for StepLimits {
    /// A share that is only slow writes and syncs a gigabyte well within five minutes.
    fn default() -> Self {
        Self { step: Duration::from_secs(30), long_step: Duration::from_secs(300) }
    }
}

/// Runs steps.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    places: Arc<Semaphore>,
    pub(super) limits: StepLimits,
}

impl Default for Steps {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(STEPS)), limits: StepLimits::default() }
    }
}

impl Steps {
    /// Runs one step, off the runtime's threads: object_store opens some files on the thread that asks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        doing: impl FnOnce() -> String,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let places = Arc::clone(&self.places);
        let work = async {
            let place = places.acquire_owned().await.expect("the semaphore is never closed");
            let runtime = Handle::current();
            let step = move || {
                let _place = place;
                runtime.block_on(step)
            };
            tokio::task::spawn_blocking(step).await
        };
        let cause = match tokio::time::timeout(limit, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s: is the share hung?", limit.as_secs_f32()),
        };
        Err(BlobError::Unavailable { doing: doing(), cause })
    }
}
