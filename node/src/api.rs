//! The administrators' JSON API: every route of `/api/v1`, in one list, and what the handlers share. It stands on the
//! management listener alone, and every request needs a token. Handlers read: parse, act, answer.

mod accounts;
mod auth;
mod clear;
mod configuration;
mod error;
mod explain;
mod intake;
mod nodes;
mod observe;
mod packages;
mod pools;
mod records;
mod replicas;
mod rules;
pub(crate) mod snapshot;
mod stepping_stones;
mod test_devices;
pub mod types;

pub use auth::{digest as token_digest, new_token};
pub use error::ApiError;
pub use intake::{Incoming, Taken};
pub use observe::ScrapeToken;

use crate::audit_log::Spool;
use crate::listen::HeadFault;
use crate::plane::PhonePlane;
use crate::snapshot::standing::Standings;
use crate::snapshot::{Membership, Refresher};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use http::Method;
use schema::store::{Database, DryRun};
use schema::topology::{NodeName, Pool};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::Blobs;
use sync::clock::Clock;
use sync::import::Importer;
use sync::replicate::Replication;
use tokio::sync::Semaphore;
use types::StatusBody;

/// What the administrators' requests may reach.
pub struct Admin {
    /// The Central Management store.
    pub database: Database,
    /// The shared file store.
    pub blobs: Blobs,
    /// The one way in for packages.
    pub importer: Importer,
    /// Imports at one time.
    pub imports: Semaphore,
    /// Brings this node's snapshot up to date after a change.
    pub refresher: Refresher,
    /// How the snapshot and the Central Management store stand.
    pub standings: Arc<Standings>,
    /// The replication loop, and how the replica stands.
    pub replication: Replication,
    /// What this node's phones are answered from.
    pub plane: Arc<PhonePlane>,
    /// The pool of this node.
    pub pool: Pool,
    /// This node.
    pub node: NodeName,
    /// Where audit files wait until they are shipped.
    pub audit_spool: Arc<Spool>,
    /// What a scrape of the metrics must bring, if anything.
    pub scrape_token: Option<ScrapeToken>,
    /// This node's place in the store, and whether it was told to stop: then balancers shall send phones elsewhere.
    pub membership: Membership,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Bytes of a JSON body at most.
const BODY_LIMIT_BYTES: usize = 1 << 20;

/// The routes of the management listener.
///
/// From a request's head to the first byte of its response there may pass the request timeout, except when it brings a
/// package: an import takes its time, and the least rate of bodies sees to it that it comes at all.
pub fn router(admin: Arc<Admin>, request_timeout: Duration) -> Router {
    let api = Router::new()
        .route("/status", get(status))
        .route("/packages", get(packages::list).post(packages::import).layer(DefaultBodyLimit::disable()))
        .route("/rules", get(rules::list))
        .route("/rules/approve", post(rules::approve))
        .route("/rules/reset", post(rules::reset))
        .route("/rules/restore", post(rules::restore))
        .route("/rules/remove", post(rules::remove))
        .route(
            "/test-devices",
            get(test_devices::list).post(test_devices::create).patch(test_devices::set).delete(test_devices::remove),
        )
        .route(
            "/configuration",
            get(configuration::list)
                .post(configuration::create)
                .patch(configuration::set)
                .delete(configuration::remove),
        )
        .route("/nodes", get(nodes::list).delete(nodes::remove))
        .route("/pools", get(pools::list).post(pools::create).patch(pools::set))
        .route(
            "/stepping-stones",
            get(stepping_stones::list).post(stepping_stones::add).delete(stepping_stones::remove),
        )
        .route("/accounts", get(accounts::list).post(accounts::create).patch(accounts::set).delete(accounts::remove))
        .route("/tokens", get(records::tokens).post(records::create_token).delete(records::revoke_token))
        .route("/admin-events", get(records::admin_events))
        .route("/admin-events/verify", get(records::verify))
        .route("/files/clear", post(clear::files))
        .route("/logs/clear", post(clear::logs))
        .route("/replicas", get(replicas::list))
        .route("/explain", get(explain::explain))
        .route("/snapshot", get(snapshot::snapshot))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn_with_state(request_timeout, in_time))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), auth::require_token))
        .layer(middleware::from_fn(within_budget))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(Arc::clone(&admin));
    Router::new()
        .nest("/api/v1", api)
        .route("/live", get(observe::live))
        .route("/ready", get(observe::ready).with_state(Arc::clone(&admin)))
        .route("/metrics", get(observe::metrics).with_state(Arc::clone(&admin)))
        .fallback(async || ApiError::not_found("no such page here; the API is below /api/v1"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn_with_state(admin, observe::request))
}

/// All that a request asks of the Central Management store must be answered in this time together, so that an
/// administrator hears within 3 seconds that it is down (DESIGN.md 4).
const DATABASE_BUDGET: Duration = Duration::from_millis(2700);

/// What may rightly take long. The budget holds until the store has answered the handler's first question; after that each
/// step has a limit of its own, and a server that stops answering is noticed within `query_timeout_ms` and 300 ms.
const LONG: [(http::Method, &str); 4] = [
    (Method::POST, "/packages"),
    (Method::GET, "/admin-events/verify"),
    (Method::POST, "/files/clear"),
    (Method::POST, "/logs/clear"),
];

fn is_long(request: &Request) -> bool {
    LONG.iter().any(|(method, path)| method == request.method() && request.uri().path() == *path)
}

async fn within_budget(request: Request, next: Next) -> Response {
    schema::store::within_budget(DATABASE_BUDGET, next.run(request)).await
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Result<Response, ApiError> {
    if is_long(&request) {
        return Ok(next.run(request).await);
    }
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| ApiError::too_slow())
}

/// The answer to a request whose head is refused on the management listener.
pub fn refuse_head(fault: HeadFault) -> Response {
    ApiError::head(fault).into_response()
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<StatusBody> {
    let snapshot = admin.plane.snapshot.load();
    let rules = snapshot.as_ref().map(|snapshot| &snapshot.rules);
    let (files_wanted, files_held) = snapshot.as_ref().map_or((0, 0), |snapshot| snapshot.files_needed_and_held());
    let standing = admin.standings.now();
    Json(StatusBody {
        node: admin.node.to_string(),
        pool: admin.pool.fqdn.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: rules.map(|rules| rules.generation()),
        rules: rules.map_or(0, |rules| rules.rule_count()),
        files_held,
        files_wanted,
        snapshot_source: standing.source.as_str().to_owned(),
        snapshot_age_s: standing.age_s(admin.clock.now()),
        alarm: standing.alarm(),
        faults: observe::faults(&admin),
    })
}

/// A JSON body whose refusal is an [`ApiError`].
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
struct Body<T>(T);

/// A query whose refusal is an [`ApiError`].
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
struct Query<T>(T);

/// `?dry_run=true` of the changes that have no body of their own for it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DryRunQuery {
    dry_run: bool,
}

fn dry_run(asked: bool) -> DryRun {
    if asked { DryRun::Yes } else { DryRun::No }
}
