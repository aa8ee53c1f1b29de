//! SHA-256 of a file while it is written. A large file is hashed on a thread of its own, so that a package is taken in as
//! fast as it can be unpacked and written; a small one at once, because a thread would cost more. What waits for the
//! thread is bounded.

use schema::package::Digest;
use sha2::{Digest as _, Sha256};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// A file of so many bytes is hashed on a thread.
const THREAD_BYTES: u64 = 1 << 20;

/// Buffers that wait for the thread at most.
const WAITING: usize = 4;

/// A hash that is being taken.
pub(super) enum Hashing {
    /// Here.
    Here(Sha256),
    /// On a thread, which ends with this value.
    Beside {
        /// To the thread.
        full: SyncSender<Vec<u8>>,
        /// Back from it, to be filled again.
        empty: Receiver<Vec<u8>>,
        thread: JoinHandle<Sha256>,
    },
}

impl Hashing {
    /// Of a file of so many bytes.
    pub(super) fn of(size_bytes: u64) -> io::Result<Self> {
        if size_bytes < THREAD_BYTES {
            return Ok(Self::Here(Sha256::new()));
        }
        let (full, next) = sync_channel::<Vec<u8>>(WAITING);
        let (done, empty) = sync_channel(WAITING + 1);
        let work = move || {
            let mut hash = Sha256::new();
            for mut buffer in next {
                hash.update(&buffer);
                buffer.clear();
                // Nobody who fills buffers any more is no reason to stop.
                let _ = done.try_send(buffer);
            }
            hash
        };
        let thread = thread::Builder::new().name("hashing".to_owned()).spawn(work)?;
        Ok(Self::Beside { full, empty, thread })
    }

    /// Takes the next bytes out of `buffer`, which is empty afterwards.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Here(hash) => {
                hash.update(&*buffer);
                buffer.clear();
                Ok(())
            }
            Self::Beside { full, empty, .. } => {
                let next = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(buffer.capacity()));
                full.send(std::mem::replace(buffer, next)).map_err(io::Error::other)
            }
        }
    }

    /// The digest of all that was taken.
    pub(super) fn finish(self) -> io::Result<Digest> {
        let hash = match self {
            Self::Here(hash) => hash,
            Self::Beside { full, thread, .. } => {
                drop(full);
                thread.join().map_err(|_| io::Error::other("the thread that hashes ended early"))?
            }
        };
        Ok(Digest::new(hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_and_a_large_file_have_the_digest_of_all_their_bytes_in_order() {
        for size_bytes in [0, 10, THREAD_BYTES - 1, THREAD_BYTES, 40 * THREAD_BYTES] {
            let bytes: Vec<u8> = (0..251).cycle().take(usize::try_from(size_bytes).unwrap()).collect();
            let mut hashing = Hashing::of(size_bytes).unwrap();
            let mut buffer = Vec::new();
            for piece in bytes.chunks(100_000) {
                buffer.extend_from_slice(piece);
                hashing.take(&mut buffer).unwrap();
                assert!(buffer.is_empty());
            }
            assert_eq!(hashing.finish().unwrap(), Digest::new(Sha256::digest(&bytes).into()), "{size_bytes}");
        }
    }
}
