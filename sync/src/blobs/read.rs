//! Reads an update file out of the store, from anywhere in it: what a replica copies, and goes on with after a break. The
//! bytes are as the store has them; whoever reads verifies.

use super::steps::Steps;
use super::{BlobError, BlobKey, Blobs, CHUNK_BYTES};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStoreExt as _};
use schema::package::StorePath;
use schema::topology::ServiceId;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

/// A file of the store that is being read.
pub struct BlobReader {
    /// How many bytes the whole file has in the store.
    pub size_bytes: u64,
    source: Source,
    steps: Steps,
    path: String,
}

enum Source {
    /// What a folder gives; read in pieces that are worth a change of threads.
    File(File),
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
    /// There is nothing behind the offset, or a read failed.
    Ended,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobReader({}, {} bytes)", self.path, self.size_bytes)
    }
}

impl Blobs {
    /// Opens an update file to be read from the byte at `offset`; none when there is no such file. A file that has no byte
    /// there gives none.
    pub async fn read_update_file(
        &self,
        service: &ServiceId,
        path: &StorePath,
        offset: u64,
    ) -> Result<Option<BlobReader>, BlobError> {
        let path = BlobKey::Update(path).path(service);
        let doing = || format!("reading {path}");
        let (store, place) = (Arc::clone(&self.store), path.clone());
        let opening = async move {
            let range = (offset > 0).then_some(GetRange::Offset(offset));
            let found = match store.get_opts(&place, GetOptions { range, ..GetOptions::default() }).await {
                Ok(found) => found,
                Err(error @ object_store::Error::NotFound { .. }) => return Err(error),
                // Stores say in many ways that a file ends before the offset.
                Err(error) if offset > 0 => {
                    return match store.head(&place).await {
                        Ok(meta) if meta.size <= offset => Ok((meta.size, Source::Ended)),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
            };
            let size_bytes = found.meta.size;
            let source = match found.payload {
                GetResultPayload::File(mut file, _) => {
                    let sought = file.seek(SeekFrom::Start(offset));
                    sought.map_err(|error| object_store::Error::Generic { store: "folder", source: error.into() })?;
                    Source::File(file)
                }
                GetResultPayload::Stream(stream) => Source::Stream(stream),
            };
            Ok((size_bytes, source))
        };
        match self.step(doing, opening).await? {
            Ok((size_bytes, source)) => {
                Ok(Some(BlobReader { size_bytes, source, steps: self.steps.clone(), path: path.to_string() }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(doing(), &error, 0)),
        }
    }

    /// Whether the store has an update file under this name, whatever its bytes.
    pub async fn has_update_file(&self, service: &ServiceId, path: &StorePath) -> Result<bool, BlobError> {
        let path = BlobKey::Update(path).path(service);
        let doing = || format!("looking for {path}");
        let (store, place) = (Arc::clone(&self.store), path.clone());
        match self.step(doing, async move { store.head(&place).await }).await? {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(doing(), &error, 0)),
        }
    }
}

impl BlobReader {
    /// The next bytes, about a mebibyte; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        let source = std::mem::replace(&mut self.source, Source::Ended);
        let doing = || format!("reading {}", self.path);
        let piece = self.steps.run(self.steps.limits.step, doing, next_piece(source)).await?;
        let (rest, piece) = piece.map_err(|cause| BlobError::Unavailable { doing: doing(), cause })?;
        self.source = rest;
        Ok(piece)
    }
}

async fn next_piece(source: Source) -> Result<(Source, Option<Bytes>), String> {
    match source {
        Source::Ended => Ok((Source::Ended, None)),
        Source::File(mut file) => {
            let piece = read_piece(&mut file).map_err(|error| error.to_string())?;
            Ok((Source::File(file), (!piece.is_empty()).then(|| Bytes::from(piece))))
        }
        Source::Stream(mut stream) => {
            let mut piece = Vec::new();
            while piece.len() < CHUNK_BYTES {
                match stream.next().await.transpose().map_err(|error| error.to_string())? {
                    Some(more) if piece.is_empty() && more.len() >= CHUNK_BYTES / 2 => {
                        return Ok((Source::Stream(stream), Some(more)));
                    }
                    Some(more) => piece.extend_from_slice(&more),
                    None => break,
                }
            }
            Ok((Source::Stream(stream), (!piece.is_empty()).then(|| Bytes::from(piece))))
        }
    }
}

fn read_piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(CHUNK_BYTES);
    file.take(CHUNK_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
