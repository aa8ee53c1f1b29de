//! Stepping stones: builds that old firmware must take first (row D11), as data.

use super::auth::Actor;
use super::types::devices::SteppingStoneBody;
use super::{Admin, ApiError, Body, DryRunQuery, Query};
use axum::extract::State;
use axum::{Extension, Json};
use schema::device::Name;
use schema::rule_set::SteppingStone;
use schema::version::FirmwareVersion;
use std::sync::Arc;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<SteppingStoneBody>>, ApiError> {
    Ok(Json(admin.database.stepping_stones().await?.iter().map(body).collect()))
}

pub(super) async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(stone): Body<SteppingStoneBody>,
) -> Result<Json<SteppingStoneBody>, ApiError> {
    let stone = parse(&stone)?;
    let known = admin.database.stepping_stones().await?.contains(&stone);
    match (query.dry_run, known) {
        (true, true) => return Err(ApiError::already_exists("this stepping stone exists already")),
        (true, false) => {}
        (false, _) => {
            admin.database.add_stepping_stone(&stone, &actor.0).await?;
            admin.refresher.refresh().await;
        }
    }
    Ok(Json(body(&stone)))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DryRunQuery>,
    Body(stone): Body<SteppingStoneBody>,
) -> Result<Json<SteppingStoneBody>, ApiError> {
    let stone = parse(&stone)?;
    if !query.dry_run {
        admin.database.remove_stepping_stone(&stone, &actor.0).await?;
        admin.refresher.refresh().await;
    } else if !admin.database.stepping_stones().await?.contains(&stone) {
        return Err(ApiError::not_found("this stepping stone does not exist"));
    }
    Ok(Json(body(&stone)))
}

fn parse(body: &SteppingStoneBody) -> Result<SteppingStone, ApiError> {
    let name = |text: &Option<String>| text.as_deref().map(Name::parse).transpose();
    let stone = SteppingStone {
        device_type: Name::parse(&body.device_type)?,
        brand: name(&body.brand)?,
        model: name(&body.model)?,
        below: FirmwareVersion::parse(&body.below)?,
        via: FirmwareVersion::parse(&body.via)?,
    };
    if stone.via < stone.below {
        return Err(ApiError::invalid(format!(
            "the interim build {} is below {}: a phone that took it would have to take it again; give a build that is not below",
            stone.via, stone.below
        )));
    }
    Ok(stone)
}

pub(super) fn body(stone: &SteppingStone) -> SteppingStoneBody {
    SteppingStoneBody {
        device_type: stone.device_type.to_string(),
        brand: stone.brand.as_ref().map(ToString::to_string),
        model: stone.model.as_ref().map(ToString::to_string),
        below: stone.below.to_string(),
        via: stone.via.to_string(),
    }
}
