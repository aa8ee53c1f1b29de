//! The shared file store, under the names that administrators know (PROTOCOL.md 8). Update files are created and never
//! changed; logs are written whole, again and again. Everything is staged beside the tree and moved into place, so that
//! nobody ever sees half a file. Where things stand is `BlobKey`; nothing else joins paths of the store.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{
    MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RenameOptions, RenameTargetMode,
};
use schema::package::{Digest, StorePath};
use schema::topology::ServiceId;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

/// Bytes that are read, hashed and written at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Staged files older than this belong to no import that still runs.
const STAGING_AGE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// A file on its way in.
    Staging(Uuid),
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
            Self::Staging(id) => folder.join(STAGING_FOLDER).join(id.to_string()),
        }
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Another file stands where this one belongs.
    #[error(
        "the store already holds another file at {path}: SHA-256 {held}, the package's is {offered}; if no rule uses it, `ucupdates clear files` removes it"
    )]
    Conflict {
        /// Where, below the store's root.
        path: String,
        /// The digest of the file that is there.
        held: Digest,
        /// The digest of the file that was to be put there.
        offered: Digest,
    },
    /// The bytes changed between unpacking and storing.
    #[error("{path} has other bytes than a moment ago; import the package again")]
    Changed {
        /// The file that was read.
        path: PathBuf,
    },
    /// The store, or the disk below it, failed.
    #[error("the file store failed while {doing}: {cause}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// What it said.
        cause: String,
    },
}

fn unavailable(doing: impl Into<String>) -> impl FnOnce(object_store::Error) -> BlobError {
    move |cause| BlobError::Unavailable { doing: doing.into(), cause: cause.to_string() }
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
    folder: PathBuf,
}

impl Blobs {
    /// The store in a local folder or mounted share. The folder must be there: one that is made where a share should be
    /// mounted would take files that no other node ever sees.
    pub fn open_folder(folder: &Path) -> Result<Self, BlobError> {
        let doing = || format!("opening the folder {}", folder.display());
        if !folder.is_dir() {
            let cause = "there is no such folder: mount the share, or make the folder".to_owned();
            return Err(BlobError::Unavailable { doing: doing(), cause });
        }
        let store = LocalFileSystem::new_with_prefix(folder).map_err(unavailable(doing()))?;
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), folder: folder.to_owned() })
    }

    /// The folder of a pool's update files on this machine: what a node serves from.
    pub fn update_folder(&self, service: &ServiceId) -> PathBuf {
        self.folder.join(service.as_str()).join(UPDATE_FOLDER)
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
            return same_bytes(&target, held, digest);
        }
        let staged = BlobKey::Staging(Uuid::new_v4()).path(service);
        let copied = self.copy_in(source, &staged).await?;
        if copied != digest {
            self.discard(&staged).await;
            return Err(BlobError::Changed { path: source.to_owned() });
        }
        let options = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
        match self.store.rename_opts(&staged, &target, options).await {
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
                Err(unavailable(format!("publishing {target}"))(error))
            }
        }
    }

    /// Streams a local file into the store and returns the digest of what went in.
    async fn copy_in(&self, source: &Path, target: &ObjectPath) -> Result<Digest, BlobError> {
        let doing = || format!("writing {target}");
        let mut upload = self.store.put_multipart(target).await.map_err(unavailable(doing()))?;
        let result = async {
            let mut hasher = Sha256::new();
            let mut file = tokio::fs::File::open(source).await?;
            loop {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let limit = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
                if (&mut file).take(limit).read_to_end(&mut chunk).await? == 0 {
                    break;
                }
                hasher.update(&chunk);
                upload.put_part(PutPayload::from(chunk)).await?;
            }
            upload.complete().await?;
            Ok::<_, std::io::Error>(Digest::new(hasher.finalize().into()))
        }
        .await;
        match result {
            Ok(digest) => Ok(digest),
            Err(cause) => {
                // Completing after a failed part would publish a truncated object.
                let _ = upload.abort().await;
                Err(BlobError::Unavailable { doing: doing(), cause: cause.to_string() })
            }
        }
    }

    /// Removes a staged file; what stays behind in a crash is swept later.
    async fn discard(&self, staged: &ObjectPath) {
        let _ = self.store.delete(staged).await;
    }

    /// The digest of what stands there, or none.
    async fn digest(&self, path: &ObjectPath) -> Result<Option<Digest>, BlobError> {
        let doing = || format!("reading {path}");
        let mut stream = match self.store.get(path).await {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(unavailable(doing())(error)),
        };
        let mut hasher = Sha256::new();
        while let Some(chunk) = stream.next().await {
            hasher.update(&chunk.map_err(unavailable(doing()))?);
        }
        Ok(Some(Digest::new(hasher.finalize().into())))
    }

    /// Deletes an update file; one that is not there is as good as deleted.
    pub async fn delete_update_file(&self, service: &ServiceId, path: &StorePath) -> Result<(), BlobError> {
        self.delete_path(&BlobKey::Update(path).path(service)).await
    }

    /// Deletes a file that [`Blobs::logs`] listed.
    pub async fn delete_log(&self, service: &ServiceId, file: &StoredFile) -> Result<(), BlobError> {
        self.delete_path(&ObjectPath::from(format!("{service}/{}", file.path))).await
    }

    async fn delete_path(&self, path: &ObjectPath) -> Result<(), BlobError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unavailable(format!("deleting {path}"))(error)),
        }
    }

    /// Writes an audit log file whole, in place of what is there.
    pub async fn put_audit_log(&self, service: &ServiceId, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        let path = BlobKey::AuditLog(name).path(service);
        let written = self.store.put_opts(&path, PutPayload::from(bytes), PutMode::Overwrite.into()).await;
        written.map(|_| ()).map_err(unavailable(format!("writing {path}")))
    }

    /// An audit log file's bytes; none when there is no such file.
    pub async fn audit_log(&self, service: &ServiceId, name: &str) -> Result<Option<Bytes>, BlobError> {
        let path = BlobKey::AuditLog(name).path(service);
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(unavailable(format!("reading {path}"))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unavailable(format!("reading {path}"))(error)),
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
        let listed: Vec<_> =
            self.store.list(Some(&prefix)).try_collect().await.map_err(unavailable(format!("listing {prefix}")))?;
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

    /// Deletes staged files that a crash left behind. Other nodes may be importing, so young ones stay.
    pub async fn sweep(&self, service: &ServiceId, now: Timestamp) -> Result<usize, BlobError> {
        let mut swept = 0;
        for file in self.list(service, STAGING_FOLDER).await? {
            let age = now.duration_since(file.modified);
            if age.unsigned_abs() > STAGING_AGE_LIMIT && age.is_positive() {
                self.delete_path(&ObjectPath::from(format!("{service}/{}", file.path))).await?;
                swept += 1;
            }
        }
        Ok(swept)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> ServiceId {
        ServiceId::parse("1-WebServices-1").unwrap()
    }

    fn store_in(folder: &Path) -> PathBuf {
        let store = folder.join("store");
        std::fs::create_dir(&store).unwrap();
        store
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = Blobs::open_folder(&folder.path().join("unmounted")).unwrap_err().to_string();
        assert!(error.contains("mount the share"), "{error}");
        assert!(!folder.path().join("unmounted").exists());
    }

    fn digest(bytes: &[u8]) -> Digest {
        Digest::new(Sha256::digest(bytes).into())
    }

    #[tokio::test]
    async fn an_update_file_is_created_once_and_never_changed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_folder(&store_in(folder.path())).unwrap();
        let path = StorePath::parse("UCPhone/LG-Nortel/IP 8540/A/ENU/3.5.6907.0/CPE/CPE.nbt").unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        std::fs::write(&first, b"image").unwrap();
        std::fs::write(&second, b"other").unwrap();
        blobs.put_update_file(&service(), &path, &first, digest(b"image")).await.unwrap();
        blobs.put_update_file(&service(), &path, &first, digest(b"image")).await.unwrap();
        let refused = blobs.put_update_file(&service(), &path, &second, digest(b"other")).await;
        assert!(matches!(refused, Err(BlobError::Conflict { held, .. }) if held == digest(b"image")), "{refused:?}");
        assert_eq!(std::fs::read(blobs.update_folder(&service()).join(path.as_str())).unwrap(), b"image");
        let listed = blobs.update_files(&service()).await.unwrap();
        assert_eq!(listed.iter().map(StoredFile::store_path).collect::<Vec<_>>(), [Some(path.clone())]);
        blobs.delete_update_file(&service(), &path).await.unwrap();
        blobs.delete_update_file(&service(), &path).await.unwrap();
        assert_eq!(blobs.update_files(&service()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn bytes_that_are_not_those_expected_are_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_folder(&store_in(folder.path())).unwrap();
        let source = folder.path().join("source");
        std::fs::write(&source, b"changed").unwrap();
        let path = StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap();
        let refused = blobs.put_update_file(&service(), &path, &source, digest(b"image")).await;
        assert!(matches!(refused, Err(BlobError::Changed { .. })), "{refused:?}");
        assert_eq!(blobs.update_files(&service()).await.unwrap(), []);
        assert_eq!(blobs.list(&service(), STAGING_FOLDER).await.unwrap(), []);
    }

    #[tokio::test]
    async fn logs_are_written_whole_and_old_staging_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_folder(folder.path()).unwrap();
        let name = "RequestHandlerAuditLog_node1_20090306.log";
        for text in ["one", "one two"] {
            blobs.put_audit_log(&service(), name, Bytes::from(text)).await.unwrap();
        }
        assert_eq!(blobs.audit_log(&service(), name).await.unwrap().unwrap(), "one two");
        assert_eq!(blobs.audit_log(&service(), "other.log").await.unwrap(), None);
        let logs = blobs.logs(&service()).await.unwrap();
        assert_eq!(logs[0].path, format!("DeviceUpdateLogs/Server/Audit/ImageUpdates/{name}"));
        let staged = folder.path().join("1-WebServices-1/.incoming");
        std::fs::create_dir_all(&staged).unwrap();
        std::fs::write(staged.join("left"), b"x").unwrap();
        let now = Timestamp::now();
        assert_eq!(blobs.sweep(&service(), now).await.unwrap(), 0);
        assert_eq!(blobs.sweep(&service(), now + Duration::from_secs(25 * 3600)).await.unwrap(), 1);
        blobs.delete_log(&service(), &logs[0]).await.unwrap();
        assert_eq!(blobs.logs(&service()).await.unwrap(), []);
    }
}
