//! Device update rules: list, approve, reset, restore, remove (rows C02 to C06, S03 to S14), on one rule, a list, or a
//! filter, each with a dry run.

use super::auth::Actor;
use super::types::rules::{RuleBody, RuleFilterBody, RuleReport, RuleResult, RuleSelection};
use super::{Admin, ApiError, Body, Query, dry_run};
use axum::extract::State;
use axum::{Extension, Json};
use schema::rule::{Rule, RuleAction, RuleFilter, RuleId};
use schema::store::ActedRule;
use std::sync::Arc;
use uuid::Uuid;

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(filter): Query<RuleFilterBody>,
) -> Result<Json<Vec<RuleBody>>, ApiError> {
    let filter = RuleFilter::from(filter);
    let rules = admin.database.rules().await?;
    Ok(Json(rules.iter().filter(|rule| filter.matches(rule)).map(RuleBody::new).collect()))
}

pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(selection): Body<RuleSelection>,
) -> Result<Json<RuleReport>, ApiError> {
    act(&admin, &actor, selection, RuleAction::Approve).await
}

pub(super) async fn reset(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(selection): Body<RuleSelection>,
) -> Result<Json<RuleReport>, ApiError> {
    act(&admin, &actor, selection, RuleAction::Reset).await
}

pub(super) async fn restore(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(mut selection): Body<RuleSelection>,
) -> Result<Json<RuleReport>, ApiError> {
    let uninstall = std::mem::take(&mut selection.uninstall);
    let action = if uninstall { RuleAction::Uninstall } else { RuleAction::Restore };
    act(&admin, &actor, selection, action).await
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(selection): Body<RuleSelection>,
) -> Result<Json<RuleReport>, ApiError> {
    let ids = selected(&admin, &selection).await?;
    let removed = admin.database.remove_rules(&ids, &actor.0, dry_run(selection.dry_run)).await?;
    admin.refresher.refresh().await;
    let result = |rule: &Rule| RuleResult { before: RuleBody::new(rule), after: None, refused: None };
    Ok(Json(RuleReport { dry_run: selection.dry_run, results: removed.iter().map(result).collect() }))
}

async fn act(
    admin: &Admin,
    actor: &Actor,
    selection: RuleSelection,
    action: RuleAction,
) -> Result<Json<RuleReport>, ApiError> {
    let ids = selected(admin, &selection).await?;
    let acted = admin.database.act(&ids, action, &actor.0, dry_run(selection.dry_run)).await?;
    admin.refresher.refresh().await;
    Ok(Json(RuleReport { dry_run: selection.dry_run, results: acted.iter().map(result).collect() }))
}

fn result(acted: &ActedRule) -> RuleResult {
    let before = RuleBody::new(&acted.before);
    match acted.result {
        Ok(versions) => {
            RuleResult { before, after: Some(RuleBody::with_versions(&acted.before, versions)), refused: None }
        }
        Err(refusal) => RuleResult { before, after: None, refused: Some(refusal.to_string()) },
    }
}

/// The ids of the rules that the selection means. It must mean something: an empty one is a mistake, not every rule.
async fn selected(admin: &Admin, selection: &RuleSelection) -> Result<Vec<RuleId>, ApiError> {
    if selection.uninstall {
        return Err(ApiError::invalid("uninstall goes with restore alone"));
    }
    let filter = selection.filter.clone().map(RuleFilter::from).filter(|filter| !filter.is_empty());
    match (selection.ids.is_empty(), filter, selection.all) {
        (false, None, false) => selection.ids.iter().map(|id| rule_id(id)).collect(),
        (true, Some(filter), false) => matching(admin, &filter).await,
        (true, None, true) => matching(admin, &RuleFilter::default()).await,
        (true, None, false) => Err(ApiError::invalid("say which rules: by ids, by a filter, or all")),
        _ => Err(ApiError::invalid("give ids, or a filter, or all; not several of them")),
    }
}

async fn matching(admin: &Admin, filter: &RuleFilter) -> Result<Vec<RuleId>, ApiError> {
    let rules = admin.database.rules().await?;
    Ok(rules.iter().filter(|rule| filter.matches(rule)).map(|rule| rule.id).collect())
}

/// Reads a GUID, or the identity that ends in it.
fn rule_id(text: &str) -> Result<RuleId, ApiError> {
    let guid = text.rsplit('/').next().unwrap_or(text);
    let id = Uuid::parse_str(guid);
    id.map(RuleId).map_err(|_| ApiError::invalid(format!("{text:?} is no rule: expected its GUID or its identity")))
}
