//! Administrators' tokens, and the record of what administrators did.

use super::auth::{Actor, new_token};
use super::types::{AdminEventBody, ChainReport, NamedBody, NewToken};
use super::{Admin, ApiError, Body, Query};
use axum::extract::State;
use axum::{Extension, Json};
use schema::store::{AdminEvent, ApiToken, ChainVerdict};
use serde::Deserialize;
use std::sync::Arc;

/// Events that one answer holds at most.
const EVENT_LIMIT: u32 = 1000;

/// Which token. One made here acts as an administrator of its own name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    name: String,
}

/// How many events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Page {
    limit: u32,
    before: Option<i64>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 100, before: None }
    }
}

pub(super) async fn tokens(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<NamedBody>>, ApiError> {
    let tokens = admin.database.tokens().await?;
    Ok(Json(tokens.into_iter().filter(|token| token.revoked_at.is_none()).map(token_body).collect()))
}

pub(super) async fn create_token(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(which): Body<Which>,
) -> Result<Json<NewToken>, ApiError> {
    let name = which.name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(ApiError::invalid("a token's name has 1 to 64 letters, digits, '-', '_', '.' and '@'"));
    }
    let (token, digest) = new_token();
    admin.database.create_token(&name, &name, &digest, None, &actor.0).await?;
    Ok(Json(NewToken { name, token }))
}

pub(super) async fn revoke_token(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(which): Query<Which>,
) -> Result<Json<NamedBody>, ApiError> {
    let tokens = admin.database.tokens().await?;
    let token = tokens.into_iter().find(|token| token.name == which.name && token.revoked_at.is_none());
    let missing = || ApiError::not_found(format!("the token {} does not exist, or is revoked already", which.name));
    let token = token.ok_or_else(missing)?;
    admin.database.revoke_token(&token.administrator, &token.name, &actor.0).await?;
    Ok(Json(token_body(token)))
}

pub(super) async fn admin_events(
    State(admin): State<Arc<Admin>>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<AdminEventBody>>, ApiError> {
    let events = admin.database.admin_events(page.before, page.limit.clamp(1, EVENT_LIMIT)).await?;
    Ok(Json(events.into_iter().map(event_body).collect()))
}

pub(super) async fn verify(State(admin): State<Arc<Admin>>) -> Result<Json<ChainReport>, ApiError> {
    Ok(Json(match admin.database.verify_chain().await? {
        ChainVerdict::Whole { events } => ChainReport { checked: events, broken_at: None },
        ChainVerdict::Broken { events, at } => ChainReport { checked: events, broken_at: Some(at) },
    }))
}

fn token_body(token: ApiToken) -> NamedBody {
    NamedBody { name: token.name, created_at: token.created_at.to_string() }
}

fn event_body(event: AdminEvent) -> AdminEventBody {
    AdminEventBody {
        number: event.number,
        at: event.at.to_string(),
        actor: event.actor,
        action: event.action,
        object: event.object,
        before: event.before,
        after: event.after,
    }
}
