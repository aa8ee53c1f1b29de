//! A phone's requests over a connection: the check, and the download that goes on where it broke off. Whether an answer
//! is right by the rules is not decided here; whether a file is whole and the one it says it is, is.

use crate::simulation::failure::{Failure, FailureKind};
use crate::simulation::model::ModelFile;
use crate::simulation::network::{Connection, Network};
use crate::wire::xml::SIZE_LIMIT_BYTES;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use url::Url;

/// What a Lync Phone Edition phone calls itself (PROTOCOL.md 2).
const USER_AGENT: HeaderValue = HeaderValue::from_static("Microsoft UCPhone Device");

/// Who asks, and the how-manieth time.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The phone's index: it chooses addresses.
    pub phone: usize,
    /// From 0.
    pub attempt: usize,
    /// For phones outside.
    pub authorization: Option<&'a HeaderValue>,
}

/// The answer to a check; its status is below 500.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut where no answer can be as long.
    pub body: Bytes,
}

/// Why a download is not whole, or not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadError {
    /// Another attempt may go on.
    Failed(Failure),
    /// The service does not do what it says: a sentence.
    Wrong(String),
}

impl From<Failure> for DownloadError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn wrong(text: impl Into<String>) -> DownloadError {
    DownloadError::Wrong(text.into())
}

/// Asks for an update, on a connection of its own.
pub async fn ask(network: &Network, url: &Url, body: String, asker: Asker<'_>) -> Result<Reply, Failure> {
    let mut connection = network.connect(url, asker.phone, asker.attempt).await?;
    let mut request = request(Method::POST, url, asker, Bytes::from(body))?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    let reply = read_reply(network, send(network, &mut connection, request).await?).await;
    connection.close().await;
    reply
}

fn request(method: Method, url: &Url, asker: Asker<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, host);
    request = request.header(header::USER_AGENT, USER_AGENT);
    if let Some(authorization) = asker.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Full::new(body)).map_err(|error| Failure::new(FailureKind::Name, format!("{url}: {error}")))
}

async fn send(
    network: &Network,
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    match timeout(network.timeout(), connection.sender.send_request(request)).await {
        Ok(Ok(response)) if response.status().is_server_error() => Err(server_error(&response)),
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(Failure::new(FailureKind::Broken, causes(&error))),
        Err(_) => Err(Failure::new(FailureKind::AnswerTimeout, "no answer in time")),
    }
}

fn server_error(response: &Response<Incoming>) -> Failure {
    let text = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after_seconds = text.and_then(|text| text.trim().parse().ok());
    let busy = response.status() == StatusCode::SERVICE_UNAVAILABLE && retry_after_seconds.is_some();
    let kind = if busy { FailureKind::Busy } else { FailureKind::ServerError };
    Failure { retry_after_seconds, ..Failure::new(kind, response.status()) }
}

async fn read_reply(network: &Network, response: Response<Incoming>) -> Result<Reply, Failure> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(network, &mut body, FailureKind::Broken).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > SIZE_LIMIT_BYTES {
            break;
        }
    }
    Ok(Reply { status: parts.status, headers: parts.headers, body: bytes.into() })
}

async fn next_chunk(network: &Network, body: &mut Incoming, cut: FailureKind) -> Result<Option<Bytes>, Failure> {
    loop {
        match timeout(network.timeout(), body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
            Ok(Some(Err(error))) => return Err(Failure::new(cut, causes(&error))),
            Err(_) => return Err(Failure::new(FailureKind::AnswerTimeout, "no more bytes in time")),
        }
    }
}

/// hyper says what it did; the cause says why.
fn causes(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The connection, if another request can be sent on it.
async fn still_open(kept: Option<Connection>) -> Option<Connection> {
    let mut connection = kept?;
    connection.sender.ready().await.is_ok().then_some(connection)
}

/// A file that is being downloaded. Its bytes are hashed and not kept.
pub struct Download<'a> {
    url: Url,
    expected: Option<&'a ModelFile>,
    hasher: Sha256,
    received_bytes: u64,
    total_bytes: Option<u64>,
    etag: Option<String>,
    /// How often it went on where it had broken off.
    pub resumed: u64,
}

impl<'a> Download<'a> {
    /// Nothing of it is here yet.
    pub fn new(url: Url, expected: Option<&'a ModelFile>) -> Self {
        let hasher = Sha256::new();
        Self { url, expected, hasher, received_bytes: 0, total_bytes: None, etag: None, resumed: 0 }
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Bytes that are here.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Fetches what is missing over the connection, or over a new one, which is left for the next file; then compares the
    /// bytes with what they must be.
    pub async fn attempt(
        &mut self,
        network: &Network,
        kept: &mut Option<Connection>,
        asker: Asker<'_>,
    ) -> Result<(), DownloadError> {
        let mut connection = match still_open(kept.take()).await {
            Some(connection) => connection,
            None => network.connect(&self.url, asker.phone, asker.attempt).await?,
        };
        let response = send(network, &mut connection, self.request(asker)?).await?;
        self.begin(&response)?;
        let mut body = response.into_body();
        while let Some(chunk) = next_chunk(network, &mut body, FailureKind::CutDownload).await? {
            self.hasher.update(&chunk);
            self.received_bytes += chunk.len() as u64;
        }
        *kept = Some(connection);
        self.verify()
    }

    fn request(&self, asker: Asker<'_>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = request(Method::GET, &self.url, asker, Bytes::new())?;
        if let Some(etag) = self.etag.as_ref().filter(|_| self.received_bytes > 0) {
            let range = format!("bytes={}-", self.received_bytes);
            for (name, value) in [(header::RANGE, range.as_str()), (header::IF_RANGE, etag)] {
                let value = HeaderValue::from_str(value).map_err(|error| Failure::new(FailureKind::Broken, error))?;
                request.headers_mut().insert(name, value);
            }
        }
        Ok(request)
    }

    /// Reads the head of a response: the whole file, or the rest of the one that was begun.
    fn begin(&mut self, response: &Response<Incoming>) -> Result<(), DownloadError> {
        let url = &self.url;
        let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let length = text(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let status = response.status();
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Err(wrong(format!("{url} was answered {status}")));
        }
        let etag = text(header::ETAG).ok_or_else(|| wrong(format!("{url} came without an ETag")))?.to_owned();
        match status {
            StatusCode::OK => {
                (self.hasher, self.received_bytes) = (Sha256::new(), 0);
                self.total_bytes = length;
            }
            _ if self.received_bytes > 0 => {
                let range = text(header::CONTENT_RANGE).unwrap_or_default();
                let total = content_range(range, self.received_bytes);
                let total = total.filter(|total| self.total_bytes.is_none_or(|known| known == *total));
                let Some(total) = total else {
                    let from = self.received_bytes;
                    return Err(wrong(format!("asked for {url} from byte {from}, the Content-Range is {range:?}")));
                };
                if self.etag.as_ref() != Some(&etag) {
                    return Err(wrong(format!("a part of {url} came with another ETag than the beginning: {etag}")));
                }
                self.total_bytes = Some(total);
                self.resumed += 1;
            }
            _ => return Err(wrong(format!("{url} was answered {status} although the whole file was asked for"))),
        }
        self.etag = Some(etag);
        Ok(())
    }

    /// The bytes are all here: are they the right ones?
    fn verify(&self) -> Result<(), DownloadError> {
        let (url, received) = (&self.url, self.received_bytes);
        if let Some(total) = self.total_bytes.filter(|total| *total != received) {
            return Err(wrong(format!("{url} has {received} bytes, {total} were announced")));
        }
        let digest = hex::encode(self.hasher.clone().finalize());
        if let Some(expected) = self.expected {
            if expected.size_bytes != received {
                return Err(wrong(format!("{url} has {received} bytes, expected {}", expected.size_bytes)));
            }
            if expected.digest != digest {
                return Err(wrong(format!("{url} has the digest {digest}, expected {}", expected.digest)));
            }
        }
        let etag = self.etag.as_deref().unwrap_or_default();
        let tag = etag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or_default();
        let names_digest = tag.len() == digest.len() && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match names_digest {
            true if tag.eq_ignore_ascii_case(&digest) => Ok(()),
            true => Err(wrong(format!("{url} has the digest {digest}, its ETag is {etag}"))),
            false if self.expected.is_some() => Ok(()),
            false => Err(wrong(format!(
                "{url} has the ETag {etag}, which is no SHA-256, so nothing tells what the bytes should be"
            ))),
        }
    }
}

/// The whole length in `bytes FROM-LAST/TOTAL`, when it is the rest from that byte on.
fn content_range(text: &str, from: u64) -> Option<u64> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let [first, last, total] = [first, last, total].map(|number| number.parse::<u64>().ok());
    total.filter(|total| first == Some(from) && last.is_some_and(|last| last + 1 == *total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_must_be_the_rest_of_the_file() {
        assert_eq!(content_range("bytes 5-9/10", 5), Some(10));
        for text in ["", "bytes 4-9/10", "bytes 5-8/10", "bytes 5-9/*", "bytes */10", "5-9/10"] {
            assert_eq!(content_range(text, 5), None, "{text}");
        }
    }
}
