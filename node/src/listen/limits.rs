//! What the connections of a listener may cost in time. How many there may be is [`Admission`](super::Admission)'s.

use super::gate::Patience;
use super::pace::LeastRate;
use std::time::Duration;

/// What the connections of a listener may cost in time.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// For the PROXY header, and then for the TLS handshake.
    pub handshake_timeout: Duration,
    /// For the head of a request: the first one's from the end of the handshake, a later one's from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// At least so fast a body must come.
    pub request_rate: LeastRate,
    /// At least so fast a response must be taken.
    pub response_rate: LeastRate,
    /// At shutdown, how long requests in flight may take to finish.
    pub drain_timeout: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        let least = |window_s| LeastRate { bytes_per_s: 1024, window: Duration::from_secs(window_s) };
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            request_rate: least(30),
            // A full socket asks for more when half of what the kernel holds for it is gone: 64 KiB.
            response_rate: least(120),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

impl ListenerLimits {
    pub(super) fn patience(&self) -> Patience {
        Patience { head: self.header_timeout, idle: self.idle_timeout, body: self.request_rate }
    }
}
