//! The device update configuration: new, get, set, remove (rows C07 to C10, G01 to G12).

use super::auth::Actor;
use super::types::settings::{ConfigurationBody, ConfigurationChange};
use super::{Admin, ApiError, Body, DryRunQuery, Query};
use axum::extract::State;
use axum::{Extension, Json};
use jiff::civil::Time;
use schema::settings::{DeviceUpdateConfiguration, ListChange, parse_time_span};
use schema::test_device::Scope;
use serde::Deserialize;
use std::sync::Arc;

/// Which scope.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    scope: Option<String>,
    dry_run: bool,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<ConfigurationBody>>, ApiError> {
    let all = admin.database.configurations().await?;
    let Some(scope) = which.scope.as_deref().map(Scope::parse).transpose()? else {
        return Ok(Json(all.iter().map(|(scope, settings)| ConfigurationBody::new(scope, settings)).collect()));
    };
    let (scope, settings) = find(all, &scope)?;
    Ok(Json(vec![ConfigurationBody::new(&scope, &settings)]))
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(change): Body<ConfigurationChange>,
) -> Result<Json<ConfigurationBody>, ApiError> {
    let scope = Scope::parse(&change.scope)?;
    let Scope::Site(site) = &scope else {
        return Err(ApiError::already_exists("the global configuration exists already; set it instead"));
    };
    let settings = changed(DeviceUpdateConfiguration::default(), change)?;
    if query.dry_run {
        let all = admin.database.configurations().await?;
        if all.iter().any(|(other, _)| *other == scope) {
            return Err(ApiError::already_exists(format!("{scope} has a configuration already; set it instead")));
        }
    } else {
        admin.database.create_configuration(site, &settings, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    Ok(Json(ConfigurationBody::new(&scope, &settings)))
}

pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(change): Body<ConfigurationChange>,
) -> Result<Json<ConfigurationBody>, ApiError> {
    let scope = Scope::parse(&change.scope)?;
    let (scope, before) = find(admin.database.configurations().await?, &scope)?;
    let settings = changed(before, change)?;
    if !query.dry_run {
        admin.database.set_configuration(&scope, &settings, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    Ok(Json(ConfigurationBody::new(&scope, &settings)))
}

/// The answer is what holds afterwards: the global configuration, at its defaults if that was the one removed.
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(which): Query<Which>,
) -> Result<Json<ConfigurationBody>, ApiError> {
    let scope = Scope::parse(which.scope.as_deref().unwrap_or_default())?;
    let all = admin.database.configurations().await?;
    let (scope, _) = find(all.clone(), &scope)?;
    if !which.dry_run {
        admin.database.remove_configuration(&scope, &actor.0).await?;
        admin.refresher.refresh().await;
    }
    let holds = match scope {
        Scope::Global => DeviceUpdateConfiguration::default(),
        Scope::Site(_) => find(all, &Scope::Global)?.1,
    };
    Ok(Json(ConfigurationBody::new(&Scope::Global, &holds)))
}

fn find(
    all: Vec<(Scope, DeviceUpdateConfiguration)>,
    scope: &Scope,
) -> Result<(Scope, DeviceUpdateConfiguration), ApiError> {
    let missing =
        || ApiError::not_found(format!("{scope} has no configuration of its own; the global one holds there"));
    all.into_iter().find(|(other, _)| other == scope).ok_or_else(missing)
}

fn changed(
    mut settings: DeviceUpdateConfiguration,
    change: ConfigurationChange,
) -> Result<DeviceUpdateConfiguration, ApiError> {
    if let Some(interval) = change.log_clean_up_interval {
        settings.log_clean_up_interval = parse_time_span(&interval)?;
    }
    if let Some(time) = change.log_clean_up_time_of_day {
        settings.log_clean_up_time_of_day = time_of_day(&time)?;
    }
    if let Some(interval) = change.log_flush_interval {
        settings.log_flush_interval = parse_time_span(&interval)?;
    }
    if let Some(bytes) = change.max_log_cache_limit {
        settings.max_log_cache_limit_bytes = bytes;
    }
    if let Some(bytes) = change.max_log_file_size {
        settings.max_log_file_size_bytes = bytes;
    }
    let extensions = ListChange::from(change.valid_log_file_extensions);
    settings.valid_log_file_extensions = extensions.apply(&settings.valid_log_file_extensions);
    settings.valid_log_file_types = ListChange::from(change.valid_log_file_types).apply(&settings.valid_log_file_types);
    settings.checked().map_err(|error| ApiError::invalid(error.to_string()))
}

/// `HH:MM`; the empty text means none.
fn time_of_day(text: &str) -> Result<Option<Time>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = Time::strptime("%H:%M", text);
    time.map(Some).map_err(|_| ApiError::invalid(format!("LogCleanUpTimeOfDay {text:?} is not valid: expected HH:MM")))
}
