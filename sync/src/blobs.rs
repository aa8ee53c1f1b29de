//! The shared file store, under the names that administrators know (PROTOCOL.md 8). Update files are created and never
//! changed; logs are written whole, again and again. Everything is staged beside the tree and moved into place, so that
//! nobody ever sees half a file. Where things stand is `BlobKey`; nothing else joins paths of the store.

mod error;
mod read;
mod steps;
mod sweep;
#[cfg(test)]
mod tests;

pub use error::BlobError;
pub use read::BlobReader;

use crate::disk::{self, Full, Place};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload, RenameOptions, RenameTargetMode,
};
use schema::package::{Digest, StorePath};
use schema::topology::{NodeName, ServiceId};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
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
    /// The same, but a folder goes with its last file. Never for what is staged or logged: another task may be about to
    /// put a file into the folder that goes.
    clearing: Arc<dyn ObjectStore>,
    folder: PathBuf,
    node: NodeName,
    run: Uuid,
    steps: Steps,
}

type Stored<T> = Result<T, object_store::Error>;

impl Blobs {
    /// The store in a local folder or mounted share, as `node` uses it. The folder must be there: one that is made where
    /// a share should be mounted would take files that no other node ever sees.
    pub fn open_folder(folder: &Path, node: &NodeName) -> Result<Self, BlobError> {
        let doing = || format!("opening the folder {}", folder.display());
        if !folder.is_dir() {
            let cause = "there is no such folder: mount the share, or make the folder".to_owned();
            return Err(BlobError::Unavailable { doing: doing(), cause });
        }
        let open = || LocalFileSystem::new_with_prefix(folder).map(|store| store.with_fsync(true));
        let failed = |cause: object_store::Error| BlobError::Unavailable { doing: doing(), cause: cause.to_string() };
        Ok(Self {
            store: Arc::new(open().map_err(failed)?),
            clearing: Arc::new(open().map_err(failed)?.with_automatic_cleanup(true)),
            folder: folder.to_owned(),
            node: node.clone(),
            run: Uuid::new_v4(),
            steps: Steps::default(),
        })
    }

    /// The folder of the whole store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a pool's update files on this machine: what a node serves from.
    pub fn update_folder(&self, service: &ServiceId) -> PathBuf {
        self.folder.join(service.as_str()).join(UPDATE_FOLDER)
    }

    /// Whether the store has room for so many bytes and keeps some free.
    pub async fn room(&self, needed_bytes: u64, reserve_bytes: u64) -> Result<(), BlobError> {
        let folder = self.folder.clone();
        let looked = async move { disk::room(Place::Store, &folder, needed_bytes, reserve_bytes) };
        let limit = self.steps.limits.step;
        Ok(self.steps.run(limit, || "looking for free space".to_owned(), looked).await??)
    }

    /// Puts an update file where nothing stands yet. The same bytes there already are as good as put; other bytes are
    /// an error. The bytes of `source` must have this digest. A crash leaves a staged file at most.
    pub async fn put_update_file(
        &self,
        service: &ServiceId,
        path: &StorePath,
        source: &Path,
        digest: Digest,
    ) -> Result<(), BlobError> {
        let target = BlobKey::Update(path).path(service);
        if let Some(held) = self.digest(&target).await? {
            same_bytes(&target, held, digest)?;
            return self.sync(&target).await;
        }
        let staged = self.staging(service);
        let copied = self.copy_in(source, &staged, &target).await?;
        if copied != digest {
            self.discard(&staged).await;
            return Err(BlobError::Changed { path: source.to_owned() });
        }
        match self.publish(&staged, &target, RenameTargetMode::Create).await? {
            Ok(()) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.discard(&staged).await;
                let in_the_way = || BlobError::Unavailable {
                    doing: format!("publishing {target}"),
                    cause: "something that is no file stands there: remove it".to_owned(),
                };
                same_bytes(&target, self.digest(&target).await?.ok_or_else(in_the_way)?, digest)
            }
            Err(error) => {
                self.discard(&staged).await;
                Err(self.failed(format!("publishing {target}"), &error, 0))
            }
        }
    }

    fn staging(&self, service: &ServiceId) -> ObjectPath {
        BlobKey::Staging { node: &self.node, run: self.run, id: Uuid::new_v4() }.path(service)
    }

    /// What a failed step means; a write says how many bytes it was about.
    fn failed(&self, doing: String, error: &object_store::Error, needed_bytes: u64) -> BlobError {
        if disk::is_full(error) {
            return Full::now(Place::Store, &self.folder, needed_bytes).into();
        }
        BlobError::Unavailable { doing, cause: error.to_string() }
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

    /// Moves a staged file to where it belongs.
    async fn publish(
        &self,
        staged: &ObjectPath,
        target: &ObjectPath,
        mode: RenameTargetMode,
    ) -> Result<Stored<()>, BlobError> {
        let options = RenameOptions::new().with_target_mode(mode);
        let (store, from, to) = (Arc::clone(&self.store), staged.clone(), target.clone());
        let moved = async move { store.rename_opts(&from, &to, options).await };
        self.step(|| format!("publishing {target}"), moved).await
    }

    /// Streams a local file into the store, below a name of its own, and returns the digest of what went in. `target` is
    /// where it will belong.
    async fn copy_in(&self, source: &Path, staged: &ObjectPath, target: &ObjectPath) -> Result<Digest, BlobError> {
        let doing = || format!("writing {target}");
        let reading = |error: std::io::Error| BlobError::Unavailable {
            doing: format!("reading {}", source.display()),
            cause: error.to_string(),
        };
        let mut file = File::open(source).map_err(reading)?;
        let size_bytes = file.metadata().map_err(reading)?.len();
        let failed = |error: object_store::Error| self.failed(doing(), &error, size_bytes);
        let (store, place) = (Arc::clone(&self.store), staged.clone());
        let begun = self.step(doing, async move { store.put_multipart(&place).await }).await?;
        let mut upload = begun.map_err(failed)?;
        let mut hasher = Sha256::new();
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let limit = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            let read = tokio::task::spawn_blocking(move || {
                let read = (&mut file).take(limit).read_to_end(&mut chunk);
                (file, chunk, read)
            });
            let (open, chunk, read) = read.await.expect("reading a file does not panic");
            file = open;
            let written = match read {
                Ok(0) => break,
                Ok(_) => {
                    hasher.update(&chunk);
                    self.step(doing, upload.put_part(PutPayload::from(chunk))).await.and_then(|put| put.map_err(failed))
                }
                Err(error) => Err(reading(error)),
            };
            if let Err(error) = written {
                // Completing after a failed part would publish a truncated object.
                self.abort(upload).await;
                return Err(error);
            }
        }
        let completed = self.long_step(doing, async move {
            let completed = upload.complete().await.map(|_| ());
            if completed.is_err() {
                // The file that could not be synced; what cannot be deleted either is swept later.
                let _ = upload.abort().await;
            }
            completed
        });
        match completed.await? {
            Ok(()) => Ok(Digest::new(hasher.finalize().into())),
            Err(error) => {
                self.discard(staged).await;
                Err(failed(error))
            }
        }
    }

    /// Removes the file of an upload that failed; what stays behind is swept later.
    async fn abort(&self, mut upload: Box<dyn MultipartUpload>) {
        let _ = self.step(String::new, async move { upload.abort().await }).await;
    }

    /// Removes a staged file; what stays behind in a crash is swept later. A name that object_store was still writing to
    /// (`name#1`) is one that it refuses to delete.
    async fn discard(&self, staged: &ObjectPath) {
        let path = self.folder.join(staged.as_ref());
        let removed = async move {
            let unfinished = path.file_name().map(|name| path.with_file_name(format!("{}#1", name.to_string_lossy())));
            let removed = unfinished.map_or(Ok(()), std::fs::remove_file);
            std::fs::remove_file(path).or(removed)
        };
        let _ = self.step(String::new, removed).await;
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

    /// Makes sure that a file which was found is on disk: who put it may have died before it said so.
    async fn sync(&self, path: &ObjectPath) -> Result<(), BlobError> {
        let doing = || format!("syncing {path}");
        let found = self.folder.join(path.as_ref());
        let synced = async move {
            File::open(&found)?.sync_all()?;
            found.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        let failed = |error: std::io::Error| BlobError::Unavailable { doing: doing(), cause: error.to_string() };
        self.long_step(doing, synced).await?.map_err(failed)
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

    /// Writes an audit log file whole, in place of what is there.
    pub async fn put_audit_log(&self, service: &ServiceId, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.put_log(service, &BlobKey::AuditLog(name), bytes).await
    }

    /// Writes an access log file whole, in place of what is there.
    pub async fn put_access_log(
        &self,
        service: &ServiceId,
        node: &NodeName,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        self.put_log(service, &BlobKey::AccessLog { node, name }, bytes).await
    }

    async fn put_log(&self, service: &ServiceId, key: &BlobKey<'_>, bytes: Bytes) -> Result<(), BlobError> {
        let path = key.path(service);
        let doing = || format!("writing {path}");
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let staged = self.staging(service);
        let (store, place) = (Arc::clone(&self.store), staged.clone());
        let put = async move { store.put(&place, PutPayload::from(bytes)).await.map(|_| ()) };
        let mut written = self.long_step(doing, put).await?;
        if written.is_ok() {
            written = self.publish(&staged, &path, RenameTargetMode::Overwrite).await?;
        }
        if let Err(error) = written {
            self.discard(&staged).await;
            return Err(self.failed(doing(), &error, size_bytes));
        }
        Ok(())
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

    /// Deletes staged files that a crash left behind: all that an earlier process of this node staged; of this one and
    /// of other nodes the old ones, because they may be importing.
    pub async fn sweep(&self, service: &ServiceId, now: Timestamp) -> Result<usize, BlobError> {
        let staging = self.folder.join(service.as_str()).join(STAGING_FOLDER);
        let doing = || format!("sweeping {}", staging.display());
        let (folder, node, run) = (staging.clone(), self.node.clone(), self.run.to_string());
        let swept = async move { sweep::sweep(&folder, node.as_str(), &run, now.into()) };
        let failed = |error: std::io::Error| BlobError::Unavailable { doing: doing(), cause: error.to_string() };
        self.long_step(doing, swept).await?.map_err(failed)
    }
}

impl StoredFile {
    /// The path of an update file below the update folder; none when it is no such path.
    pub fn store_path(&self) -> Option<StorePath> {
        let below = self.path.strip_prefix(UPDATE_FOLDER)?.strip_prefix('/')?;
        StorePath::parse(below).ok()
    }
}

fn same_bytes(path: &ObjectPath, held: Digest, offered: Digest) -> Result<(), BlobError> {
    if held == offered {
        return Ok(());
    }
    Err(BlobError::Conflict { path: path.to_string(), held, offered })
}
