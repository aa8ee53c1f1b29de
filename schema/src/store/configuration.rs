//! The device update configuration: global, and one for each site that has its own (rows C07 to C10, G01 to G12).

use super::events::Event;
use super::rows::scope;
use super::transaction::Change;
use super::{Database, StoreError, topology};
use crate::settings::{DeviceUpdateConfiguration, format_time_span};
use crate::test_device::Scope;
use crate::topology::SiteName;
use jiff::civil::Time;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

/// All, or that of a scope.
const LIST: &str = "
    select configuration.*, site.name as site
    from device_update_configuration configuration
    left join sites site on site.id = configuration.site_id
    where $1::bigint is null or coalesce(configuration.site_id, 0) = $1
    order by configuration.site_id is not null, folded(site.name)";

/// Site over global (row G12).
pub(super) const EFFECTIVE: &str = "
    select configuration.*, site.name as site
    from device_update_configuration configuration
    left join sites site on site.id = configuration.site_id
    where configuration.site_id is null or folded(site.name) = folded($1)
    order by configuration.site_id nulls last
    limit 1";

const ADD: &str = "
    insert into device_update_configuration (
        site_id, log_clean_up_interval_s, log_clean_up_time_of_day, log_flush_interval_s,
        max_log_cache_limit_bytes, max_log_file_size_bytes, valid_log_file_extensions, valid_log_file_types)
    values ($1, $2, $3, $4, $5, $6, $7, $8)";

const SET: &str = "
    update device_update_configuration
    set log_clean_up_interval_s = $2, log_clean_up_time_of_day = $3, log_flush_interval_s = $4,
        max_log_cache_limit_bytes = $5, max_log_file_size_bytes = $6,
        valid_log_file_extensions = $7, valid_log_file_types = $8
    where coalesce(site_id, 0) = $1";

const REMOVE: &str = "
    delete from device_update_configuration
    where site_id = $1";

impl Database {
    /// The configurations, global first, then by site.
    pub async fn configurations(&self) -> Result<Vec<(Scope, DeviceUpdateConfiguration)>, StoreError> {
        self.within("configurations", async {
            let rows = self.client().await?.query(LIST, &[&None::<i64>]).await?;
            rows.iter().map(|row| Ok((scope(row)?, configuration(row)?))).collect()
        })
        .await
    }

    /// Makes a site's configuration; a second one is refused (row G09).
    pub async fn create_configuration(
        &self,
        site: &SiteName,
        configuration: &DeviceUpdateConfiguration,
        actor: &str,
    ) -> Result<(), StoreError> {
        self.within("making a site's configuration", async {
            let scope = Scope::Site(site.clone());
            let columns = Columns::of(configuration)?;
            let mut change = Change::begin(self, actor).await?;
            let site_id = topology::scope_id(&change, &scope).await?;
            change.execute(ADD, &columns.after(&site_id)).await.map_err(|error| {
                match StoreError::constraint(&error) {
                    Some("device_update_configuration_unique") => StoreError::AlreadyExists(words(&scope)),
                    _ => error.into(),
                }
            })?;
            let after = Some(configuration_json(configuration));
            change.record(Event { action: "create", object: words(&scope), before: None, after });
            change.commit().await
        })
        .await
    }

    /// Sets all settings of a scope that has a configuration.
    pub async fn set_configuration(
        &self,
        scope: &Scope,
        configuration: &DeviceUpdateConfiguration,
        actor: &str,
    ) -> Result<(), StoreError> {
        self.within("setting a configuration", async {
            let mut change = Change::begin(self, actor).await?;
            let scope_id = topology::scope_id(&change, scope).await?;
            let before = current(&change, scope, scope_id).await?;
            set(&mut change, "set", (scope, scope_id), &before, configuration).await?;
            change.commit().await
        })
        .await
    }

    /// Deletes a site's configuration; sets the global one back to its defaults (rows C10, G11).
    pub async fn remove_configuration(&self, scope: &Scope, actor: &str) -> Result<(), StoreError> {
        self.within("removing a configuration", async {
            let mut change = Change::begin(self, actor).await?;
            let scope_id = topology::scope_id(&change, scope).await?;
            let before = current(&change, scope, scope_id).await?;
            match scope {
                Scope::Global => {
                    let defaults = DeviceUpdateConfiguration::default();
                    set(&mut change, "reset", (scope, scope_id), &before, &defaults).await?;
                }
                Scope::Site(_) => {
                    change.execute(REMOVE, &[&scope_id]).await?;
                    let before = Some(configuration_json(&before));
                    change.record(Event { action: "remove", object: words(scope), before, after: None });
                }
            }
            change.commit().await
        })
        .await
    }
}

async fn current(client: &Client, scope: &Scope, scope_id: i64) -> Result<DeviceUpdateConfiguration, StoreError> {
    let row = client.query_opt(LIST, &[&Some(scope_id)]).await?;
    configuration(&row.ok_or_else(|| StoreError::NotFound(words(scope)))?)
}

async fn set(
    change: &mut Change,
    action: &'static str,
    (scope, scope_id): (&Scope, i64),
    before: &DeviceUpdateConfiguration,
    now: &DeviceUpdateConfiguration,
) -> Result<(), StoreError> {
    if before == now {
        return Ok(());
    }
    change.execute(SET, &Columns::of(now)?.after(&scope_id)).await?;
    let (before, after) = (Some(configuration_json(before)), Some(configuration_json(now)));
    change.record(Event { action, object: words(scope), before, after });
    Ok(())
}

fn words(scope: &Scope) -> String {
    format!("device update configuration {scope}")
}

/// A configuration as the columns of its row.
struct Columns<'a> {
    clean_up_interval_s: i32,
    clean_up_time_of_day: Option<Time>,
    flush_interval_s: i32,
    cache_limit_bytes: i64,
    file_size_bytes: i64,
    extensions: &'a [String],
    types: &'a [String],
}

impl<'a> Columns<'a> {
    fn of(configuration: &'a DeviceUpdateConfiguration) -> Result<Self, StoreError> {
        let seconds = |span: Duration| i32::try_from(span.as_secs()).map_err(StoreError::corrupt);
        let checked = configuration.clone().checked();
        checked.map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self {
            clean_up_interval_s: seconds(configuration.log_clean_up_interval)?,
            clean_up_time_of_day: configuration.log_clean_up_time_of_day,
            flush_interval_s: seconds(configuration.log_flush_interval)?,
            cache_limit_bytes: configuration.max_log_cache_limit_bytes.into(),
            file_size_bytes: configuration.max_log_file_size_bytes.into(),
            extensions: &configuration.valid_log_file_extensions,
            types: &configuration.valid_log_file_types,
        })
    }

    /// The parameters of a statement whose first one is the scope.
    fn after<'b>(&'b self, scope_id: &'b i64) -> [&'b (dyn ToSql + Sync); 8] {
        [
            scope_id,
            &self.clean_up_interval_s,
            &self.clean_up_time_of_day,
            &self.flush_interval_s,
            &self.cache_limit_bytes,
            &self.file_size_bytes,
            &self.extensions,
            &self.types,
        ]
    }
}

pub(super) fn configuration(row: &Row) -> Result<DeviceUpdateConfiguration, StoreError> {
    let seconds = |column| {
        let seconds = u64::try_from(row.try_get::<_, i32>(column)?).map_err(StoreError::corrupt)?;
        Ok::<_, StoreError>(Duration::from_secs(seconds))
    };
    let bytes = |column| u32::try_from(row.try_get::<_, i64>(column)?).map_err(StoreError::corrupt);
    let configuration = DeviceUpdateConfiguration {
        log_clean_up_interval: seconds("log_clean_up_interval_s")?,
        log_clean_up_time_of_day: row.try_get("log_clean_up_time_of_day")?,
        log_flush_interval: seconds("log_flush_interval_s")?,
        max_log_cache_limit_bytes: bytes("max_log_cache_limit_bytes")?,
        max_log_file_size_bytes: bytes("max_log_file_size_bytes")?,
        valid_log_file_extensions: row.try_get("valid_log_file_extensions")?,
        valid_log_file_types: row.try_get("valid_log_file_types")?,
    };
    configuration.checked().map_err(StoreError::corrupt)
}

fn configuration_json(configuration: &DeviceUpdateConfiguration) -> Value {
    json!({
        "log_clean_up_interval": format_time_span(configuration.log_clean_up_interval),
        "log_clean_up_time_of_day": configuration.log_clean_up_time_of_day.map(|time| time.to_string()),
        "log_flush_interval": format_time_span(configuration.log_flush_interval),
        "max_log_cache_limit": configuration.max_log_cache_limit_bytes,
        "max_log_file_size": configuration.max_log_file_size_bytes,
        "valid_log_file_extensions": configuration.valid_log_file_extensions,
        "valid_log_file_types": configuration.valid_log_file_types,
    })
}
