//! Puts files into the store so that nobody ever sees half of one. Into a folder: staged beside the tree, synced, moved.
//! Into a bucket: a small file by one request, which is whole or not there; a large one piece by piece, staged, and then
//! copied by the server (decision record 0028). Where nothing may stand yet, the store itself sees to that.

use super::{BlobError, BlobKey, Blobs, CHUNK_BYTES, Stored};
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyMode, CopyOptions, Error, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RenameOptions, RenameTargetMode,
};
use schema::package::{Digest, StorePath};
use schema::topology::{NodeName, ServiceId};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of a piece of a bucket's file, and of a file that goes in by one request. S3 wants 5 MiB at least, and takes
/// 10,000 pieces.
const PIECE_BYTES: usize = 8 << 20;

/// A file whose bytes are on their way in.
struct Source<'a> {
    path: &'a Path,
    file: File,
    size_bytes: u64,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> Result<Self, BlobError> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size_bytes, file) = opened.map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, file, size_bytes })
    }

    /// The next bytes; none at the end.
    async fn next(&mut self, most_bytes: usize) -> Result<Vec<u8>, BlobError> {
        let mut file = self.file.try_clone().map_err(|error| unreadable(self.path, &error))?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(most_bytes);
            (&mut file).take(most_bytes as u64).read_to_end(&mut bytes).map(|_| bytes)
        });
        read.await.expect("reading a file does not panic").map_err(|error| unreadable(self.path, &error))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> BlobError {
    BlobError::Unavailable { doing: format!("reading {}", path.display()), cause: error.to_string() }
}

impl Blobs {
    /// Puts an update file where nothing stands yet. The same bytes there already are as good as put; other bytes are
    /// an error. The bytes of `source` must have this digest. A crash leaves a staged file at most. Nothing is put into a
    /// store that cannot be trusted.
    pub async fn put_update_file(
        &self,
        service: &ServiceId,
        path: &StorePath,
        source: &Path,
        digest: Digest,
    ) -> Result<(), BlobError> {
        self.prove(service).await?;
        let target = BlobKey::Update(path).path(service);
        if let Some(held) = self.digest(&target).await? {
            same_bytes(&target, held, digest)?;
            return self.sync(&target).await;
        }
        let source = Source::open(source)?;
        let put = match self.folder.is_none() && source.size_bytes <= PIECE_BYTES as u64 {
            true => self.put_whole(source, &target, digest).await?,
            false => self.put_in_pieces(service, source, &target, digest).await?,
        };
        match put {
            Ok(()) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                let in_the_way = || BlobError::Unavailable {
                    doing: format!("publishing {target}"),
                    cause:
                        "something stands there that is no file, or another import writes it: try again, or remove it"
                            .to_owned(),
                };
                same_bytes(&target, self.digest(&target).await?.ok_or_else(in_the_way)?, digest)
            }
            Err(error) => Err(self.failed(format!("publishing {target}"), &error, 0)),
        }
    }

    async fn put_whole(
        &self,
        mut source: Source<'_>,
        target: &ObjectPath,
        digest: Digest,
    ) -> Result<Stored<()>, BlobError> {
        // One more than fits is one that came meanwhile.
        let bytes = source.next(PIECE_BYTES + 1).await?;
        if Digest::new(Sha256::digest(&bytes).into()) != digest {
            return Err(BlobError::Changed { path: source.path.to_owned() });
        }
        let (store, place) = (Arc::clone(&self.store), target.clone());
        let put =
            async move { store.put_opts(&place, bytes.into(), PutOptions::from(PutMode::Create)).await.map(|_| ()) };
        self.step(|| format!("writing {target}"), put).await
    }

    async fn put_in_pieces(
        &self,
        service: &ServiceId,
        source: Source<'_>,
        target: &ObjectPath,
        digest: Digest,
    ) -> Result<Stored<()>, BlobError> {
        let path = source.path;
        let staged = self.staging(service);
        let published = match self.copy_in(source, &staged, target).await? {
            copied if copied != digest => Err(BlobError::Changed { path: path.to_owned() }),
            _ => self.publish(&staged, target, RenameTargetMode::Create).await,
        };
        if !matches!(published, Ok(Ok(()))) {
            self.discard(&staged).await;
        }
        published
    }

    pub(super) fn staging(&self, service: &ServiceId) -> ObjectPath {
        BlobKey::Staging { node: &self.node, run: self.run, id: Uuid::new_v4() }.path(service)
    }

    /// Moves a staged file to where it belongs.
    pub(super) async fn publish(
        &self,
        staged: &ObjectPath,
        target: &ObjectPath,
        mode: RenameTargetMode,
    ) -> Result<Stored<()>, BlobError> {
        let (store, from, to) = (Arc::clone(&self.store), staged.clone(), target.clone());
        let doing = || format!("publishing {target}");
        if self.folder.is_some() {
            let options = RenameOptions::new().with_target_mode(mode);
            return self.step(doing, async move { store.rename_opts(&from, &to, options).await }).await;
        }
        let mode = match mode {
            RenameTargetMode::Create => CopyMode::Create,
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
        };
        let options = CopyOptions::new().with_mode(mode);
        let copied = self.long_step(doing, async move { store.copy_opts(&from, &to, options).await }).await?;
        if copied.is_ok() {
            self.discard(staged).await;
        }
        Ok(copied)
    }

    /// Streams a local file into the store, below a name of its own, and returns the digest of what went in. `target` is
    /// where it will belong.
    async fn copy_in(
        &self,
        mut source: Source<'_>,
        staged: &ObjectPath,
        target: &ObjectPath,
    ) -> Result<Digest, BlobError> {
        let doing = || format!("writing {target}");
        let size_bytes = source.size_bytes;
        let failed = |error: Error| self.failed(doing(), &error, size_bytes);
        let piece_bytes = if self.folder.is_some() { CHUNK_BYTES } else { PIECE_BYTES };
        let (store, place) = (Arc::clone(&self.store), staged.clone());
        let begun = self.step(doing, async move { store.put_multipart(&place).await }).await?;
        let mut upload = begun.map_err(failed)?;
        let mut hasher = Sha256::new();
        loop {
            let written = match source.next(piece_bytes).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => {
                    hasher.update(&piece);
                    self.step(doing, upload.put_part(PutPayload::from(piece))).await.and_then(|put| put.map_err(failed))
                }
                Err(error) => Err(error),
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
        completed.await?.map_err(failed)?;
        Ok(Digest::new(hasher.finalize().into()))
    }

    /// Gives up an upload that failed; what stays behind is swept later.
    async fn abort(&self, mut upload: Box<dyn MultipartUpload>) {
        let _ = self.step(String::new, async move { upload.abort().await }).await;
    }

    /// Removes a staged file; what stays behind in a crash is swept later.
    pub(super) async fn discard(&self, staged: &ObjectPath) {
        let (store, place) = (Arc::clone(&self.store), staged.clone());
        let _ = self.step(String::new, async move { store.delete(&place).await }).await;
    }

    /// Makes sure that a file which was found is on disk: who put it may have died before it said so.
    async fn sync(&self, path: &ObjectPath) -> Result<(), BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let doing = || format!("syncing {path}");
        let found = path.clone();
        let failed = |error: std::io::Error| BlobError::Unavailable { doing: doing(), cause: error.to_string() };
        self.long_step(doing, async move { folder.sync(&found) }).await?.map_err(failed)
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
        // A bucket puts whole files; in a folder everybody would see half of one.
        let (place, mode) = match self.folder {
            Some(_) => (self.staging(service), PutMode::Create),
            None => (path.clone(), PutMode::Overwrite),
        };
        let (store, to) = (Arc::clone(&self.store), place.clone());
        let put = async move { store.put_opts(&to, bytes.into(), PutOptions::from(mode)).await.map(|_| ()) };
        let mut written = self.long_step(doing, put).await?;
        if self.folder.is_some() {
            if written.is_ok() {
                written = self.publish(&place, &path, RenameTargetMode::Overwrite).await?;
            }
            if written.is_err() {
                self.discard(&place).await;
            }
        }
        written.map_err(|error| self.failed(doing(), &error, size_bytes))
    }
}

fn same_bytes(path: &ObjectPath, held: Digest, offered: Digest) -> Result<(), BlobError> {
    if held == offered {
        return Ok(());
    }
    Err(BlobError::Conflict { path: path.to_string(), held, offered })
}
