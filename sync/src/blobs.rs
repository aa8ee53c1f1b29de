//! The shared file store, under the names that administrators know (PROTOCOL.md 8). Update files are created and never
//! changed; logs are written whole, again and again. Everything is staged beside the tree and moved into place, so that
//! nobody ever sees half a file. Where things stand is `BlobKey`; nothing else joins paths of the store.

mod address;
mod bucket;
mod error;
mod folder;
mod probe;
mod put;
mod read;
mod steps;
mod sweep;
#[cfg(test)]
mod tests;

pub use address::{Provider, StoreAddress};
pub use bucket::{BucketProblem, BucketSettings};
pub use error::BlobError;
pub use read::BlobReader;

use crate::disk::{self, Full, Place};
use bytes::Bytes;
use folder::{EmptyFolders, Folder};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use probe::Trust;
use schema::package::{Digest, StorePath};
use schema::topology::{NodeName, ServiceId};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steps::Steps;
use uuid::Uuid;

/// Bytes that are read, hashed and written at a time.
const CHUNK_BYTES: usize = 1 << 20;

const STAGING_FOLDER: &str = ".incoming";
const UPDATE_FOLDER: &str = "DeviceUpdateStore";
const LOG_FOLDER: &str = "DeviceUpdateLogs";

/// What stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobKey<'a> {
    /// A file of an update.
    Update(&'a StorePath),
    /// A request audit log file, by its name.
    AuditLog(&'a str),
    /// An access log file (ours: the original's are IIS' own, on each server).
    AccessLog {
        /// The node that wrote it.
        node: &'a NodeName,
        /// Its name.
        name: &'a str,
    },
    /// A file on its way in: in a folder of the node that brings it, under a name that begins with that of the process.
    Staging {
        /// The node.
        node: &'a NodeName,
        /// The process: one start of the node.
        run: Uuid,
        /// The file.
        id: Uuid,
    },
}

impl BlobKey<'_> {
    /// The path below the store's root.
    pub fn path(&self, service: &ServiceId) -> ObjectPath {
        let folder = ObjectPath::from(service.as_str());
        match self {
            Self::Update(path) => path.as_str().split('/').fold(folder.join(UPDATE_FOLDER), ObjectPath::join),
            Self::AuditLog(name) => {
                let segments = [LOG_FOLDER, "Server", "Audit", "ImageUpdates", name];
                segments.into_iter().fold(folder, |path, segment| path.join(PathPart::from(segment)))
            }
            Self::AccessLog { node, name } => {
                let segments = [LOG_FOLDER, "Server", "Access", node.as_str(), name];
                segments.into_iter().fold(folder, |path, segment| path.join(PathPart::from(segment)))
            }
            Self::Staging { node, run, id } => {
                folder.join(STAGING_FOLDER).join(node.as_str()).join(format!("{run}-{id}"))
            }
        }
    }
}

/// A file of the store, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path below the pool's folder.
    pub path: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// The shared file store.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The same, but a folder goes with its last file.
    clearing: Arc<dyn ObjectStore>,
    /// The same, if it is a folder.
    folder: Option<Folder>,
    /// What people call it.
    name: Arc<str>,
    node: NodeName,
    run: Uuid,
    steps: Steps,
    trust: Arc<Trust>,
}

type Stored<T> = Result<T, object_store::Error>;

impl Blobs {
    /// The store as `node` uses it. Nothing is looked at yet but the files that `settings` name: a store that is down keeps
    /// nobody from starting.
    pub fn open(address: &StoreAddress, settings: &BucketSettings, node: &NodeName) -> Result<Self, BucketProblem> {
        let (store, clearing, folder): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>, _) = match address {
            StoreAddress::Folder(path) => {
                let folder = Folder::new(path, EmptyFolders::Stay);
                (Arc::new(folder.clone()), Arc::new(Folder::new(path, EmptyFolders::Go)), Some(folder))
            }
            StoreAddress::Bucket { provider, bucket, prefix } => {
                let store = bucket::open(*provider, bucket, prefix, settings)?;
                (Arc::clone(&store), store, None)
            }
        };
        let at = settings.endpoint.as_ref().filter(|_| folder.is_none()).map(|endpoint| format!(" at {endpoint}"));
        Ok(Self {
            store,
            clearing,
            folder,
            name: format!("the file store {address}{}", at.unwrap_or_default()).into(),
            node: node.clone(),
            run: Uuid::new_v4(),
            steps: Steps::default(),
            trust: Arc::default(),
        })
    }

    /// The store in a folder.
    pub fn open_folder(folder: &Path, node: &NodeName) -> Result<Self, BucketProblem> {
        Self::open(&StoreAddress::Folder(folder.to_owned()), &BucketSettings::default(), node)
    }

    /// The folder of a pool's update files on this machine, if the store is a folder.
    pub fn update_folder(&self, service: &ServiceId) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.root().join(service.as_str()).join(UPDATE_FOLDER))
    }

    /// Whether the store has room for so many bytes and keeps some free. A bucket is believed to have.
    pub async fn room(&self, needed_bytes: u64, reserve_bytes: u64) -> Result<(), BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let looked = async move { disk::room(Place::Store, folder.root(), needed_bytes, reserve_bytes) };
        let limit = self.steps.limits.step;
        Ok(self.steps.run(limit, || "looking for free space".to_owned(), looked).await??)
    }

    /// What a failed step means; a write says how many bytes it was about.
    fn failed(&self, doing: String, error: &object_store::Error, needed_bytes: u64) -> BlobError {
        match &self.folder {
            Some(folder) if disk::is_full(error) => Full::now(Place::Store, folder.root(), needed_bytes).into(),
            _ => BlobError::Unavailable { doing, cause: error.to_string() },
        }
    }

    async fn step<T: Send + 'static>(
        &self,
        doing: impl FnOnce() -> String,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.steps.run(self.steps.limits.step, doing, step).await
    }

    async fn long_step<T: Send + 'static>(
        &self,
        doing: impl FnOnce() -> String,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.steps.run(self.steps.limits.long_step, doing, step).await
    }

    /// The digest of what stands there, or none.
    async fn digest(&self, path: &ObjectPath) -> Result<Option<Digest>, BlobError> {
        let doing = || format!("reading {path}");
        let (store, place) = (Arc::clone(&self.store), path.clone());
        let mut stream = match self.step(doing, async move { store.get(&place).await }).await? {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(doing(), &error, 0)),
        };
        let mut hasher = Sha256::new();
        loop {
            let piece = async move {
                let mut bytes = Vec::with_capacity(CHUNK_BYTES);
                while bytes.len() < CHUNK_BYTES {
                    match stream.next().await.transpose()? {
                        Some(chunk) => bytes.extend_from_slice(&chunk),
                        None => break,
                    }
                }
                Ok::<_, object_store::Error>((stream, bytes))
            };
            let (rest, bytes) = self.step(doing, piece).await?.map_err(|error| self.failed(doing(), &error, 0))?;
            stream = rest;
            if bytes.is_empty() {
                return Ok(Some(Digest::new(hasher.finalize().into())));
            }
            hasher.update(&bytes);
        }
    }

    /// Deletes an update file; one that is not there is as good as deleted.
    pub async fn delete_update_file(&self, service: &ServiceId, path: &StorePath) -> Result<(), BlobError> {
        self.delete(&self.clearing, BlobKey::Update(path).path(service)).await
    }

    /// Deletes a file that [`Blobs::logs`] listed.
    pub async fn delete_log(&self, service: &ServiceId, file: &StoredFile) -> Result<(), BlobError> {
        self.delete(&self.store, ObjectPath::from(format!("{service}/{}", file.path))).await
    }

    async fn delete(&self, store: &Arc<dyn ObjectStore>, path: ObjectPath) -> Result<(), BlobError> {
        let (store, place) = (Arc::clone(store), path.clone());
        let doing = || format!("deleting {path}");
        match self.step(doing, async move { store.delete(&place).await }).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(doing(), &error, 0)),
        }
    }

    /// An audit log file's bytes; none when there is no such file.
    pub async fn audit_log(&self, service: &ServiceId, name: &str) -> Result<Option<Bytes>, BlobError> {
        self.log(service, &BlobKey::AuditLog(name)).await
    }

    /// An access log file's bytes; none when there is no such file.
    pub async fn access_log(
        &self,
        service: &ServiceId,
        node: &NodeName,
        name: &str,
    ) -> Result<Option<Bytes>, BlobError> {
        self.log(service, &BlobKey::AccessLog { node, name }).await
    }

    async fn log(&self, service: &ServiceId, key: &BlobKey<'_>) -> Result<Option<Bytes>, BlobError> {
        let path = key.path(service);
        let doing = || format!("reading {path}");
        let (store, place) = (Arc::clone(&self.store), path.clone());
        let read = async move { store.get(&place).await?.bytes().await };
        match self.long_step(doing, read).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(doing(), &error, 0)),
        }
    }

    /// All update files of a pool, whether a rule refers to them or not.
    pub async fn update_files(&self, service: &ServiceId) -> Result<Vec<StoredFile>, BlobError> {
        self.list(service, UPDATE_FOLDER).await
    }

    /// All audit files and device logs of a pool.
    pub async fn logs(&self, service: &ServiceId) -> Result<Vec<StoredFile>, BlobError> {
        self.list(service, LOG_FOLDER).await
    }

    async fn list(&self, service: &ServiceId, folder: &str) -> Result<Vec<StoredFile>, BlobError> {
        let root = ObjectPath::from(service.as_str());
        let prefix = root.clone().join(folder);
        let doing = || format!("listing {prefix}");
        let (store, place) = (Arc::clone(&self.store), prefix.clone());
        let listed = async move { store.list(Some(&place)).try_collect::<Vec<ObjectMeta>>().await };
        let listed = self.long_step(doing, listed).await?.map_err(|error| self.failed(doing(), &error, 0))?;
        let mut files: Vec<StoredFile> = listed
            .into_iter()
            .map(|meta| StoredFile {
                path: meta.location.prefix_match(&root).map_or_else(String::new, |parts| {
                    let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
                    parts.join("/")
                }),
                size_bytes: meta.size,
                modified: Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or(Timestamp::MAX),
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

impl StoredFile {
    /// The path of an update file below the update folder; none when it is no such path.
    pub fn store_path(&self) -> Option<StorePath> {
        let below = self.path.strip_prefix(UPDATE_FOLDER)?.strip_prefix('/')?;
        StorePath::parse(below).ok()
    }
}
