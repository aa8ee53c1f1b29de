//! A phone that speaks to a listener through a real socket: behind a balancer or not, over TLS or not. It writes exactly
//! the bytes it is told to, so that tests can be wrong on purpose.

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What a Lync Phone Edition phone calls itself (PROTOCOL.md 2).
pub const USER_AGENT: &str = "Microsoft UCPhone Device";

/// A connection to a listener.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// A phone and the way it takes to its listener.
#[derive(Clone)]
pub struct Phone {
    listener: SocketAddr,
    balancer_header: Option<Vec<u8>>,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, ...
    pub status: u16,
    /// Names in lower case, in the order they came in.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Phone {
    /// A phone that speaks plain HTTP.
    pub fn new(listener: SocketAddr) -> Self {
        Self { listener, balancer_header: None, tls: None }
    }

    /// Speaks TLS, trusts the authority in this PEM file, and calls the listener by `name`: a DNS name, or an address,
    /// which TLS clients send no SNI for.
    pub fn over_tls(self, authority: &Path, name: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        Self { tls: Some((Arc::new(config), ServerName::try_from(name.to_owned()).unwrap())), ..self }
    }

    /// Comes by way of a balancer, which says that the phone's address is `source`.
    pub fn behind_balancer(self, source: IpAddr) -> Self {
        Self { balancer_header: Some(proxy_header(source)), ..self }
    }

    /// Sends these bytes before anything else.
    pub fn with_first_bytes(self, bytes: &[u8]) -> Self {
        Self { balancer_header: Some(bytes.to_vec()), ..self }
    }

    /// Connects: PROXY header, then TLS, as far as each is wanted.
    pub async fn connect(&self) -> Result<Box<dyn Connection>> {
        timeout(DEADLINE, self.connect_unbounded()).await.context("connecting to the listener")?
    }

    async fn connect_unbounded(&self) -> Result<Box<dyn Connection>> {
        let mut stream = TcpStream::connect(self.listener).await?;
        if let Some(header) = &self.balancer_header {
            stream.write_all(header).await?;
        }
        let Some((config, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        Ok(Box::new(connector.connect(name.clone(), stream).await?))
    }

    /// Sends a request on a connection of its own, and reads the response to the connection's end.
    pub async fn send(&self, request: &[u8]) -> Result<Answer> {
        let mut connection = self.connect().await?;
        connection.write_all(request).await?;
        let head = request.starts_with(b"HEAD ");
        read_answer(&mut connection, head).await
    }

    /// Sends a request of this method, with more header lines and a body.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n",
            self.listener
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(&[head.as_bytes(), b"\r\n", body].concat()).await
    }

    /// Downloads.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, &[], b"").await
    }

    /// Asks for an update.
    pub async fn post(&self, path: &str, xml: &str) -> Result<Answer> {
        self.ask("POST", path, &[("Content-Type", "text/xml; charset=utf-8")], xml.as_bytes()).await
    }
}

/// Reads one response to the end of the connection; its length must be the one it says.
pub async fn read_answer(connection: &mut (impl AsyncRead + Unpin), to_head: bool) -> Result<Answer> {
    let mut bytes = Vec::new();
    timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.context("reading the response")??;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").context("no response")?;
    let mut lines = std::str::from_utf8(&bytes[..end])?.split("\r\n");
    let status_line = lines.next().context("no status line")?;
    let status = status_line.split(' ').nth(1).context("no status")?.parse()?;
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').context("a header line without ':'")?;
        Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let answer = Answer { status, headers: headers.collect::<Result<_>>()?, body: bytes[end + 4..].to_vec() };
    if to_head || status == 304 {
        ensure!(answer.body.is_empty(), "a body where there must be none");
    } else if answer.header("content-length") != answer.body.len().to_string() {
        bail!("{} bytes, {:?} were announced", answer.body.len(), answer.header("content-length"));
    }
    Ok(answer)
}

/// A PROXY protocol v2 header of a TCP connection from `source`.
pub fn proxy_header(source: IpAddr) -> Vec<u8> {
    let (family, mut addresses) = match source {
        IpAddr::V4(v4) => (0x11, [v4.octets(), [10, 0, 0, 1]].concat()),
        IpAddr::V6(v6) => (0x21, [v6.octets(), [0; 16]].concat()),
    };
    addresses.extend([0xC0, 0x00, 0x01, 0xBB]);
    let length = u8::try_from(addresses.len()).unwrap();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, family, 0, length], &addresses].concat()
}
