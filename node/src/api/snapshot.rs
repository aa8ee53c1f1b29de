//! All that decides what a pool's phones are told, as of one generation: read from the Central Management store in one
//! transaction, not from this node's memory, so that a node which answers otherwise can be found out.

use super::types::snapshot::{
    FileRoleBody, RuleVersionsBody, SnapshotBody, TestIdentifierBody, UpdateBody, UpdateFileBody,
};
use super::{Admin, ApiError, Query, stepping_stones};
use axum::Json;
use axum::extract::State;
use schema::device::DeviceKey;
use schema::package::{FileRole, Update, UpdateFile};
use schema::rule::RuleVersions;
use schema::rule_set::RuleSet;
use serde::Deserialize;
use std::sync::Arc;

/// Of which pool.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    pool: Option<String>,
}

pub(super) async fn snapshot(
    State(admin): State<Arc<Admin>>,
    Query(which): Query<Which>,
) -> Result<Json<SnapshotBody>, ApiError> {
    let pool = match &which.pool {
        Some(pool) => super::pools::find(&admin, pool).await?.fqdn,
        None => admin.pool.fqdn.clone(),
    };
    Ok(Json(body(&admin.database.load_rule_set(&pool).await?)))
}

/// The facts of a snapshot.
pub(crate) fn body(rules: &RuleSet) -> SnapshotBody {
    let (macs, serials) = rules.test_devices();
    let identifier = |of_type: &str, identifier: &str| TestIdentifierBody {
        identifier_type: of_type.to_owned(),
        identifier: identifier.to_owned(),
    };
    let mut body = SnapshotBody {
        generation: rules.generation(),
        pool: rules.pool().into(),
        rules: rules.rules().map(|(key, versions)| rule(key, versions)).collect(),
        updates: rules.updates().map(|stored| update(stored)).collect(),
        stepping_stones: rules.stepping_stones().iter().map(stepping_stones::body).collect(),
        test_devices: macs.iter().map(|mac| identifier("MACAddress", mac.as_str())).collect(),
    };
    body.test_devices.extend(serials.iter().map(|serial| identifier("SerialNumber", serial.as_str())));
    // In an order that is the same every time, so that two files can be compared.
    body.rules.sort_by_cached_key(|rule| format!("{rule:?}"));
    body.updates.sort_by_cached_key(|update| format!("{update:?}"));
    body.test_devices.sort_by_cached_key(|device| device.identifier.clone());
    body
}

fn rule(key: &DeviceKey, versions: RuleVersions) -> RuleVersionsBody {
    RuleVersionsBody {
        device_type: key.device_type.to_string(),
        brand: key.brand.to_string(),
        model: key.model.to_string(),
        revision: key.revision.to_string(),
        locale: key.locale.to_string(),
        update_type: key.update_type.to_string(),
        approved_version: versions.approved().map(|version| version.to_string()),
        pending_version: versions.pending().map(|version| version.to_string()),
    }
}

fn update(update: &Update) -> UpdateBody {
    let files = update.files().iter().map(file).collect();
    UpdateBody { target: update.target().into(), version: update.version().to_string(), files }
}

fn file(file: &UpdateFile) -> UpdateFileBody {
    UpdateFileBody {
        name: file.name.to_string(),
        role: match file.role {
            FileRole::Image => FileRoleBody::Image,
            FileRole::Signature => FileRoleBody::Signature,
            FileRole::Other => FileRoleBody::Other,
        },
        digest: file.digest.to_string(),
        size_bytes: file.size_bytes,
        path: file.path.to_string(),
    }
}
