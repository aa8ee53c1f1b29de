//! Pools and the addresses that they tell their phones (rows C19, C20).

use super::auth::Actor;
use super::types::settings::{PoolBody, PoolChange};
use super::{Admin, ApiError, Body, DryRunQuery, Query};
use axum::extract::State;
use axum::{Extension, Json};
use schema::topology::{Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use std::sync::Arc;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<PoolBody>>, ApiError> {
    Ok(Json(admin.database.pools().await?.iter().map(PoolBody::from).collect()))
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(body): Body<PoolBody>,
) -> Result<Json<PoolBody>, ApiError> {
    let pool = Pool {
        fqdn: PoolFqdn::parse(&body.fqdn)?,
        site: SiteName::parse(&body.site)?,
        service_id: ServiceId::parse(&body.service_id)?,
        urls: PoolUrls {
            internal_update: url(body.internal_update_url)?,
            external_update: url(body.external_update_url)?,
            internal_files: url(body.internal_files_url)?,
            external_files: url(body.external_files_url)?,
        },
    };
    if query.dry_run {
        if admin.database.pools().await?.iter().any(|other| other.fqdn == pool.fqdn) {
            return Err(ApiError::already_exists(format!("the pool {} exists already", pool.fqdn)));
        }
    } else {
        admin.database.create_pool(&pool, &actor.0).await?;
    }
    Ok(Json((&pool).into()))
}

pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(change): Body<PoolChange>,
) -> Result<Json<PoolBody>, ApiError> {
    let mut pool = find(&admin, &change.fqdn).await?;
    for (place, changed) in [
        (&mut pool.urls.internal_update, change.internal_update_url),
        (&mut pool.urls.external_update, change.external_update_url),
        (&mut pool.urls.internal_files, change.internal_files_url),
        (&mut pool.urls.external_files, change.external_files_url),
    ] {
        if let Some(text) = changed {
            *place = url(Some(text))?;
        }
    }
    if !query.dry_run {
        admin.database.set_pool_urls(&pool.fqdn, &pool.urls, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    Ok(Json((&pool).into()))
}

/// The pool of this name or identity.
pub(super) async fn find(admin: &Admin, text: &str) -> Result<Pool, ApiError> {
    let fqdn = pool_name(text)?;
    let pools = admin.database.pools().await?;
    let missing =
        || ApiError::not_found(format!("the pool {fqdn} does not exist; `ucupdates pool list` shows those that do"));
    pools.into_iter().find(|pool| pool.fqdn == fqdn).ok_or_else(missing)
}

/// Reads a pool's FQDN, or its identity `service:WebServer:<FQDN>` (row I01).
pub(super) fn pool_name(text: &str) -> Result<PoolFqdn, ApiError> {
    const IDENTITY: &str = "service:webserver:";
    let text = text.trim();
    let fqdn = match text.get(..IDENTITY.len()) {
        Some(start) if start.eq_ignore_ascii_case(IDENTITY) => &text[IDENTITY.len()..],
        _ => text,
    };
    Ok(PoolFqdn::parse(fqdn)?)
}

fn url(text: Option<String>) -> Result<Option<PublicUrl>, ApiError> {
    Ok(text.filter(|text| !text.is_empty()).map(|text| PublicUrl::parse(&text)).transpose()?)
}
