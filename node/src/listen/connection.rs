//! One connection, from the accepted socket to its last response. The order is fixed: who may connect, PROXY header,
//! TLS handshake, HTTP; each step has its limit.

use super::proxy::{ProxyError, read_header};
use super::write_timeout::WriteTimeout;
use super::{ListenerLimits, ListenerSettings};
use crate::plane::PhoneAddress;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// What the kernel may hold unsent for one connection, so that a slow client costs little memory (DESIGN.md 9).
const UNSENT_BYTES: u32 = 128 * 1024;

/// What hyper buffers for one connection, each way.
const BUFFER_BYTES: usize = 64 * 1024;

/// The longest request header; phones send a few hundred bytes, browsers some thousand.
const HEADER_BYTES: usize = 16 * 1024;

/// What all connections of one listener share.
pub(super) struct Connections {
    tls: Option<TlsAcceptor>,
    proxy_from: Vec<IpNet>,
    limits: ListenerLimits,
    router: Router,
    /// No further request on any connection.
    stop: CancellationToken,
    /// No further byte.
    kill: CancellationToken,
}

/// A connection that ended before its first request.
#[derive(Debug, thiserror::Error)]
enum SetUpError {
    #[error("the peer is not listed as a balancer")]
    NotListed,
    #[error("no PROXY protocol v2 header: {0}")]
    Proxy(#[from] ProxyError),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("{0} took too long")]
    TooSlow(&'static str),
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
}

impl SetUpError {
    /// A connection that was closed without a word: a balancer's or a monitor's look at the port, every few seconds.
    fn is_a_look_at_the_port(&self) -> bool {
        match self {
            Self::Proxy(ProxyError::Read(error)) | Self::Tls(error) | Self::Socket(error) => {
                matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            }
            _ => false,
        }
    }
}

impl Connections {
    pub(super) fn new(
        settings: ListenerSettings,
        router: Router,
        stop: CancellationToken,
        kill: CancellationToken,
    ) -> Self {
        let ListenerSettings { address: _, tls, proxy_from, limits } = settings;
        Self { tls: tls.map(TlsAcceptor::from), proxy_from, limits, router, stop, kill }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let peer = peer.ip().to_canonical();
        match self.run(stream, peer).await {
            Err(error) if error.is_a_look_at_the_port() => tracing::debug!(%peer, %error, "a connection was closed"),
            Err(error) => tracing::info!(%peer, %error, "a connection ended before its first request"),
            Ok(()) => {}
        }
    }

    async fn run(&self, mut stream: TcpStream, peer: IpAddr) -> Result<(), SetUpError> {
        let introduction = self.introduce(&mut stream, peer);
        let Some(address) = self.stop.run_until_cancelled(introduction).await.transpose()? else { return Ok(()) };
        let stream = WriteTimeout::new(stream, self.limits.write_timeout);
        let Some(tls) = &self.tls else {
            self.serve_http(stream, address).await;
            return Ok(());
        };
        let handshake = self.in_time("the TLS handshake", tls.accept(stream));
        let Some(stream) = self.stop.run_until_cancelled(handshake).await.transpose()? else { return Ok(()) };
        self.serve_http(stream.map_err(SetUpError::Tls)?, address).await;
        Ok(())
    }

    /// Finds out whose connection it is.
    async fn introduce(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<IpAddr, SetUpError> {
        stream.set_nodelay(true)?;
        SockRef::from(&*stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        if self.proxy_from.is_empty() {
            return Ok(peer);
        }
        if !self.proxy_from.iter().any(|listed| listed.contains(&peer)) {
            return Err(SetUpError::NotListed);
        }
        let client = self.in_time("the PROXY header", read_header(stream)).await??;
        Ok(client.unwrap_or(peer).to_canonical())
    }

    async fn in_time<T>(&self, what: &'static str, step: impl Future<Output = T>) -> Result<T, SetUpError> {
        tokio::time::timeout(self.limits.handshake_timeout, step).await.map_err(|_| SetUpError::TooSlow(what))
    }

    async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Unpin, address: IpAddr) {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(PhoneAddress(address));
            self.router.clone().call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.header_timeout);
        http.max_buf_size(BUFFER_BYTES).max_header_size(HEADER_BYTES);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = self.kill.cancelled() => return,
                }
            }
            () = self.kill.cancelled() => return,
        };
        if let Err(error) = result {
            tracing::debug!(%address, %error, "a connection failed");
        }
    }
}
