//! What the kernel says of a folder on this machine's own disks: a hint to look, and which files their writers have
//! closed. Of what other machines write to a share it says nothing; looking from time to time is what counts.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Names that are remembered as closed; more rest as long as others.
const MOST_CLOSED: usize = 1000;

/// How often the kernel is asked: it costs a system call that does not wait, where a wait would cost a thread.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// Watches one folder.
#[derive(Debug)]
pub struct Watch {
    events: Inotify,
    closed: HashSet<OsString>,
}

impl Watch {
    /// Asks the kernel to watch the folder. Blocking.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let of = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR;
        events.add_watch(folder, of)?;
        Ok(Self { events, closed: HashSet::new() })
    }

    /// Waits until a file was closed, or moved in: a reason to look. Nothing is lost when it is not waited for to the end.
    pub async fn wait(&mut self) -> io::Result<()> {
        loop {
            if self.ask()? {
                return Ok(());
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    /// Takes what the kernel has to say; whether it is a reason to look.
    pub fn ask(&mut self) -> io::Result<bool> {
        let mut look = false;
        loop {
            match self.events.read_events() {
                Ok(events) => look = events.into_iter().fold(look, |look, event| self.take(event) || look),
                Err(Errno::EAGAIN) => return Ok(look),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, event: InotifyEvent) -> bool {
        let Some(name) = event.name else {
            // The kernel had too much to say: who was closed is unknown now.
            self.closed.clear();
            return true;
        };
        let closed = event.mask.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO);
        if !closed {
            self.closed.remove(&name);
        } else if self.closed.len() < MOST_CLOSED {
            self.closed.insert(name);
        }
        closed
    }

    /// The names whose file was closed since it was last written to.
    pub fn closed(&self) -> &HashSet<OsString> {
        &self.closed
    }
}
