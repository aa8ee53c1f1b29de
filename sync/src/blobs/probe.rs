//! Whether a store can be trusted: some servers accept a second file under a name that is taken, although they were asked
//! not to, and then two imports could change what phones were told is fixed. Tried before the first file is put, with
//! names that are staged ones, so that what a crash leaves is swept.

use super::{BlobError, Blobs, STAGING_FOLDER, Stored};
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RenameTargetMode};
use schema::topology::ServiceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use uuid::Uuid;

const FIRST: &[u8] = b"the first of two files under one name";
const SECOND: &[u8] = b"the second, which a store must refuse";

/// What is known of the store.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// It keeps what it must, as far as it was tried.
    kept: AtomicBool,
    /// One try at a time.
    trying: Mutex<()>,
}

impl Blobs {
    /// Whether the store answers and can be trusted, within `limit`: tries it out if this process has not yet, and asks for
    /// a sign of life otherwise.
    pub async fn look(&self, service: &ServiceId, limit: Duration) -> Result<(), BlobError> {
        let looked = async {
            match self.trust.kept.load(Ordering::Acquire) {
                true => self.sign_of_life().await,
                false => self.prove(service).await,
            }
        };
        let silent = || BlobError::Unavailable {
            doing: format!("asking {}", self.name),
            cause: format!("no answer within {} s", limit.as_secs_f32()),
        };
        tokio::time::timeout(limit, looked).await.map_err(|_| silent())?
    }

    /// Tries the store out, unless this process has.
    pub(super) async fn prove(&self, service: &ServiceId) -> Result<(), BlobError> {
        let _trying = self.trust.trying.lock().await;
        if self.trust.kept.load(Ordering::Acquire) {
            return Ok(());
        }
        let [put, staged, moved] = std::array::from_fn(|_| self.staging(service));
        let tried = self.try_out(&put, &staged, &moved).await;
        for path in [&put, &staged, &moved] {
            self.discard(path).await;
        }
        tried?;
        self.trust.kept.store(true, Ordering::Release);
        Ok(())
    }

    async fn sign_of_life(&self) -> Result<(), BlobError> {
        let (store, place) = (Arc::clone(&self.store), self.nowhere());
        let doing = || format!("asking {}", self.name);
        match self.step(doing, async move { store.head(&place).await }).await? {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(doing(), &error, 0)),
        }
    }

    async fn try_out(&self, put: &ObjectPath, staged: &ObjectPath, moved: &ObjectPath) -> Result<(), BlobError> {
        let doing = || format!("trying out {}", self.name);
        let failed = |error: Error| self.failed(doing(), &error, FIRST.len() as u64);
        self.try_put(put, FIRST).await?.map_err(failed)?;
        self.must_refuse("a new file", self.try_put(put, SECOND).await?).await?;
        self.must_hold(put, FIRST).await?;
        self.try_put(staged, SECOND).await?.map_err(failed)?;
        self.publish(staged, moved, RenameTargetMode::Create).await?.map_err(failed)?;
        self.must_hold(moved, SECOND).await?;
        let again = self.publish(put, moved, RenameTargetMode::Create).await?;
        self.must_refuse("a file that was moved", again).await?;
        self.must_hold(moved, SECOND).await
    }

    async fn try_put(&self, path: &ObjectPath, bytes: &'static [u8]) -> Result<Stored<()>, BlobError> {
        let (store, place) = (Arc::clone(&self.store), path.clone());
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(Bytes::from_static(bytes));
        let put = async move { store.put_opts(&place, payload, options).await.map(|_| ()) };
        self.step(|| format!("trying out {}", self.name), put).await
    }

    /// Only a store that says that the name is taken is one that knows what it was asked.
    async fn must_refuse(&self, what: &str, answer: Stored<()>) -> Result<(), BlobError> {
        let why = match answer {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(()),
            Ok(()) => format!("it took {what} under a name that was taken"),
            Err(error) => {
                let doing = || format!("trying out whether {} refuses {what} under a name that is taken", self.name);
                let odd = format!("it did not refuse {what} under a name that was taken, but said: {error}");
                // It may have died in this moment.
                let (store, place) = (Arc::clone(&self.store), self.nowhere());
                match self.step(doing, async move { store.head(&place).await }).await? {
                    Ok(_) | Err(Error::NotFound { .. }) => odd,
                    Err(_) => return Err(self.failed(doing(), &error, 0)),
                }
            }
        };
        Err(BlobError::Untrustworthy { store: self.name.to_string(), why })
    }

    /// A name that nothing has.
    fn nowhere(&self) -> ObjectPath {
        ObjectPath::from(format!("{STAGING_FOLDER}/{}", Uuid::new_v4()))
    }

    async fn must_hold(&self, path: &ObjectPath, bytes: &'static [u8]) -> Result<(), BlobError> {
        let (store, place) = (Arc::clone(&self.store), path.clone());
        let doing = || format!("trying out {}", self.name);
        let read = async move { store.get(&place).await?.bytes().await };
        let why = match self.step(doing, read).await? {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => "it gave other bytes back than it took",
            Err(Error::NotFound { .. }) => "it did not have a file that it had just taken",
            Err(error) => return Err(self.failed(doing(), &error, 0)),
        };
        Err(BlobError::Untrustworthy { store: self.name.to_string(), why: why.to_owned() })
    }
}
