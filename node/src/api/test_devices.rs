//! Test devices: new, get, set, remove (rows C13 to C16, T01 to T08).

use super::auth::Actor;
use super::types::devices::{TestDeviceBody, TestDeviceChange};
use super::{Admin, ApiError, Body, DryRunQuery, Query};
use axum::extract::State;
use axum::{Extension, Json};
use schema::rule::glob;
use schema::test_device::{Scope, TestDevice, TestDeviceIdentity, TestIdentifier};
use serde::Deserialize;
use std::sync::Arc;

/// Which devices: an identity, a scope, or a pattern with `*`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    identity: Option<String>,
    dry_run: bool,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<TestDeviceBody>>, ApiError> {
    let devices = match which.identity.as_deref() {
        None => admin.database.test_devices().await?,
        Some(pattern) if pattern.contains(['*', '?']) => {
            let all = admin.database.test_devices().await?;
            all.into_iter().filter(|device| glob(pattern, &device.identity.to_string())).collect()
        }
        Some(scope) if !scope.contains('/') => admin.database.test_devices_of(&Scope::parse(scope)?).await?,
        Some(identity) => vec![admin.database.test_device(&TestDeviceIdentity::parse(identity)?).await?],
    };
    Ok(Json(devices.iter().map(TestDeviceBody::from).collect()))
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(body): Body<TestDeviceBody>,
) -> Result<Json<TestDeviceBody>, ApiError> {
    let device = TestDevice {
        identity: TestDeviceIdentity::parse(&body.identity)?,
        identifier: TestIdentifier::parse(&body.identifier_type, &body.identifier)?,
    };
    if query.dry_run {
        let devices = admin.database.test_devices().await?;
        if devices.iter().any(|other| other.identity == device.identity) {
            return Err(ApiError::already_exists(format!("the test device {} exists already", device.identity)));
        }
    } else {
        admin.database.create_test_device(&device, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    Ok(Json((&device).into()))
}

pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(change): Body<TestDeviceChange>,
) -> Result<Json<TestDeviceBody>, ApiError> {
    let identity = TestDeviceIdentity::parse(&change.identity)?;
    let before = admin.database.test_device(&identity).await?;
    let identifier_type = change.identifier_type.as_deref().unwrap_or(before.identifier.type_name());
    let identifier = change.identifier.as_deref().unwrap_or(before.identifier.value());
    let identifier = TestIdentifier::parse(identifier_type, identifier)?;
    if !query.dry_run {
        admin.database.set_test_device(&identity, &identifier, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    Ok(Json((&TestDevice { identity: before.identity, identifier }).into()))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<TestDeviceBody>>, ApiError> {
    let Some(identity) = which.identity else {
        return Err(ApiError::invalid("say which: identity=global/<name>, site:<site>/<name>, or a scope"));
    };
    let removed = match identity.contains('/') {
        true => {
            let device = admin.database.test_device(&TestDeviceIdentity::parse(&identity)?).await?;
            if !which.dry_run {
                admin.database.remove_test_device(&device.identity, &actor.0).await?;
            }
            vec![device]
        }
        false => {
            let scope = Scope::parse(&identity)?;
            match which.dry_run {
                true => admin.database.test_devices_of(&scope).await?,
                false => admin.database.remove_test_devices(&scope, &actor.0).await?,
            }
        }
    };
    admin.refresher.refresh().await;
    Ok(Json(removed.iter().map(TestDeviceBody::from).collect()))
}
