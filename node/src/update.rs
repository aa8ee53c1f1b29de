//! The update request handler: read, decide, answer, record. Routes and the check of credentials are not here; whoever
//! calls has done that, and says so with a [`Caller`].

use crate::decide::{Decision, Reason, decide};
use crate::listen::is_too_slow;
use crate::log_limit::LogLimit;
use crate::metrics::UnreadCause;
use crate::plane::{PhonePlane, Side};
use crate::wire::request::{UpdateRequest, parse_request};
use crate::wire::response::{Answer, AnswerFile, file_url, render_error, render_response};
use crate::wire::xml::SIZE_LIMIT_BYTES;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use jiff::Timestamp;
use schema::audit::{AuditModule, AuditRecord};
use schema::package::Update;
use schema::rule_set::RuleSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What the listener and the credential check know of whoever asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The side of the listener.
    pub side: Side,
    /// The phone's address.
    pub address: IpAddr,
    /// The account, when credentials were checked.
    pub account: Option<String>,
}

/// An answer to a phone: always well-formed XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneAnswer {
    /// The status.
    pub status: StatusCode,
    /// XML.
    pub body: String,
    /// Why; also put into the response's extensions.
    pub reason: Reason,
}

impl PhoneAnswer {
    /// The answer to who comes from outside without credentials, or with wrong ones: 401 (PROTOCOL.md 4). The router
    /// adds the challenges.
    pub fn anonymous_refused() -> Self {
        let message =
            "anonymous access is not supported from outside: sign in with the name and password of an account";
        Self::refused(StatusCode::UNAUTHORIZED, message, Reason::AnonymousRefused)
    }

    /// The answer when the credential check has no free slot: no update.
    pub fn overload(plane: &PhonePlane) -> Self {
        Self::no_update(plane, Reason::Overload)
    }

    fn no_update(plane: &PhonePlane, reason: Reason) -> Self {
        let body = render_response(&plane.dialect, &Answer::default());
        Self { status: StatusCode::OK, body, reason }
    }

    fn refused(status: StatusCode, message: &str, reason: Reason) -> Self {
        Self { status, body: render_error(message), reason }
    }
}

impl IntoResponse for PhoneAnswer {
    /// With the headers of PROTOCOL.md 4; those of a challenge are the router's.
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response.extensions_mut().insert(self.reason);
        response
    }
}

/// Answers a request to the handler's path, of any method. The body is read here, under its own limit; its content type
/// is not looked at, because phones of unknown kinds may send any (ours).
pub async fn handle(plane: &PhonePlane, caller: Caller, request: Request) -> Response {
    if request.method() != Method::POST {
        let message = "this address takes update requests by POST";
        return PhoneAnswer::refused(StatusCode::METHOD_NOT_ALLOWED, message, Reason::Unreadable).into_response();
    }
    let answered = match read(plane, request.into_body()).await {
        Ok(Whole { body, _slot }) => {
            let began = Instant::now();
            let answered = answer(plane, &caller, body).await;
            plane.metrics.phones.check(answered.reason, began.elapsed());
            answered
        }
        Err((refusal, cause)) => {
            if let Some(cause) = cause {
                plane.metrics.unread.unread(cause);
            }
            plane.metrics.phones.turned_away(refusal.reason);
            refusal
        }
    };
    answered.into_response()
}

/// What update requests may cost a node, besides their connections.
#[derive(Debug)]
pub struct CheckLimits {
    large: Semaphore,
    unreadable: [LogLimit; UnreadCause::COUNT],
}

impl CheckLimits {
    /// So many bodies beyond `SMALL_BYTES` in memory at one time.
    pub fn new(most_large: usize) -> Self {
        Self { large: Semaphore::new(most_large), unreadable: Default::default() }
    }
}

impl Default for CheckLimits {
    /// 16 MiB of bodies.
    fn default() -> Self {
        Self::new(256)
    }
}

/// What a body may have without being counted: real ones have less than 1 KiB, so that no number of large ones keeps a
/// real phone from its answer.
const SMALL_BYTES: usize = 8 * 1024;

/// A body that arrived, and the right to keep it in memory.
struct Whole<'a> {
    body: Bytes,
    _slot: Option<SemaphorePermit<'a>>,
}

/// What comes instead of a body: an answer, and why it was not read.
type Unread = (PhoneAnswer, Option<UnreadCause>);

async fn read(plane: &PhonePlane, mut body: Body) -> Result<Whole<'_>, Unread> {
    let refused = |status, message, cause| (PhoneAnswer::refused(status, message, Reason::Unreadable), Some(cause));
    let too_large = || {
        let message = "an update request is 65536 bytes at most";
        refused(StatusCode::PAYLOAD_TOO_LARGE, message, UnreadCause::TooLarge)
    };
    if body.size_hint().lower() > SIZE_LIMIT_BYTES as u64 {
        return Err(too_large());
    }
    let (mut read, mut slot) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match is_too_slow(&error) {
            true => refused(StatusCode::REQUEST_TIMEOUT, "the body came too slowly", UnreadCause::TooSlow),
            false => refused(StatusCode::BAD_REQUEST, "the body did not arrive whole", UnreadCause::Incomplete),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length_bytes = read.len() + data.len();
        if length_bytes > SIZE_LIMIT_BYTES {
            return Err(too_large());
        }
        if length_bytes > SMALL_BYTES && slot.is_none() {
            let free = plane.checks.large.try_acquire();
            slot = Some(free.map_err(|_| (PhoneAnswer::overload(plane), None))?);
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(Whole { body: data, _slot: slot });
        }
        read.extend_from_slice(&data);
    }
    Ok(Whole { body: read.freeze(), _slot: slot })
}

/// Answers the body of an update request. A check that can be read is one record in the audit log, whatever its answer.
pub async fn answer(plane: &PhonePlane, caller: &Caller, body: Bytes) -> PhoneAnswer {
    if caller.side == Side::Outside && caller.account.is_none() {
        return PhoneAnswer::anonymous_refused();
    }
    let now = plane.clock.now();
    let request = match parse_request(&plane.dialect, &body) {
        Ok(request) => request,
        Err(error) => {
            let cause = UnreadCause::from(&error);
            plane.metrics.unread.unread(cause);
            if let Some(left_out) = plane.checks.unreadable[cause as usize].admit() {
                tracing::info!(%error, address = %caller.address, left_out, "a request could not be read");
            }
            if let Some(capture) = &plane.capture {
                plane.metrics.unread.captured(capture.keep(body, now).await);
            }
            return PhoneAnswer::refused(StatusCode::BAD_REQUEST, &error.to_string(), Reason::Unreadable);
        }
    };
    let snapshot = plane.snapshot.load_full();
    let (answer, offered) = match snapshot.as_deref() {
        Some(snapshot) => {
            let decision = decide(&request, &snapshot.rules, &snapshot.servable);
            let offered = offered(&decision, &snapshot.rules, caller.side);
            (tell(plane, &decision, &snapshot.rules), offered)
        }
        None => (PhoneAnswer::no_update(plane, Reason::NoData), Vec::new()),
    };
    let UpdateRequest { mac, vendor, model, .. } = &request;
    tracing::debug!(reason = answer.reason.as_str(), address = %caller.address, mac, vendor, model, "check");
    plane.audit_log.record(record(request, offered, caller, now));
    answer
}

fn tell(plane: &PhonePlane, decision: &Decision, rules: &RuleSet) -> PhoneAnswer {
    let files = decision.offers().map(|update| AnswerFile::new(update, &rules.pool().urls)).collect();
    let body = render_response(&plane.dialect, &Answer { files });
    PhoneAnswer { status: StatusCode::OK, body, reason: decision.reason() }
}

/// The last column of the audit log (PROTOCOL.md 9): where a phone of this side fetches the images.
fn offered(decision: &Decision, rules: &RuleSet, side: Side) -> Vec<AuditModule> {
    let urls = &rules.pool().urls;
    let base = match side {
        Side::Inside => urls.internal_files.as_ref(),
        Side::Outside => urls.external_files.as_ref(),
    };
    let module = |update: &Arc<Update>| AuditModule {
        file_name: file_url(base, &update.image().path),
        version: update.version(),
        time_stamp: Some(update.image().time_stamp),
    };
    decision.offers().map(module).collect()
}

fn record(request: UpdateRequest, offered: Vec<AuditModule>, caller: &Caller, now: Timestamp) -> AuditRecord {
    let requested = request.modules.into_iter().map(|module| AuditModule {
        file_name: module.file_name,
        version: module.version,
        time_stamp: module.time_stamp,
    });
    let proved = || caller.account.clone().unwrap_or_default();
    AuditRecord {
        logged_at: now,
        user: if request.user.is_empty() { proved() } else { request.user },
        host: caller.address,
        device_type: request.device_type,
        request_date_time: request.request_date_time,
        mac: request.mac,
        serial: request.serial,
        vendor: request.vendor,
        model: request.model,
        revision: request.revision,
        locale: request.locale,
        requested: requested.collect(),
        offered,
    }
}

#[cfg(test)]
pub(crate) mod tests;
