//! The nodes of all pools: which are there, and the removal of those that are gone for good.

use super::auth::Actor;
use super::pools::pool_name;
use super::types::nodes::NodeBody;
use super::{Admin, ApiError, Query, dry_run};
use axum::extract::State;
use axum::{Extension, Json};
use schema::topology::{NodeName, SiteName};
use serde::Deserialize;
use std::sync::Arc;

/// Which nodes; all when nothing is said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pool: Option<String>,
    site: Option<String>,
}

/// Which node; of this node's pool when none is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    name: String,
    pool: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<NodeBody>>, ApiError> {
    let pool = filter.pool.as_deref().map(pool_name).transpose()?;
    let site = filter.site.as_deref().map(SiteName::parse).transpose()?;
    let mut nodes = admin.database.nodes().await?;
    nodes.retain(|node| pool.as_ref().is_none_or(|pool| *pool == node.pool));
    nodes.retain(|node| site.as_ref().is_none_or(|site| *site == node.site));
    Ok(Json(nodes.into_iter().map(NodeBody::from).collect()))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(which): Query<Which>,
) -> Result<Json<NodeBody>, ApiError> {
    let pool = which.pool.as_deref().map(pool_name).transpose()?.unwrap_or_else(|| admin.pool.fqdn.clone());
    let name = NodeName::parse(&which.name)?;
    Ok(Json(admin.database.remove_node(&pool, &name, &actor.0, dry_run(which.dry_run)).await?.into()))
}
