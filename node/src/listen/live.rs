//! What one open connection is doing, as others see it: counted by state, and told to end when a newer one needs its
//! place. Changes are a few atomic stores, because every request makes some.

use crate::access_log::{AccessLog, Answered};
use crate::metrics::{ConnectionState, ListenerCounts};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Not waiting for its client.
const BUSY: u64 = u64::MAX;

/// One open connection.
#[derive(Debug)]
pub(super) struct Live {
    counts: Arc<ListenerCounts>,
    began: Instant,
    /// Milliseconds from `began` since which it waits for its client; [`BUSY`] while it does not.
    waiting_since_ms: AtomicU64,
    /// Whether a request is received or answered.
    state: AtomicU8,
    /// Bytes of a request were left unread: no other can follow.
    unread: AtomicBool,
    /// Responses that were made and that the gate has not yet seen written.
    answered: AtomicU32,
    /// Lines of the access log for those responses.
    lines: Mutex<Vec<(Arc<AccessLog>, Answered)>>,
    end: Notify,
}

const STATES: [ConnectionState; ConnectionState::COUNT] = ConnectionState::all();

impl Live {
    pub(super) fn new(counts: Arc<ListenerCounts>) -> Self {
        let state = ConnectionState::Handshake;
        counts.accept();
        counts.enter(state);
        Self {
            counts,
            began: Instant::now(),
            waiting_since_ms: AtomicU64::new(0),
            state: AtomicU8::new(state as u8),
            unread: AtomicBool::new(false),
            answered: AtomicU32::new(0),
            lines: Mutex::default(),
            end: Notify::new(),
        }
    }

    fn state(&self) -> ConnectionState {
        STATES[usize::from(self.state.load(Ordering::Relaxed)) % STATES.len()]
    }

    fn enter(&self, state: ConnectionState) {
        let before = STATES[usize::from(self.state.swap(state as u8, Ordering::Relaxed)) % STATES.len()];
        if before != state {
            self.counts.leave(before);
            self.counts.enter(state);
        }
    }

    /// It waits for its client from now on.
    pub(super) fn wait(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        self.waiting_since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// It waits for the next request from now on.
    pub(super) fn idle(&self) {
        self.wait();
        self.enter(ConnectionState::Idle);
    }

    /// The head of a request is there. Whether its client is waited for shows when its body is read.
    pub(super) fn begin_request(&self) {
        self.stop_waiting();
        self.enter(ConnectionState::Active);
    }

    /// A response was made to its end; it may still have to be written, and its line waits for that.
    pub(super) fn answer(&self, line: Option<(Arc<AccessLog>, Answered)>) {
        if let Some(line) = line {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn end_lines(&self, written: bool) {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        for (log, answered) in lines {
            log.ended(answered, written);
        }
    }

    /// How many responses were made since this was asked last; all of them are written now.
    pub(super) fn take_answered(&self) -> u32 {
        match self.answered.load(Ordering::Relaxed) {
            0 => 0,
            _ => {
                self.end_lines(true);
                self.answered.swap(0, Ordering::Relaxed)
            }
        }
    }

    /// It no longer waits for its client.
    pub(super) fn stop_waiting(&self) {
        self.waiting_since_ms.store(BUSY, Ordering::Relaxed);
    }

    /// Whether it is not yet ready for a request.
    pub(super) fn is_handshake(&self) -> bool {
        self.state() == ConnectionState::Handshake
    }

    /// Whether it waits for the next request.
    pub(super) fn is_idle(&self) -> bool {
        self.state() == ConnectionState::Idle
    }

    /// Whether a request is received or answered.
    pub(super) fn is_active(&self) -> bool {
        self.state() == ConnectionState::Active
    }

    /// Whether bytes of the client are waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_since_ms.load(Ordering::Relaxed) != BUSY
    }

    /// The body of a request is given up before its end.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the body of a request was given up before its end.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Since when it waits for its client, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let since_ms = self.waiting_since_ms.load(Ordering::Relaxed);
        (since_ms != BUSY).then(|| self.began + std::time::Duration::from_millis(since_ms))
    }

    /// Tells it to end if it still waits since then: it may have become busy meanwhile. Nobody asks it a second time
    /// before it is gone.
    pub(super) fn make_room(&self, since: Instant) -> bool {
        let since_ms = u64::try_from((since - self.began).as_millis()).unwrap_or(BUSY);
        let order = Ordering::Relaxed;
        let ends = self.waiting_since_ms.compare_exchange(since_ms, BUSY, order, order).is_ok();
        if ends {
            self.end.notify_one();
        }
        ends
    }

    /// Returns when it shall end.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end_lines(false);
        self.counts.leave(self.state());
    }
}
