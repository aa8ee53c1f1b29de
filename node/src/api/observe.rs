//! What is watched from outside: whether the node lives, whether it is ready, its metrics; and the count of all requests
//! to the management listener. Nothing here asks the database, so that it answers when that does not.

use super::Admin;
use super::auth::{bearer, digest};
use crate::metrics::Fault;
use crate::metrics::text::{Format, classic};
use crate::telemetry;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schema::package::Digest;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;

/// The response's header that names its request in the node's log.
const REQUEST_ID: &str = "x-request-id";

/// A page for programs; never an old one from a cache in between.
fn page(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], text.into()).into_response()
}

/// Whether the node answers at all.
pub(super) async fn live() -> Response {
    page(StatusCode::OK, "live\n")
}

/// Whether phones asking now would be answered from rules, and offered the files that those need; in the text, how old the
/// rules are, and what is wrong.
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.membership.draining.is_cancelled() {
        return page(StatusCode::SERVICE_UNAVAILABLE, "draining: the node was told to stop\n");
    }
    let generation = admin.plane.snapshot.load().as_ref().map(|snapshot| snapshot.rules.generation());
    let replica = Arc::clone(&admin.replication.state.borrow());
    if generation.is_some() && !replica.ready {
        let (held, needed) = (replica.held.files, replica.needed.files);
        let text = format!("not ready\nreplicating: {held} of the {needed} files that rules need are here\n");
        return page(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let status = if generation.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = admin.standings.now().told(generation, admin.clock.now());
    look_at_the_log(&admin);
    let faults = admin.plane.metrics.faults.sentences_of_the_node();
    page(status, faults.into_iter().fold(told, |told, fault| told + &fault + "\n"))
}

/// The token that a scrape must bring. Only its digest is kept, and compared: in the time that it takes, nothing shows
/// of the token.
#[derive(Debug)]
pub struct ScrapeToken(Digest);

impl ScrapeToken {
    /// Of this text.
    pub fn new(token: &str) -> Self {
        Self(digest(token))
    }
}

/// What is wrong now, a sentence each: what the node's parts met, and what the process did.
pub(super) fn faults(admin: &Admin) -> Vec<String> {
    look_at_the_log(admin);
    admin.plane.metrics.faults.sentences()
}

fn look_at_the_log(admin: &Admin) {
    let faults = &admin.plane.metrics.faults;
    match telemetry::trouble() {
        Some(sentence) => drop(faults.stands(Fault::LogNotWritten, sentence)),
        None => faults.is_over(Fault::LogNotWritten),
    }
}

/// What Prometheus scrapes.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if let Some(ScrapeToken(wanted)) = &admin.scrape_token
        && bearer(&headers).map(digest).as_ref() != Some(wanted)
    {
        let text = "the token that [metrics] token_file names is needed: send `Authorization: Bearer <token>`\n";
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
    }
    let plane = &admin.plane;
    look_at_the_log(&admin);
    let (slots, in_use, waiting) = plane.phone_auth.slots();
    plane.metrics.credentials.slots(slots, in_use, waiting);
    plane.metrics.snapshots.set(plane.snapshot.load().as_deref(), &admin.standings.now(), admin.clock.now());
    plane.metrics.replica.set(&admin.replication.counts, &admin.replication.state.borrow());
    let format = Format::accepted(headers.get(header::ACCEPT));
    let text = plane.metrics.text();
    let text = if format == Format::Classic { classic(&text) } else { text };
    ([(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// Counts a request and gives it an id, under which the log has what is said on its way.
pub(super) async fn request(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = format!("{:016x}", rand::random::<u64>());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = began.elapsed();
    let route = route.as_ref().map(MatchedPath::as_str);
    admin.plane.metrics.api.answered(route, &method, response.status(), took);
    let (status, took_ms) = (response.status().as_u16(), took.as_millis());
    tracing::debug!(parent: &span, route, %method, status, took_ms, "a request to the management listener was answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
