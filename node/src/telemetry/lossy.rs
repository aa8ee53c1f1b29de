//! Standard error that keeps nobody waiting: a pipe that nobody reads, or a full disk behind it, must neither block nor
//! end a node that answers phones. Lines go through a bounded queue to a thread of their own; what finds no place, or is
//! refused by the disk, is lost and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may wait.
const LINES: usize = 4096;

/// How long the end of the program waits for the last lines.
const END_LIMIT: Duration = Duration::from_secs(1);

/// How long ago a line was lost that is still told of.
const TOLD: Duration = Duration::from_secs(60);

enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    End(SyncSender<()>),
}

/// The writing end, for as many threads as like.
#[derive(Clone)]
pub(super) struct Lines {
    sender: SyncSender<Message>,
    lost: &'static Lost,
}

/// Waits for the last lines when it is dropped.
pub struct LogGuard(Lines);

/// Lines that were lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    count: AtomicU64,
    last: Mutex<Option<Instant>>,
}

/// Those of this process: there is one standard error.
pub(super) static LOST: LazyLock<Lost> = LazyLock::new(Lost::default);

impl Lost {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A sentence when lines were lost just now.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|last| last.elapsed() < TOLD)?;
        let count = self.count.load(Ordering::Relaxed);
        Some(format!(
            "lines of the node's own log are lost ({count} so far): standard error is full, or nobody reads it"
        ))
    }
}

/// Starts the thread that writes to `out`.
pub(super) fn start(out: impl Write + Send + 'static, lost: &'static Lost) -> io::Result<(Lines, LogGuard)> {
    let (sender, receiver) = sync_channel(LINES);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&receiver, out, lost))?;
    let lines = Lines { sender, lost };
    Ok((lines.clone(), LogGuard(lines)))
}

fn write(receiver: &Receiver<Message>, mut out: impl Write, lost: &Lost) {
    let mut torn = false;
    for message in receiver {
        match message {
            Message::Line(line) => {
                // A full disk takes half a line; the next one must not be glued to it.
                let begun = if torn { out.write_all(b"\n") } else { Ok(()) };
                torn = begun.and_then(|()| out.write_all(&line)).is_err();
                if torn {
                    lost.add();
                }
            }
            Message::End(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

impl Write for Lines {
    /// One event is one call, with its whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.add();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        let (deadline, mut end) = (Instant::now() + END_LIMIT, Message::End(done));
        while let Err(TrySendError::Full(refused)) = self.0.sender.try_send(end) {
            if Instant::now() > deadline {
                return;
            }
            end = refused;
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = wait.recv_timeout(END_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Takes what it has room for, and blocks while it is held.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let taken = bytes.len().min(disk.1);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..taken]);
            disk.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lost() -> &'static Lost {
        Box::leak(Box::default())
    }

    #[test]
    fn a_full_disk_loses_lines_counts_them_and_glues_none_together() {
        let (disk, lost) = (Disk::default(), lost());
        disk.0.lock().unwrap().1 = 8;
        let (mut lines, guard) = start(disk.clone(), lost).unwrap();
        for line in ["one\n", "two_two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        drop(guard);
        assert!(lost.trouble().unwrap().contains("(2 so far)"), "{lost:?}");
        disk.0.lock().unwrap().1 = 100;
        lines.write_all(b"four\n").unwrap();
        drop(LogGuard(lines));
        assert_eq!(disk.0.lock().unwrap().0, b"one\ntwo_\nfour\n");
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_reads() {
        let (disk, lost) = (Disk::default(), lost());
        disk.0.lock().unwrap().1 = usize::MAX;
        let (mut lines, guard) = start(disk.clone(), lost).unwrap();
        let hung = disk.0.lock().unwrap();
        for _ in 0..LINES + 10 {
            lines.write_all(b"x\n").unwrap();
        }
        assert!(lost.count.load(Ordering::Relaxed) >= 9);
        drop(hung);
        drop(guard);
        assert!(disk.0.lock().unwrap().0.len() >= 2 * LINES);
    }
}
