//! The accept loops of all listeners, phones' and administrators': PROXY protocol, TLS, HTTP/1.1, each with its limits
//! (DESIGN.md 8: `axum::serve` has none). A listener serves any router and adds a
//! [`PhoneAddress`](crate::plane::PhoneAddress) to each request, from the connection or from a listed peer's PROXY
//! header, never from a forwarding header. What is served is not known here.

mod admission;
mod body;
mod connection;
mod gate;
mod head;
mod limits;
mod live;
mod pace;
mod proxy;
mod socket;

pub(crate) use admission::counted_as;
pub use admission::{Admission, AdmissionLimits};
pub use head::HeadFault;
pub use limits::ListenerLimits;
pub use pace::{LeastRate, is_too_slow};

use crate::access_log::AccessLog;
use crate::listen::connection::Connections;
use crate::metrics::ListenerCounts;
use axum::response::Response;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that wait in the kernel's queue.
const BACKLOG: i32 = 1024;

/// The first and the longest pause after an accept that failed for want of a resource.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

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
    /// How many there may be, together with whoever else has this one.
    pub admission: Arc<Admission>,
    /// Answers a request whose head is refused.
    pub refuse: fn(HeadFault) -> Response,
    /// Counts what happens.
    pub counts: Arc<ListenerCounts>,
    /// Has a line for each request, if given.
    pub access: Option<Arc<AccessLog>>,
}

/// A bound listener.
pub struct Listener {
    settings: ListenerSettings,
    socket: TcpListener,
    local_address: SocketAddr,
}

impl Listener {
    /// Binds the address, so that a failure is known before anything is served. Needs a runtime.
    pub fn bind(settings: ListenerSettings) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(settings.address), Type::STREAM, Some(Protocol::TCP))?;
        if settings.address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A node that is restarted must get its port back while old connections are still in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(settings.address))?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let local_address = socket.local_addr()?;
        Ok(Self { settings, socket, local_address })
    }

    /// The address with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Accepts and serves until `stop` is cancelled, then lets requests in flight finish, up to the drain timeout.
    /// Dropping the future closes all connections at once.
    pub async fn serve(self, router: axum::Router, stop: CancellationToken) {
        let Self { settings, socket, local_address } = self;
        let (admission, counts) = (Arc::clone(&settings.admission), Arc::clone(&settings.counts));
        let drain_timeout = settings.limits.drain_timeout;
        let kill = CancellationToken::new();
        let _kill_when_dropped = kill.clone().drop_guard();
        let connections = Arc::new(Connections::new(settings, router, stop.clone(), kill.clone()));
        let tasks = TaskTracker::new();
        tracing::info!(address = %local_address, "listening");
        while let Some((stream, peer, permit)) = next_connection(&socket, &admission, &stop).await {
            let connections = connections.clone();
            let place = admission.enter(permit, &counts);
            tasks.spawn(async move { connections.serve(stream, peer, place).await });
        }
        drop(socket);
        tasks.close();
        if tokio::time::timeout(drain_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(address = %local_address, connections = tasks.len(), "closing connections that did not finish");
            kill.cancel();
            tasks.wait().await;
        }
    }
}

/// A connection and its permit, or nothing once `stop` is cancelled. While nobody can make room for it, it waits here and
/// those after it in the kernel's queue.
async fn next_connection(
    socket: &TcpListener,
    admission: &Admission,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let next = async {
        // The connection first: nobody has to make room for one that is not there.
        let (stream, peer) = accept(socket).await;
        let permit = admission.permit().await?;
        Some((stream, peer, permit))
    };
    stop.run_until_cancelled(next).await.flatten()
}

/// Accepts one connection. When the process or the machine lacks descriptors or memory, an accept fails at once and
/// would again: the loop pauses instead of spinning.
async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    let (mut pause, longest) = ACCEPT_PAUSE;
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections for now");
                tokio::time::sleep(pause).await;
                pause = longest.min(pause * 2);
            }
        }
    }
}

/// Whether the error is about the connection that would have been accepted, and says nothing of the next one.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_pauses_when_descriptors_run_out_and_not_when_a_client_went_away() {
        let check = |code, expected| {
            assert_eq!(concerns_one_connection(&io::Error::from_raw_os_error(code)), expected, "{code}");
        };
        check(nix::libc::ECONNABORTED, true);
        check(nix::libc::EINTR, true);
        check(nix::libc::EMFILE, false);
        check(nix::libc::ENFILE, false);
        check(nix::libc::ENOMEM, false);
        check(nix::libc::ENOBUFS, false);
    }
}
