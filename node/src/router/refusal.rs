//! What a phone gets when it gets nothing: a status and a small XML document, never a stack of words (PROTOCOL.md 4).

use crate::listen::HeadFault;
use crate::log_limit::LogLimit;
use crate::wire::response::render_error;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use std::any::Any;
use std::sync::LazyLock;

/// What is read of the body of a request that is refused.
const DRAIN_LIMIT_BYTES: usize = 256 * 1024;

/// Why a request is refused before anything looks at its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The head of the request is refused.
    Head(HeadFault),
    NotFound,
    FileMethod,
    /// The client has another version than it thinks.
    PreconditionFailed,
    /// No range of the file.
    RangeNotSatisfiable,
    TooSlow,
    /// The node is too slow.
    Slow,
    /// Credentials can't be checked.
    Unavailable,
    /// As many downloads as there may be.
    NoSlot,
    /// The node does not hold the file, and can't have it now.
    NotHeld,
    /// No rule that this node knows names the file, and it can't know the newest rules.
    NotKnown,
    Failed,
}

impl Refusal {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::Head(fault) => fault.answer(),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing at this address"),
            Self::FileMethod => (StatusCode::METHOD_NOT_ALLOWED, "update files answer GET and HEAD"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "the file is another version"),
            Self::RangeNotSatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such range"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the request took too long"),
            Self::Slow => (StatusCode::SERVICE_UNAVAILABLE, "the node is too slow now; try again later"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "credentials cannot be checked now"),
            Self::NoSlot => (StatusCode::SERVICE_UNAVAILABLE, "too many downloads run now; try again later"),
            Self::NotHeld => (StatusCode::SERVICE_UNAVAILABLE, "this node does not hold the file yet; try again later"),
            Self::NotKnown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "this node has not heard of the file, and is cut off now; try again later",
            ),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the request could not be answered"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = self.parts();
        let xml = [(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, xml, render_error(message)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::FileMethod => headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD")),
            Self::TooSlow => headers.insert(header::CONNECTION, HeaderValue::from_static("close")),
            _ => None,
        };
        response
    }
}

/// The response, once the body of the request is read and thrown away: a phone that still writes when the connection is
/// closed never sees the response. A body beyond the limit, or one that waits to be asked for, is not read.
pub(super) async fn after_body(request: Request<Body>, mut response: Response) -> Response {
    if request.headers().contains_key(header::EXPECT) {
        return response;
    }
    let mut body = request.into_body();
    let mut left = DRAIN_LIMIT_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, |data| data.len());
        let Some(rest) = left.checked_sub(length) else {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        };
        left = rest;
    }
    response
}

/// What makes one request panic makes the next one panic too.
static PANICS: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);

/// The answer of a handler that panicked. The panic itself is in the log; nothing of it is sent.
#[expect(clippy::needless_pass_by_value, reason = "the shape that the layer calls")]
pub(super) fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    if let Some(left_out) = PANICS.admit() {
        tracing::error!(cause = text.unwrap_or("unknown"), left_out, "a phone's request made its handler panic");
    }
    Refusal::Failed.into_response()
}
