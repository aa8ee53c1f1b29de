//! Rows become domain types and back: what the database holds is parsed like any other input, so that a damaged row is
//! an error and never a wrong answer.

use super::StoreError;
use crate::ParseError;
use crate::device::{DeviceKey, Name};
use crate::package::{Digest, FileRole, Update, UpdateFile, UpdateTarget};
use crate::rule::RuleVersions;
use crate::test_device::Scope;
use crate::version::FirmwareVersion;
use serde_json::{Value, json};
use std::str::FromStr;
use tokio_postgres::Row;

/// The column as a domain type.
pub(super) fn parsed<T: FromStr<Err = ParseError>>(row: &Row, column: &str) -> Result<T, StoreError> {
    row.try_get::<_, &str>(column)?.parse().map_err(StoreError::corrupt)
}

/// The column as a domain type, when it is not null.
pub(super) fn maybe<T: FromStr<Err = ParseError>>(row: &Row, column: &str) -> Result<Option<T>, StoreError> {
    row.try_get::<_, Option<&str>>(column)?.map(str::parse).transpose().map_err(StoreError::corrupt)
}

/// The scope of a row joined with its site: none is the global one.
pub(super) fn scope(row: &Row) -> Result<Scope, StoreError> {
    Ok(maybe(row, "site")?.map_or(Scope::Global, Scope::Site))
}

/// A length in bytes.
pub(super) fn size_bytes(row: &Row) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<_, i64>("size_bytes")?).map_err(StoreError::corrupt)
}

/// The SHA-256 in `column`.
pub(super) fn digest(row: &Row, column: &str) -> Result<Digest, StoreError> {
    let bytes = row.try_get::<_, &[u8]>(column)?.try_into().map_err(StoreError::corrupt)?;
    Ok(Digest::new(bytes))
}

/// The columns of `update_targets`, of a row of the kind `device`.
pub(super) fn device_key(row: &Row) -> Result<DeviceKey, StoreError> {
    Ok(DeviceKey {
        device_type: parsed(row, "device_type")?,
        brand: parsed(row, "brand")?,
        model: parsed(row, "model")?,
        revision: parsed(row, "revision")?,
        locale: parsed(row, "locale")?,
        update_type: parsed(row, "update_type")?,
    })
}

/// The columns of `update_targets`.
pub(super) fn target(row: &Row) -> Result<UpdateTarget, StoreError> {
    if row.try_get::<_, &str>("kind")? == "device" {
        return Ok(UpdateTarget::Device(device_key(row)?));
    }
    Ok(UpdateTarget::Interim {
        device_type: parsed(row, "device_type")?,
        locale: parsed(row, "locale")?,
        update_type: parsed(row, "update_type")?,
    })
}

/// The three versions of a row of `device_update_rules`.
pub(super) fn versions(row: &Row) -> Result<RuleVersions, StoreError> {
    let [approved, pending, restore] =
        ["approved_version", "pending_version", "restore_version"].map(|column| maybe(row, column));
    RuleVersions::new(approved?, pending?, restore?).map_err(StoreError::corrupt)
}

/// A row of updates joined with their files, ordered by update.
pub(super) fn updates<T>(
    rows: &[Row],
    owner: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<(T, Update)>, StoreError> {
    let id = |row: &Row| row.try_get::<_, i64>("update_id").unwrap_or_default();
    let mut updates = Vec::new();
    for rows in rows.chunk_by(|one, other| id(one) == id(other)) {
        let files = rows.iter().map(file).collect::<Result<_, _>>()?;
        let update = Update::new(target(&rows[0])?, parsed(&rows[0], "version")?, files);
        updates.push((owner(&rows[0])?, update.map_err(StoreError::corrupt)?));
    }
    Ok(updates)
}

fn file(row: &Row) -> Result<UpdateFile, StoreError> {
    Ok(UpdateFile {
        name: parsed(row, "name")?,
        role: match row.try_get("role")? {
            "image" => FileRole::Image,
            "signature" => FileRole::Signature,
            _ => FileRole::Other,
        },
        digest: digest(row, "digest")?,
        size_bytes: size_bytes(row)?,
        time_stamp: row.try_get("time_stamp")?,
        path: parsed(row, "path")?,
    })
}

/// The word for a role in `update_files`.
pub(super) fn role_word(role: FileRole) -> &'static str {
    match role {
        FileRole::Image => "image",
        FileRole::Signature => "signature",
        FileRole::Other => "other",
    }
}

/// A rule's versions as an admin event shows them.
pub(super) fn versions_json(versions: RuleVersions) -> Value {
    let text = |version: Option<FirmwareVersion>| version.map(|version| version.to_string());
    json!({
        "approved": text(versions.approved()),
        "pending": text(versions.pending()),
        "restore": text(versions.restore()),
    })
}

/// Targets as the arrays that `unnest` takes: kind, device type, brand, model, revision, locale, update type.
#[derive(Default)]
pub(super) struct TargetColumns<'a> {
    pub kinds: Vec<&'static str>,
    pub device_types: Vec<&'a str>,
    pub brands: Vec<Option<&'a str>>,
    pub models: Vec<Option<&'a str>>,
    pub revisions: Vec<Option<&'a str>>,
    pub locales: Vec<&'a str>,
    pub update_types: Vec<&'a str>,
}

impl<'a> TargetColumns<'a> {
    pub fn new(targets: impl Iterator<Item = &'a UpdateTarget>) -> Self {
        let mut columns = Self::default();
        for target in targets {
            let (kind, device_type, own, locale, update_type) = match target {
                UpdateTarget::Device(DeviceKey { device_type, brand, model, revision, locale, update_type }) => {
                    ("device", device_type, [brand, model, revision].map(Some), locale, update_type)
                }
                UpdateTarget::Interim { device_type, locale, update_type } => {
                    ("interim", device_type, [None; 3], locale, update_type)
                }
            };
            let [brand, model, revision] = own.map(|name| name.map(Name::as_str));
            columns.kinds.push(kind);
            columns.device_types.push(device_type.as_str());
            columns.brands.push(brand);
            columns.models.push(model);
            columns.revisions.push(revision);
            columns.locales.push(locale.as_str());
            columns.update_types.push(update_type.as_str());
        }
        columns
    }
}
