//! A phone's way to a listener: a new connection each time, with a full TLS handshake, a source address or a PROXY header
//! of its own when asked for, and names that are led elsewhere for tests. Connecting only; requests are in `exchange`.

use crate::simulation::failure::{Failure, FailureKind};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use ppp::v2::{Builder, Command, Protocol, Version};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

/// How long a resolved name is believed: a pool's name may change while phones run.
const NAMES_KEPT: Duration = Duration::from_secs(10);

/// How long a connection is given to close in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// `HOST:PORT:ADDRESS:PORT`: whoever wants the first is led to the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    host: String,
    port: u16,
    address: SocketAddr,
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("{text:?} is not HOST:PORT:ADDRESS:PORT, such as pool01.contoso.com:443:127.0.0.1:8443");
        let mut parts = text.splitn(3, ':');
        let (host, port, address) = (parts.next(), parts.next(), parts.next());
        let (Some(host), Some(port), Some(address)) = (host, port, address) else { return Err(expected()) };
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port: port.parse().map_err(|_| expected())?,
            address: address.parse().map_err(|_| expected())?,
        })
    }
}

/// How phones trust who they speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// The machine's authorities.
    Machine,
    /// The authorities in this PEM file, and no others.
    File(&'a Path),
    /// Anybody.
    Anybody,
}

/// The ways that phones take.
pub struct Network {
    tls: Arc<ClientConfig>,
    connect_to: Vec<ConnectTo>,
    sources: Option<IpNet>,
    balanced: Option<IpNet>,
    timeout: Duration,
    names: Mutex<HashMap<(String, u16), Resolved>>,
}

/// The addresses of a name, and when they were looked up.
type Resolved = (Instant, Vec<SocketAddr>);

/// What a [`Network`] is made of.
#[derive(Debug, Clone)]
pub struct Ways {
    /// Names that are led elsewhere; of several for one name, phones take one each, and the next at the next attempt.
    pub connect_to: Vec<ConnectTo>,
    /// Addresses of this machine that phones connect from.
    pub sources: Option<IpNet>,
    /// Addresses that a PROXY v2 header says phones have.
    pub balanced: Option<IpNet>,
    /// Connecting, and each wait for bytes.
    pub timeout: Duration,
}

/// A connection to a listener, for one request after the other.
pub struct Connection {
    /// Sends requests.
    pub(super) sender: SendRequest<Full<Bytes>>,
    driver: AbortOnDropHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// TLS as phones speak it: 1.2 or 1.3, no session kept from one boot to the next.
pub fn tls(trust: Trust<'_>, server_name: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Machine => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::File(path) => {
            let doing = || format!("reading the authority's certificate {}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(doing)? {
                roots.add(certificate.with_context(doing)?).with_context(doing)?;
            }
            if roots.is_empty() {
                bail!("{} holds no certificate (expected PEM)", path.display());
            }
        }
        Trust::Anybody => {}
    }
    let builder = ClientConfig::builder();
    let mut config = match trust {
        Trust::Anybody => {
            let provider = Arc::clone(builder.crypto_provider());
            let anybody = Arc::new(anybody::Anybody::new(provider));
            builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
        }
        Trust::Machine | Trust::File(_) => builder.with_root_certificates(roots).with_no_client_auth(),
    };
    config.enable_sni = server_name;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Network {
    /// Reaches nothing yet.
    pub fn new(tls: Arc<ClientConfig>, ways: Ways) -> Self {
        let Ways { connect_to, sources, balanced, timeout } = ways;
        Self { tls, connect_to, sources, balanced, timeout, names: Mutex::default() }
    }

    /// The longest wait for bytes.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects the phone of this index to a URL's host. Of several addresses, another attempt takes another one.
    pub async fn connect(&self, url: &Url, phone: usize, attempt: usize) -> Result<Connection, Failure> {
        let (host, port) = host_and_port(url)?;
        let addresses = self.addresses(&host, port).await?;
        let mut failure = Failure::new(FailureKind::Name, format!("{host} has no address"));
        // A name can have addresses of a family that the listener has not.
        for offset in 0..addresses.len() {
            let address = addresses[(phone + attempt + offset) % addresses.len()];
            match timeout(self.timeout, self.connect_address(url, address, phone)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(refused)) if refused.kind == FailureKind::Refused => failure = refused,
                Ok(Err(other)) => return Err(other),
                Err(_) => return Err(Failure::new(FailureKind::ConnectTimeout, format!("no connection to {address}"))),
            }
            if !self.connect_to.is_empty() {
                break;
            }
        }
        Err(failure)
    }

    async fn connect_address(&self, url: &Url, address: SocketAddr, phone: usize) -> Result<Connection, Failure> {
        let mut stream = self.tcp(address, phone).await?;
        if let Some(network) = self.balanced {
            let header = proxy_header(nth(network, phone), address);
            let sent = stream.write_all(&header).await;
            sent.map_err(|error| Failure::new(FailureKind::Broken, format!("sending the PROXY header: {error}")))?;
        }
        let stream: Box<dyn Stream> = match url.scheme() {
            "https" => {
                let name = server_name(url)?;
                let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
                Box::new(connected.map_err(|error| Failure::new(FailureKind::Tls, error))?)
            }
            _ => Box::new(stream),
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| Failure::new(FailureKind::Broken, error))?;
        // What ends the connection is told to whoever waits for an answer.
        let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        Ok(Connection { sender, driver })
    }

    async fn tcp(&self, address: SocketAddr, phone: usize) -> Result<TcpStream, Failure> {
        let failed = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => FailureKind::Refused,
                std::io::ErrorKind::TimedOut => FailureKind::ConnectTimeout,
                _ => FailureKind::Connect,
            };
            Failure::new(kind, format!("{address}: {error}"))
        };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        let source = self.sources.map(|network| nth(network, phone)).filter(|ip| ip.is_ipv4() == address.is_ipv4());
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).map_err(failed)?;
        }
        let stream = socket.connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    async fn addresses(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let name = host.to_string().to_ascii_lowercase();
        let led = self.connect_to.iter().filter(|to| to.host == name && to.port == port);
        let led: Vec<SocketAddr> = led.map(|to| to.address).collect();
        if !led.is_empty() {
            return Ok(led);
        }
        match host {
            Host::Ipv4(address) => return Ok(vec![SocketAddr::new((*address).into(), port)]),
            Host::Ipv6(address) => return Ok(vec![SocketAddr::new((*address).into(), port)]),
            Host::Domain(_) => {}
        }
        let key = (name, port);
        let known = self.names.lock().expect("nothing panics while names are looked at").get(&key).cloned();
        if let Some((_, addresses)) = known.filter(|(at, _)| at.elapsed() < NAMES_KEPT) {
            return Ok(addresses);
        }
        let resolved = timeout(self.timeout, tokio::net::lookup_host((key.0.as_str(), port))).await;
        let resolved =
            resolved.map_err(|_| Failure::new(FailureKind::Name, format!("{} was not resolved in time", key.0)))?;
        let addresses: Vec<_> =
            resolved.map_err(|error| Failure::new(FailureKind::Name, format!("{}: {error}", key.0)))?.collect();
        let mut names = self.names.lock().expect("nothing panics while names are looked at");
        names.insert(key, (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Connection {
    /// Ends the connection in order; one that does not end is cut.
    pub async fn close(self) {
        drop(self.sender);
        // Past the limit the handle is dropped, and that cuts it.
        let _ = timeout(CLOSE_TIMEOUT, self.driver).await;
    }
}

fn host_and_port(url: &Url) -> Result<(Host<String>, u16), Failure> {
    let host = url.host().map(|host| host.to_owned()).zip(url.port_or_known_default());
    host.ok_or_else(|| Failure::new(FailureKind::Name, format!("{url} names no host")))
}

/// An address gets no SNI, as TLS clients do.
fn server_name(url: &Url) -> Result<ServerName<'static>, Failure> {
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(address)) => Some(IpAddr::from(address).into()),
        Some(Host::Ipv6(address)) => Some(IpAddr::from(address).into()),
        None => None,
    };
    name.ok_or_else(|| Failure::new(FailureKind::Tls, format!("{url} names no host that TLS can verify")))
}

/// The address of the phone of this index in a network; they repeat when there are more phones than addresses.
fn nth(network: IpNet, phone: usize) -> IpAddr {
    match network {
        IpNet::V4(network) => {
            let size = 1_u64 << (32 - network.prefix_len());
            // Not the network's own address, which nothing may be bound to.
            let offset = if size > 2 { 1 + phone as u64 % (size - 2) } else { 0 };
            let offset = u32::try_from(offset).expect("less than the network's size");
            std::net::Ipv4Addr::from_bits(network.network().to_bits() + offset).into()
        }
        IpNet::V6(network) => {
            let bits = 128 - network.prefix_len();
            let size = if bits >= 64 { u128::from(u64::MAX) } else { 1_u128 << bits };
            let offset = if size > 2 { 1 + phone as u128 % (size - 2) } else { 0 };
            std::net::Ipv6Addr::from_bits(network.network().to_bits() + offset).into()
        }
    }
}

fn proxy_header(source: IpAddr, listener: SocketAddr) -> Vec<u8> {
    // The port is of no interest to anybody; the listener's address is given in the source's family.
    let destination = match source {
        IpAddr::V4(_) if listener.is_ipv6() => IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) if listener.is_ipv4() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        _ => listener.ip(),
    };
    let addresses = (SocketAddr::new(source, 50_000), SocketAddr::new(destination, listener.port()));
    let header = Builder::with_addresses(Version::Two | Command::Proxy, Protocol::Stream, addresses).build();
    header.expect("two addresses of one family make a header")
}

mod anybody {
    //! Trusts anybody: for tests against a service whose authority is not at hand. Signatures are still verified.

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use std::sync::Arc;

    #[derive(Debug)]
    pub(super) struct Anybody(Arc<CryptoProvider>);

    impl Anybody {
        pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
            Self(provider)
        }
    }

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppp::v2::{Addresses, Header};

    #[test]
    fn a_name_is_led_to_an_address() {
        let to: ConnectTo = "Pool01:443:[::1]:8443".parse().unwrap();
        assert_eq!((to.host.as_str(), to.port, to.address), ("pool01", 443, "[::1]:8443".parse().unwrap()));
        for text in
            ["", "pool01", "pool01:443", "pool01:443:node1:8443", "pool01:x:127.0.0.1:1", "pool01:443:127.0.0.1"]
        {
            assert!(text.parse::<ConnectTo>().is_err(), "{text}");
        }
    }

    #[test]
    fn phones_take_the_addresses_of_a_network_in_turn() {
        let check = |network: &str, phone, expected: &str| {
            assert_eq!(nth(network.parse().unwrap(), phone), expected.parse::<IpAddr>().unwrap(), "{network} {phone}");
        };
        check("127.0.0.0/8", 0, "127.0.0.1");
        check("127.0.0.0/8", 70_000, "127.1.17.113");
        check("10.1.0.0/30", 1, "10.1.0.2");
        check("10.1.0.0/30", 2, "10.1.0.1");
        check("10.1.0.7/32", 9, "10.1.0.7");
        check("0.0.0.0/0", 1, "0.0.0.2");
        check("fd00::/64", 1, "fd00::2");
        check("::/0", 1, "::2");
    }

    #[test]
    fn the_balancer_s_header_names_the_phone_in_its_own_family() {
        for (source, listener) in
            [("10.1.1.123", "127.0.0.1:8443"), ("10.1.1.123", "[::1]:8443"), ("fd00::2", "127.0.0.1:1")]
        {
            let source: IpAddr = source.parse().unwrap();
            let bytes = proxy_header(source, listener.parse().unwrap());
            let found: IpAddr = match Header::try_from(&bytes[..]).unwrap().addresses {
                Addresses::IPv4(of) => of.source_address.into(),
                Addresses::IPv6(of) => of.source_address.into(),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, source);
        }
    }
}
