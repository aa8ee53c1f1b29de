//! What systemd is told of a node that it runs (`Type=notify`): ready, stopping, and that the process still works. Where
//! systemd does not ask, nothing is told.

use sd_notify::NotifyState;
use std::convert::Infallible;
use std::time::Duration;

/// systemd is not told more often.
const SHORTEST: Duration = Duration::from_millis(10);

/// The node serves.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The node was told to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("requests in flight finish")]);
}

/// Tells that the process still works, as often as the unit's `WatchdogSec` wants: a runtime whose threads all hang
/// tells nothing any more, and is restarted.
pub async fn watchdog() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut timer = tokio::time::interval((limit / 3).max(SHORTEST));
    loop {
        timer.tick().await;
        // Waits when systemd does not read: that must hold up nothing else.
        let told = tokio::task::spawn_blocking(|| tell(&[NotifyState::Watchdog])).await;
        if let Err(error) = told {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
