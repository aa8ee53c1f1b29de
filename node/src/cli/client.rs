//! The HTTP client of the administrators' API: sends a request, reads the answer under limits, and turns whatever
//! goes wrong into one sentence that a person can act on. It knows no command and no route.

use crate::api::types::ErrorBody;
use anyhow::{Context as _, anyhow, bail};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// What a node says of itself, which needs nothing but the node.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// An import: the way of the package to the node, and its verification there.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Bytes of an answer that are read at most: lists of some hundred thousand rules.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// The node answers, but what it needs does not: the Central Management store, or the file store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(String);

/// A node, as an administrator.
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Client {
    /// A client of the node at `server` (`https://host:port`, without a path). The authority in `ca_file` (PEM) is the
    /// only one trusted when it is given; the machine's authorities otherwise.
    pub fn new(server: &str, token: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        // A proxy in the environment is for the Internet. The management listener is inside, often on this machine.
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ucupdates/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            builder = builder.tls_certs_only(authorities(path)?);
        }
        let http = builder.build().context("preparing the HTTP client")?;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// `GET`, with a query.
    pub async fn get<A: DeserializeOwned>(&self, route: &str, query: &impl Serialize) -> anyhow::Result<A> {
        self.answer(self.request(Method::GET, route).query(query)).await
    }

    /// `POST`, `PATCH` or another method with a query and a JSON body.
    pub async fn send<A: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        query: &impl Serialize,
        body: &impl Serialize,
    ) -> anyhow::Result<A> {
        self.answer(self.request(method, route).query(query).json(body)).await
    }

    /// `DELETE`, with a query.
    pub async fn delete<A: DeserializeOwned>(&self, route: &str, query: &impl Serialize) -> anyhow::Result<A> {
        self.answer(self.request(Method::DELETE, route).query(query)).await
    }

    /// `POST` of a stream of `size_bytes` bytes.
    pub async fn upload<A: DeserializeOwned>(
        &self,
        route: &str,
        query: &impl Serialize,
        size_bytes: u64,
        bytes: reqwest::Body,
    ) -> anyhow::Result<A> {
        let request = self.request(Method::POST, route).query(query).header(CONTENT_LENGTH, size_bytes);
        self.answer(request.header("content-type", "application/octet-stream").timeout(IMPORT_TIMEOUT).body(bytes))
            .await
    }

    /// What the node says to everybody of how it stands; none when it says nothing.
    pub async fn ready(&self) -> Option<String> {
        let request = self.http.get(format!("{}/ready", self.server)).timeout(READY_TIMEOUT);
        let mut response = request.send().await.ok()?;
        let first = response.chunk().await.ok()??;
        let known = matches!(response.status(), StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE);
        String::from_utf8(first.to_vec()).ok().filter(|text| known && text.contains("ready\n"))
    }

    /// Whether the node says that it is ready to serve phones, and what it says; for whoever asks, without a token.
    pub async fn is_ready(&self) -> anyhow::Result<(bool, String)> {
        let request = self.http.get(format!("{}/ready", self.server)).timeout(READY_TIMEOUT);
        let answer = async {
            let mut response = request.send().await?;
            let text = response.chunk().await?.unwrap_or_default();
            Ok((response.status(), String::from_utf8_lossy(&text).into_owned()))
        };
        let (status, text) = answer.await.map_err(|error: reqwest::Error| anyhow!(self.unreachable(&error)))?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => Ok((status == StatusCode::OK, text)),
            _ => bail!(self.refusal(status, &[])),
        }
    }

    fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{route}", self.server)).bearer_auth(&self.token)
    }

    async fn answer<A: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<A> {
        let (status, body) = async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > ANSWER_LIMIT_BYTES {
                    return Ok((StatusCode::INSUFFICIENT_STORAGE, Vec::new()));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status(), body))
        }
        .await
        .map_err(|error: reqwest::Error| anyhow!(self.unreachable(&error)))?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            bail!(Unavailable(self.refusal(status, &body)));
        }
        if !status.is_success() {
            bail!(self.refusal(status, &body));
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{} answered what this version of ucupdates does not understand", self.server))
    }

    /// Why no answer came, in a sentence.
    fn unreachable(&self, error: &reqwest::Error) -> String {
        let server = &self.server;
        let cause = root_cause(error);
        if cause.contains("certificate") {
            return format!(
                "cannot trust {server}: {cause}; name the authority that signed its certificate with --ca-file (a node's \
                 own is tls/ca.pem in its data folder)"
            );
        }
        if error.is_connect() {
            let cause = if error.is_timeout() { "no answer in time".to_owned() } else { cause };
            let question = if cause.contains("lookup") { "is the name right?" } else { "is the node running?" };
            return format!("cannot reach {server}: {cause}; {question}");
        }
        if error.is_timeout() {
            return format!("{server} did not answer in time; is the node overloaded? its log may say more");
        }
        format!("the connection to {server} broke: {cause}")
    }

    /// Why the node said no, in a sentence.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> String {
        let server = &self.server;
        let told = serde_json::from_slice::<ErrorBody>(body).ok().map(|body| body.message);
        match (status, told) {
            (StatusCode::UNAUTHORIZED, _) => format!(
                "the token is not accepted by {server}: give another with UCUPDATES_TOKEN or --token; `ucupdates \
                 first-token` makes one on a node, and a start of `ucupdates standard` makes a new one where its own \
                 was revoked"
            ),
            (_, Some(message)) => message,
            (StatusCode::INSUFFICIENT_STORAGE, None) => format!("the answer of {server} is too long"),
            (status, None) if status.is_server_error() => format!("{server} failed: {status}"),
            (status, None) => format!(
                "{server} answered {status}, which is not how a node's management listener answers; is --server right?"
            ),
        }
    }
}

/// The certificates of a PEM file.
fn authorities(path: &Path) -> anyhow::Result<Vec<reqwest::Certificate>> {
    let doing = || format!("reading the authority's certificate {}", path.display());
    let pem = std::fs::read(path).with_context(doing)?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).with_context(doing)?;
    if certificates.is_empty() {
        bail!("{} holds no certificate (expected PEM)", path.display());
    }
    Ok(certificates)
}

/// The innermost cause; of the operating system's errors the words, without the number.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::StatusBody;
    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::RawQuery;
    use axum::http::HeaderMap;
    use axum::response::IntoResponse;
    use axum::routing::{get, post};
    use tokio::net::TcpListener;

    /// A server on loopback that ends with the test's runtime.
    async fn serve(router: Router) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Client::new(&server, "secret", None).unwrap()
    }

    async fn told(client: &Client, route: &str) -> String {
        format!("{:#}", client.get::<StatusBody>(route, &()).await.unwrap_err())
    }

    fn error(status: u16, message: &str) -> impl IntoResponse + use<> {
        let body = ErrorBody { code: "refused".into(), message: message.into() };
        (StatusCode::from_u16(status).unwrap(), axum::Json(body))
    }

    #[tokio::test]
    async fn requests_carry_the_token_the_query_and_the_length() {
        let echo = |headers: HeaderMap, RawQuery(query): RawQuery, body: Bytes| async move {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            axum::Json((header("authorization"), header("content-length"), query, body.len()))
        };
        let client = serve(Router::new().route("/api/v1/packages", post(echo))).await;
        let chunks = tokio_stream::iter([Ok::<_, std::io::Error>("abc"), Ok("de")]);
        let body = reqwest::Body::wrap_stream(chunks);
        let seen: (String, String, String, usize) =
            client.upload("/packages", &[("name", "a b.cab")], 5, body).await.unwrap();
        assert_eq!(seen, ("Bearer secret".into(), "5".into(), "name=a+b.cab".into(), 5));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_nodes_words() {
        let router = Router::new()
            .route("/api/v1/a", get(async || error(409, "version 1.0.0.0 is stored with other bytes")))
            .route("/api/v1/b", get(async || error(401, "no")))
            .route("/api/v1/c", get(async || (StatusCode::BAD_GATEWAY, "<html>")))
            .route("/api/v1/d", get(async || "<html>"));
        let client = serve(router).await;
        assert_eq!(told(&client, "/a").await, "version 1.0.0.0 is stored with other bytes");
        assert!(told(&client, "/b").await.starts_with("the token is not accepted by http://127.0.0.1:"));
        assert!(told(&client, "/c").await.ends_with("failed: 502 Bad Gateway"));
        assert!(told(&client, "/d").await.contains("does not understand"));
        assert!(told(&client, "/missing").await.ends_with("is --server right?"));
    }

    /// The node does not read on when it has seen enough.
    #[tokio::test]
    async fn a_refusal_in_the_middle_of_an_upload_is_told() {
        let client = serve(Router::new().route("/api/v1/packages", post(async || error(413, "too large")))).await;
        const SIZE_BYTES: usize = 64 * 1024 * 1024;
        let chunk = Bytes::from(vec![0; 64 * 1024]);
        let chunks = (0..SIZE_BYTES / chunk.len()).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
        let body = reqwest::Body::wrap_stream(tokio_stream::iter(chunks));
        let refused = client.upload::<StatusBody>("/packages", &(), SIZE_BYTES as u64, body).await.unwrap_err();
        assert_eq!(refused.to_string(), "too large");
    }

    #[tokio::test]
    async fn a_node_that_does_not_run_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&server, "secret", None).unwrap();
        let expected = format!("cannot reach {server}: connection refused; is the node running?");
        assert_eq!(told(&client, "/status").await, expected);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let refused = Client::new("https://a", "t", Some(file.path())).err().unwrap().to_string();
        assert!(refused.contains("holds no certificate"), "{refused}");
        let missing = Client::new("https://a", "t", Some(Path::new("/missing.pem"))).err().unwrap();
        assert!(format!("{missing:#}").contains("/missing.pem: No such file"), "{missing:#}");
    }
}
