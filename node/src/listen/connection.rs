//! One connection, from the accepted socket to its last response. The order is fixed: who may connect, PROXY header, how
//! many of one address, TLS handshake, the gate, HTTP; each step has its limit.

use super::ListenerSettings;
use super::admission::Place;
use super::body::{Received, Sent};
use super::gate::{Gate, refused_head};
use super::head::HeadFault;
use super::live::Live;
use super::proxy::{ProxyError, read_header};
use super::socket::{FirstByte, PacedSocket};
use crate::access_log::{Account, Asked, Ends};
use crate::log_limit::LogLimit;
use crate::metrics::ConnectionRefusal;
use crate::plane::PhoneAddress;
use axum::Router;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// What the kernel may hold unsent for one connection, so that a slow client costs little memory (DESIGN.md 9).
const UNSENT_BYTES: u32 = 128 * 1024;

/// What hyper buffers for one connection, each way.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long, and how much, is read and thrown away from a client that still sends when its answer is written. Closing
/// earlier would reset the connection, and the answer would be lost on the way.
const LINGER: (Duration, usize) = (Duration::from_secs(5), 16 * 1024 * 1024);

/// What all connections of one listener share.
pub(super) struct Connections {
    settings: ListenerSettings,
    tls: Option<TlsAcceptor>,
    router: Router,
    log_limits: [LogLimit; ConnectionRefusal::COUNT],
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
    #[error("{0} has as many connections as one address may have")]
    AddressLimit(IpAddr),
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

    fn cause(&self) -> ConnectionRefusal {
        match self {
            Self::NotListed => ConnectionRefusal::NotListed,
            Self::Proxy(_) => ConnectionRefusal::ProxyHeader,
            Self::AddressLimit(_) => ConnectionRefusal::AddressLimit,
            Self::Tls(_) => ConnectionRefusal::Tls,
            Self::TooSlow(_) => ConnectionRefusal::SlowHandshake,
            Self::Socket(_) => ConnectionRefusal::Socket,
        }
    }
}

/// A connection whose client may send requests.
enum Ready {
    Plain(PacedSocket),
    Tls(Box<TlsStream<PacedSocket>>),
    /// The client speaks HTTP where TLS is spoken: it is told so.
    PlainOnTls(PacedSocket),
}

impl Connections {
    pub(super) fn new(
        settings: ListenerSettings,
        router: Router,
        stop: CancellationToken,
        kill: CancellationToken,
    ) -> Self {
        let tls = settings.tls.clone().map(TlsAcceptor::from);
        Self { settings, tls, router, log_limits: Default::default(), stop, kill }
    }

    /// Serves one connection to its end, or until a newer one needs its place.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr, mut place: Place) {
        let peer = peer.ip().to_canonical();
        let live = Arc::clone(&place.live);
        let served = tokio::select! {
            served = self.run(stream, peer, &mut place) => served,
            () = live.ended() => {
                self.settings.counts.refuse_connection(ConnectionRefusal::MadeRoom);
                return;
            }
        };
        let Err(error) = served else { return };
        if error.is_a_look_at_the_port() {
            tracing::debug!(%peer, %error, "a connection was closed");
            return;
        }
        let cause = error.cause();
        self.settings.counts.refuse_connection(cause);
        if let Some(left_out) = self.log_limits[cause as usize].admit() {
            tracing::info!(%peer, %error, left_out, "a connection ended before its first request");
        }
    }

    async fn run(&self, mut stream: TcpStream, peer: IpAddr, place: &mut Place) -> Result<(), SetUpError> {
        let server = stream.local_addr().unwrap_or(self.settings.address);
        let introduction = self.introduce(&mut stream, peer, place);
        let Some(address) = self.stop.run_until_cancelled(introduction).await.transpose()? else { return Ok(()) };
        let Some(ready) = self.stop.run_until_cancelled(self.secure(stream)).await.transpose()? else { return Ok(()) };
        let (live, ends) = (&place.live, Ends { server, client: address });
        let too_slow = match ready {
            Ready::Plain(stream) => self.serve_http(self.gate(stream, live), live, ends).await.was_too_slow(),
            Ready::PlainOnTls(stream) => {
                let patience = self.settings.limits.patience();
                let gate = Gate::refusing(stream, Arc::clone(live), patience, HeadFault::PlainOnTls);
                self.serve_http(gate, live, ends).await.was_too_slow()
            }
            Ready::Tls(stream) => {
                let stream = self.serve_http(self.gate(*stream, live), live, ends).await;
                stream.get_ref().0.was_too_slow()
            }
        };
        if too_slow {
            self.settings.counts.refuse_connection(ConnectionRefusal::SlowReader);
        }
        Ok(())
    }

    /// Finds out whose connection it is, and whether that address may have one more.
    async fn introduce(&self, stream: &mut TcpStream, peer: IpAddr, place: &mut Place) -> Result<IpAddr, SetUpError> {
        stream.set_nodelay(true)?;
        SockRef::from(&*stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        let balancers = &self.settings.proxy_from;
        let address = if balancers.is_empty() {
            peer
        } else if balancers.iter().any(|listed| listed.contains(&peer)) {
            match self.in_time("the PROXY header", read_header(stream)).await?? {
                Some(client) => client.to_canonical(),
                // The balancer speaks for itself; it stands for no phone, and is not counted as one.
                None => return Ok(peer),
            }
        } else {
            return Err(SetUpError::NotListed);
        };
        if place.claim(address) { Ok(address) } else { Err(SetUpError::AddressLimit(address)) }
    }

    async fn secure(&self, stream: TcpStream) -> Result<Ready, SetUpError> {
        let least = self.settings.limits.response_rate;
        let Some(tls) = &self.tls else {
            return Ok(Ready::Plain(PacedSocket::new(stream, least, FirstByte::Any)));
        };
        let accept = tls.accept(PacedSocket::new(stream, least, FirstByte::Tls)).into_fallible();
        match self.in_time("the TLS handshake", accept).await? {
            Ok(stream) => Ok(Ready::Tls(Box::new(stream))),
            Err((_, stream)) if stream.is_plain() => Ok(Ready::PlainOnTls(stream)),
            Err((error, _)) => Err(SetUpError::Tls(error)),
        }
    }

    async fn in_time<T>(&self, what: &'static str, step: impl Future<Output = T>) -> Result<T, SetUpError> {
        let limit = self.settings.limits.handshake_timeout;
        tokio::time::timeout(limit, step).await.map_err(|_| SetUpError::TooSlow(what))
    }

    fn gate<S>(&self, stream: S, live: &Arc<Live>) -> Gate<S> {
        Gate::new(stream, Arc::clone(live), self.settings.limits.patience())
    }

    /// Serves requests until the connection is to end, and ends it.
    async fn serve_http<S>(&self, mut gate: Gate<S>, live: &Arc<Live>, ends: Ends) -> S
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        live.idle();
        let whole = self.serve_requests(&mut gate, live, ends).await;
        if let Some(cut) = gate.cut() {
            self.settings.counts.refuse_connection(cut);
        }
        let unread = gate.may_have_unread();
        let mut stream = gate.into_inner();
        if whole && unread {
            live.wait();
            tokio::select! {
                () = linger(&mut stream) => {}
                () = self.stop.cancelled() => {}
            }
        }
        stream
    }

    /// False when the node was stopped meanwhile.
    async fn serve_requests<S>(&self, gate: &mut Gate<S>, live: &Arc<Live>, ends: Ends) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request| self.answer(request, live, ends));
        let mut http = http1::Builder::new();
        // How long a head may take, and how large it may be, is the gate's business.
        http.max_buf_size(BUFFER_BYTES).header_read_timeout(None);
        let mut connection = pin!(http.serve_connection(TokioIo::new(gate), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = self.kill.cancelled() => return false,
                }
            }
            () = self.kill.cancelled() => return false,
        };
        if let Err(error) = result {
            tracing::debug!(address = %ends.client, %error, "a connection failed");
        }
        true
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        live: &Arc<Live>,
        ends: Ends,
    ) -> Result<Response<Sent>, Infallible> {
        let fault = refused_head(&request);
        let asked = self.settings.access.as_ref().map(|log| (Arc::clone(log), Asked::of(&request)));
        // Behind chunks the gate can't tell where the next head begins, and behind a body that was given up there is none.
        let last = fault.is_some() || request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut request = request.map(|body| Received::new(body, live));
        let mut response = match fault {
            Some(fault) => {
                self.settings.counts.refuse_request(fault);
                (self.settings.refuse)(fault)
            }
            None => {
                request.extensions_mut().insert(PhoneAddress(ends.client));
                self.router.clone().call(request).await?
            }
        };
        if last || live.has_unread() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.settings.counts.respond(response.status());
        let line = asked.map(|(log, asked)| {
            let account = response.extensions().get::<Account>();
            (log, asked.answered(ends, fault.is_some(), account, response.status()))
        });
        Ok(response.map(|body| Sent::new(body, live, line)))
    }
}

/// Reads until the client has no more to say, within limits.
async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let (time, most_bytes) = LINGER;
    let mut rest = stream.take(most_bytes as u64);
    let mut nowhere = tokio::io::sink();
    // Whatever it comes to: the connection is closed now.
    let _ = tokio::time::timeout(time, tokio::io::copy(&mut rest, &mut nowhere)).await;
}
