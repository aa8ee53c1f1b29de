//! A rate of bytes that several share: whoever asks gets the next free moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What may pass at once after a pause, as time: without it a late timer would be bytes lost.
const BURST: Duration = Duration::from_millis(100);

/// The rate.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many bytes a second; 0 is no limit.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, free_at: Mutex::default() }
    }

    /// Waits until so many bytes may pass.
    pub(crate) async fn pass(&self, bytes: u64) {
        if let Some(at) = self.turn(bytes, Instant::now()) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// When so many bytes may pass; they are taken as passed.
    fn turn(&self, bytes: u64, now: Instant) -> Option<Instant> {
        if self.bytes_per_s == 0 {
            return None;
        }
        let takes = bytes.saturating_mul(1_000_000) / self.bytes_per_s;
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begins = free_at.map_or(earliest, |at| at.max(earliest));
        *free_at = Some(begins + Duration::from_micros(takes));
        (begins > now).then_some(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_at_the_rate_and_a_pause_is_no_credit() {
        let (pace, now) = (Pace::new(1000), Instant::now());
        assert_eq!(pace.turn(1000, now), None);
        let second = pace.turn(1000, now).unwrap();
        assert_eq!(second, now + Duration::from_millis(900));
        assert_eq!(pace.turn(1, now).unwrap(), now + Duration::from_millis(1900));
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.turn(1000, later), None);
        assert_eq!(pace.turn(1, later), Some(later + Duration::from_millis(900)));
        assert_eq!(Pace::new(0).turn(u64::MAX, now), None);
    }
}
