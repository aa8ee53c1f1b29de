//! Bodies about what an administrator sets: the device update configuration and the pools' addresses.

use schema::settings::{DeviceUpdateConfiguration, ListChange, format_time_span};
use schema::test_device::Scope;
use schema::topology::{Pool, PublicUrl};
use serde::{Deserialize, Serialize};

/// The device update configuration of a scope (rows G01 to G09).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationBody {
    /// `global` or `site:<name>`.
    pub scope: String,
    /// A TimeSpan: `10.00:00:00`.
    pub log_clean_up_interval: String,
    /// `HH:MM`, UTC; none means 02:00.
    pub log_clean_up_time_of_day: Option<String>,
    /// A TimeSpan: `00:05:00`.
    pub log_flush_interval: String,
    /// Bytes.
    pub max_log_cache_limit: u32,
    /// Bytes.
    pub max_log_file_size: u32,
    /// Extensions of device logs that are accepted.
    pub valid_log_file_extensions: Vec<String>,
    /// Types of device logs that are accepted.
    pub valid_log_file_types: Vec<String>,
}

impl ConfigurationBody {
    /// The settings of a scope.
    pub fn new(scope: &Scope, settings: &DeviceUpdateConfiguration) -> Self {
        Self {
            scope: scope.to_string(),
            log_clean_up_interval: format_time_span(settings.log_clean_up_interval),
            log_clean_up_time_of_day: settings.log_clean_up_time_of_day.map(|time| time.strftime("%H:%M").to_string()),
            log_flush_interval: format_time_span(settings.log_flush_interval),
            max_log_cache_limit: settings.max_log_cache_limit_bytes,
            max_log_file_size: settings.max_log_file_size_bytes,
            valid_log_file_extensions: settings.valid_log_file_extensions.clone(),
            valid_log_file_types: settings.valid_log_file_types.clone(),
        }
    }
}

/// `POST /configuration` (new, site only) and `PATCH /configuration` (set): what is not given is the default in a new
/// one and stays in an existing one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigurationChange {
    /// `global` or `site:<name>`.
    pub scope: String,
    /// A TimeSpan, 1 to 365 days.
    pub log_clean_up_interval: Option<String>,
    /// `HH:MM`, UTC; the empty text takes it away.
    pub log_clean_up_time_of_day: Option<String>,
    /// A TimeSpan, 1 minute to 1 hour.
    pub log_flush_interval: Option<String>,
    /// Bytes.
    pub max_log_cache_limit: Option<u32>,
    /// Bytes.
    pub max_log_file_size: Option<u32>,
    /// Extensions: replace, add, remove.
    pub valid_log_file_extensions: ListChangeBody,
    /// Types: replace, add, remove.
    pub valid_log_file_types: ListChangeBody,
}

/// A change of a list: `@{Add=...}`, `@{Remove=...}`, `@{Replace=...}` of the original.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListChangeBody {
    /// The whole list anew.
    pub replace: Option<Vec<String>>,
    /// Entries to add.
    pub add: Vec<String>,
    /// Entries to take out.
    pub remove: Vec<String>,
}

impl From<ListChangeBody> for ListChange {
    fn from(body: ListChangeBody) -> Self {
        Self { replace: body.replace, add: body.add, remove: body.remove }
    }
}

/// A pool with its four addresses (row C19).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolBody {
    /// `service:WebServer:<FQDN>`; ignored in a request.
    pub identity: String,
    /// The pool's FQDN.
    pub fqdn: String,
    /// Its site.
    pub site: String,
    /// Its folder in the store.
    pub service_id: String,
    /// Where phones inside ask.
    pub internal_update_url: Option<String>,
    /// Where phones outside ask.
    pub external_update_url: Option<String>,
    /// Where phones inside fetch files.
    pub internal_files_url: Option<String>,
    /// Where phones outside fetch files.
    pub external_files_url: Option<String>,
}

impl From<&Pool> for PoolBody {
    fn from(pool: &Pool) -> Self {
        let text = |url: &Option<PublicUrl>| url.as_ref().map(ToString::to_string);
        Self {
            identity: pool.identity(),
            fqdn: pool.fqdn.to_string(),
            site: pool.site.to_string(),
            service_id: pool.service_id.to_string(),
            internal_update_url: text(&pool.urls.internal_update),
            external_update_url: text(&pool.urls.external_update),
            internal_files_url: text(&pool.urls.internal_files),
            external_files_url: text(&pool.urls.external_files),
        }
    }
}

/// `PATCH /pools`: what is not given stays; the empty text takes an address away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolChange {
    /// The pool's FQDN.
    pub fqdn: String,
    /// Where phones inside ask.
    pub internal_update_url: Option<String>,
    /// Where phones outside ask.
    pub external_update_url: Option<String>,
    /// Where phones inside fetch files.
    pub internal_files_url: Option<String>,
    /// Where phones outside fetch files.
    pub external_files_url: Option<String>,
}
