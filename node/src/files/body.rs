//! The body of a file response, read as the client takes it: one chunk at a time is in memory, whatever the client's
//! speed and the file's size (DESIGN.md 9).

use super::range::ByteRange;
use axum::body::Bytes;
use futures_util::stream::{self, TryStreamExt};
use http_body_util::StreamBody;
use hyper::body::{Body, Frame};
use rustix::io::{ReadWriteFlags, preadv2};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use sync::read_through::Arriving;

/// The longest chunk.
const CHUNK_BYTES: u64 = 64 * 1024;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Text, as it is.
    Text(String),
    /// Bytes of the file.
    File(ByteRange),
}

impl Segment {
    pub(super) fn length_bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(range) => range.length_bytes(),
        }
    }
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Source {
    /// All in a file of the replica.
    Held(Arc<File>),
    /// Some are there, more come. None may be the last of an answer before all are verified.
    Arriving(Arriving),
}

impl Source {
    /// The file, when it has the bytes up to `end`; for the last of an answer, when it is verified.
    async fn file(&mut self, end: u64, is_last: bool) -> io::Result<Arc<File>> {
        match self {
            Self::Held(file) => Ok(Arc::clone(file)),
            Self::Arriving(arriving) => {
                match is_last {
                    true => arriving.verified().await?,
                    false => arriving.until(end).await?,
                }
                Ok(Arc::clone(&arriving.file))
            }
        }
    }
}

/// The segments one after the other. An error ends the connection, so that a client never takes a short file for
/// a whole one.
pub(super) fn read_segments(
    source: Source,
    segments: Vec<Segment>,
) -> impl Body<Data = Bytes, Error = io::Error> + Send + 'static {
    let state = (source, VecDeque::from(segments));
    let chunks = stream::try_unfold(state, async |(mut source, mut segments)| {
        let Some(segment) = segments.pop_front() else { return Ok(None) };
        let chunk = match segment {
            Segment::Text(text) => {
                source.file(0, segments.is_empty()).await?;
                Bytes::from(text)
            }
            Segment::File(ByteRange { first, last }) => {
                let end = last.min(first + CHUNK_BYTES - 1);
                if end < last {
                    segments.push_front(Segment::File(ByteRange { first: end + 1, last }));
                }
                let file = source.file(end + 1, segments.is_empty()).await?;
                read_chunk(file, ByteRange { first, last: end }).await?
            }
        };
        Ok(Some((chunk, (source, segments))))
    });
    StreamBody::new(chunks.map_ok(Frame::data))
}

/// Reads what the page cache holds at once, and the rest off the runtime's threads: the disk may be slow.
async fn read_chunk(file: Arc<File>, range: ByteRange) -> io::Result<Bytes> {
    let length = usize::try_from(range.length_bytes()).map_err(io::Error::other)?;
    let mut chunk = vec![0; length];
    let cached = read_cached(&file, &mut chunk, range.first);
    if cached < length {
        let reading = tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut chunk[cached..], range.first + cached as u64)?;
            Ok::<_, io::Error>(chunk)
        });
        chunk = reading.await.map_err(io::Error::other)??;
    }
    Ok(Bytes::from(chunk))
}

/// How many bytes could be read without waiting for a disk. A hop to another thread for each chunk costs more than the
/// chunk; where the file system does not know how not to wait, it is taken all the same.
fn read_cached(file: &File, into: &mut [u8], offset: u64) -> usize {
    preadv2(file, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}
