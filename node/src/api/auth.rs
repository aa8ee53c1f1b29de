//! Who asks: bearer tokens of administrators. Only a token's SHA-256 is stored; a token has 256 random bits, so that a
//! slow hash would protect nothing.

use super::{Admin, ApiError};
use crate::snapshot::standing::DatabaseState;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use schema::package::Digest;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The administrator whose token came with a request.
#[derive(Debug, Clone)]
pub struct Actor(pub String);

/// What every token starts with, so that one that leaked is recognised.
const TOKEN_PREFIX: &str = "ucu_";

/// Characters of a token that are looked at.
const TOKEN_LIMIT_BYTES: usize = 128;

/// A new secret, and the digest that is stored of it.
pub fn new_token() -> (String, Digest) {
    let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let digest = digest(&token);
    (token, digest)
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// What the store keeps of a token.
pub fn digest(token: &str) -> Digest {
    Digest::new(Sha256::digest(token.as_bytes()).into())
}

/// Lets only requests with a valid token through, and tells the handler whose it is.
pub async fn require_token(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = bearer(request.headers())
        // Anything else is refused without a question to the database.
        .filter(|token| token.starts_with(TOKEN_PREFIX) && token.len() <= TOKEN_LIMIT_BYTES)
        .map(digest);
    let Some(token) = token else { return Err(ApiError::unauthorized()) };
    // Whatever it is that comes back may be another: migrated, restored, set up anew. Nothing is written to it before it was
    // looked at, by the snapshot loop or here.
    if admin.standings.now().database != DatabaseState::Answers {
        admin.membership.check().await?;
    }
    let Some(name) = admin.database.authenticate(&token).await? else { return Err(ApiError::unauthorized()) };
    request.extensions_mut().insert(Actor(name));
    Ok(next.run(request).await)
}
