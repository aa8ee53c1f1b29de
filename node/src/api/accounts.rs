//! Accounts of phones outside. A password comes in, its hash is stored, nothing goes out.

use super::auth::Actor;
use super::types::NamedBody;
use super::types::devices::AccountRequest;
use super::{Admin, ApiError, Body, Query};
use crate::phone_auth::{PasswordError, hash_password};
use axum::extract::State;
use axum::{Extension, Json};
use schema::store::Account;
use serde::Deserialize;
use std::sync::Arc;

/// Characters of an account's name at most.
const LIMIT_CHARS: usize = 128;

/// Which account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    name: String,
}

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<NamedBody>>, ApiError> {
    Ok(Json(admin.database.accounts().await?.into_iter().map(body).collect()))
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(request): Body<AccountRequest>,
) -> Result<Json<NamedBody>, ApiError> {
    let (name, hash) = hashed(request).await?;
    admin.database.create_account(&name, &hash, &actor.0).await?;
    stored(&admin, &name).await
}

pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(request): Body<AccountRequest>,
) -> Result<Json<NamedBody>, ApiError> {
    let (name, hash) = hashed(request).await?;
    admin.database.set_account_password(&name, &hash, &actor.0).await?;
    stored(&admin, &name).await
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(which): Query<Which>,
) -> Result<Json<NamedBody>, ApiError> {
    let account = find(&admin, &which.name).await?;
    admin.database.remove_account(&which.name, &actor.0).await?;
    admin.refresher.refresh().await;
    Ok(Json(account))
}

async fn stored(admin: &Admin, name: &str) -> Result<Json<NamedBody>, ApiError> {
    admin.refresher.refresh().await;
    Ok(Json(find(admin, name).await?))
}

async fn find(admin: &Admin, name: &str) -> Result<NamedBody, ApiError> {
    let accounts = admin.database.accounts().await?;
    let found = accounts.into_iter().find(|account| account.name.to_lowercase() == name.to_lowercase());
    found.map(body).ok_or_else(|| ApiError::not_found(format!("the account {name} does not exist")))
}

/// Checks the request and hashes its password, off the runtime's threads.
async fn hashed(request: AccountRequest) -> Result<(String, String), ApiError> {
    let AccountRequest { name, password } = request;
    let fits = |text: &str| (1..=LIMIT_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    // HTTP Basic separates name and password by the first colon.
    if !fits(&name) || name.contains(':') || name.trim() != name {
        return Err(ApiError::invalid("an account's name has 1 to 128 characters, no ':' and no space at an end"));
    }
    let hash = tokio::task::spawn_blocking(move || hash_password(&password)).await;
    let hash = hash.map_err(|error| ApiError::internal(&error))?.map_err(|error| match error {
        PasswordError::Length(_) | PasswordError::ControlCharacter => ApiError::invalid(error.to_string()),
        PasswordError::Hash(_) => ApiError::internal(&error),
    })?;
    Ok((name, hash))
}

fn body(account: Account) -> NamedBody {
    NamedBody { name: account.name, created_at: account.created_at.to_string() }
}
