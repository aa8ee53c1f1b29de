//! Keeps hostile traffic from filling the log: of one kind of line so many a minute are written, the rest is counted and
//! told with the next one that is written. One value for each kind of line.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Lines of one kind a minute.
const LINES_A_MINUTE: u32 = 30;

/// What all limits measure time from.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The limit of one kind of line.
#[derive(Debug, Default)]
pub struct LogLimit {
    minute: AtomicU64,
    written: AtomicU32,
    left_out: AtomicU64,
}

impl LogLimit {
    /// Whether the line may be written: if so, how many were left out since the one before.
    pub fn admit(&self) -> Option<u64> {
        self.admit_in_minute(BEGAN.elapsed().as_secs() / 60)
    }

    /// Two threads at the turn of a minute may write a line more or less: it is a log.
    fn admit_in_minute(&self, minute: u64) -> Option<u64> {
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.written.store(0, Ordering::Relaxed);
        }
        if self.written.fetch_add(1, Ordering::Relaxed) < LINES_A_MINUTE {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        // It must not come round to zero.
        self.written.store(LINES_A_MINUTE, Ordering::Relaxed);
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_minute_are_written_and_the_rest_is_counted() {
        let limit = LogLimit::default();
        for _ in 0..LINES_A_MINUTE {
            assert_eq!(limit.admit_in_minute(7), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.admit_in_minute(7), None);
        }
        assert_eq!(limit.admit_in_minute(8), Some(1000));
        assert_eq!(limit.admit_in_minute(8), Some(0));
    }
}
