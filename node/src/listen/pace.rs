//! The least rate at which a client must send or take bytes. Only time spent waiting for the client counts: a handler
//! that thinks, a disk that is slow, and the node's own limit of bytes per second are not the client's fault.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// So many bytes on average over so much time of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastRate {
    /// Bytes for each second of the window.
    pub bytes_per_s: u64,
    /// How long a client may be below.
    pub window: Duration,
}

impl LeastRate {
    /// What must have come in one window: one byte at least, so that silence ends even at a rate of nothing.
    fn bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes_per_s) * self.window.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// Whether an error of a body, or what lies behind it, is that the client was too slow.
pub fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What a client did in the window that runs.
#[derive(Debug)]
struct Window {
    least: LeastRate,
    bytes: u64,
    /// How long it was waited for.
    waited: Duration,
}

impl Window {
    /// How long may still be waited until it is judged.
    fn left(&self) -> Duration {
        self.least.window.saturating_sub(self.waited)
    }

    /// At the window's end: whether the client was fast enough. If so, the next window begins.
    fn passes(&mut self) -> bool {
        let passes = self.bytes >= self.least.bytes();
        if passes {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
        passes
    }
}

/// Measures one direction of one connection.
pub(super) struct Pace {
    window: Window,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(super) fn new(least: LeastRate) -> Self {
        let window = Window { least, bytes: 0, waited: Duration::ZERO };
        Self { window, waiting_since: None, timer: None }
    }

    /// So many bytes were moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.window.bytes += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.window.waited += since.elapsed();
        }
    }

    /// Nothing can be moved now. Ready when the client has been too slow.
    pub(super) fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = match (&mut self.timer, self.waiting_since) {
                (Some(timer), Some(_)) => timer,
                (timer, _) => {
                    let now = Instant::now();
                    self.waiting_since = Some(now);
                    let end = now + self.window.left();
                    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
                    timer.as_mut().reset(end);
                    timer
                }
            };
            ready!(timer.as_mut().poll(context));
            if !self.window.passes() {
                return Poll::Ready(());
            }
            self.waiting_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a client that so often moves so many bytes, after so long a wait each, is found too slow.
    fn is_found(bytes_per_s: u64, moves: u64, bytes: u64, wait: Duration) -> bool {
        let least = LeastRate { bytes_per_s, window: Duration::from_secs(10) };
        let mut window = Window { least, bytes: 0, waited: Duration::ZERO };
        for _ in 0..moves {
            let mut wait = wait;
            while wait >= window.left() {
                wait -= window.left();
                if !window.passes() {
                    return true;
                }
            }
            (window.waited, window.bytes) = (window.waited + wait, window.bytes + bytes);
        }
        false
    }

    #[test]
    fn a_client_above_the_rate_goes_on_for_ever_and_one_below_is_found() {
        let second = Duration::from_secs(1);
        let check = |bytes, wait, found| assert_eq!(is_found(100, 1000, bytes, wait), found, "{bytes} after {wait:?}");
        check(0, second, true);
        check(1, second, true);
        check(99, second, true);
        check(112, second, false);
        check(1_000_000, second, false);
        // In lumps, as a kernel takes them: a large one may take most of a window.
        check(1200, second * 9, false);
        check(1200, second * 20, true);
        assert!(!is_found(100, 9, 0, second), "before the window's end nobody is judged");
    }

    #[test]
    fn silence_ends_even_at_a_rate_of_nothing() {
        assert!(is_found(0, 11, 0, Duration::from_secs(1)));
        assert!(!is_found(0, 1000, 1, Duration::from_secs(1)));
    }

    #[test]
    fn a_timeout_is_found_behind_other_errors() {
        let timeout = io::Error::from(io::ErrorKind::TimedOut);
        assert!(is_too_slow(&io::Error::other(axum::Error::new(timeout))));
        assert!(!is_too_slow(&io::Error::other("broken")));
    }
}
