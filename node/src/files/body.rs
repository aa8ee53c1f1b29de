//! The body of a file response, read as the client takes it: one chunk at a time is in memory, whatever the client's
//! speed and the file's size (DESIGN.md 9).

use super::range::ByteRange;
use axum::body::Bytes;
use futures_util::stream::{self, TryStreamExt};
use http_body_util::StreamBody;
use hyper::body::{Body, Frame};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

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

/// The segments one after the other. An error ends the connection, so that a client never takes a short file for
/// a whole one.
pub(super) fn read_segments(
    file: File,
    segments: Vec<Segment>,
) -> impl Body<Data = Bytes, Error = io::Error> + Send + 'static {
    let (file, segments) = (Arc::new(file), VecDeque::from(segments));
    let chunks = stream::try_unfold(segments, move |mut segments| {
        let file = Arc::clone(&file);
        async move {
            let Some(segment) = segments.pop_front() else { return Ok(None) };
            let chunk = match segment {
                Segment::Text(text) => Bytes::from(text),
                Segment::File(ByteRange { first, last }) => {
                    let end = last.min(first + CHUNK_BYTES - 1);
                    if end < last {
                        segments.push_front(Segment::File(ByteRange { first: end + 1, last }));
                    }
                    read_chunk(file, ByteRange { first, last: end }).await?
                }
            };
            Ok(Some((chunk, segments)))
        }
    });
    StreamBody::new(chunks.map_ok(Frame::data))
}

/// Reads off the runtime's threads: the disk may be slow.
async fn read_chunk(file: Arc<File>, range: ByteRange) -> io::Result<Bytes> {
    let length = usize::try_from(range.length_bytes()).map_err(io::Error::other)?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; length];
        file.read_exact_at(&mut chunk, range.first)?;
        Ok(Bytes::from(chunk))
    });
    reading.await.map_err(io::Error::other)?
}
