//! Stepping stones: builds that old firmware must take before its target (row D11).

use super::events::Event;
use super::rows::{maybe, parsed};
use super::transaction::Change;
use super::{Database, StoreError};
use crate::device::Name;
use crate::rule_set::SteppingStone;
use serde_json::json;
use tokio_postgres::Row;

pub(super) const LIST: &str = "
    select device_type, brand, model, below, via
    from stepping_stones
    order by folded(device_type), folded(brand) nulls first, folded(model) nulls first, version_numbers(via), id";

const ADD: &str = "
    insert into stepping_stones (device_type, brand, model, below, via)
    values ($1, $2, $3, $4, $5)";

const REMOVE: &str = "
    delete from stepping_stones
    where folded(device_type) = folded($1)
        and folded(coalesce(brand, '')) = folded(coalesce($2, ''))
        and folded(coalesce(model, '')) = folded(coalesce($3, ''))
        and below = $4
        and via = $5";

impl Database {
    /// All stepping stones.
    pub async fn stepping_stones(&self) -> Result<Vec<SteppingStone>, StoreError> {
        self.within("stepping stones", async {
            self.client().await?.query(LIST, &[]).await?.iter().map(stepping_stone).collect()
        })
        .await
    }

    /// Adds a stepping stone.
    pub async fn add_stepping_stone(&self, stone: &SteppingStone, actor: &str) -> Result<(), StoreError> {
        self.within("adding a stepping stone", async {
            let (below, via) = (stone.below.to_string(), stone.via.to_string());
            let mut change = Change::begin(self, actor).await?;
            change
                .execute(ADD, &[&stone.device_type.as_str(), &text(&stone.brand), &text(&stone.model), &below, &via])
                .await
                .map_err(|error| match StoreError::constraint(&error) {
                    Some("stepping_stones_unique") => StoreError::AlreadyExists(words(stone)),
                    Some("stepping_stones_progress_check") => {
                        let text = format!("a phone that took {via} would still be below {below} and take it for ever");
                        StoreError::Refused(text)
                    }
                    _ => error.into(),
                })?;
            change.record(Event { action: "create", object: words(stone), before: None, after: Some(json!({})) });
            change.commit().await
        })
        .await
    }

    /// Removes a stepping stone.
    pub async fn remove_stepping_stone(&self, stone: &SteppingStone, actor: &str) -> Result<(), StoreError> {
        self.within("removing a stepping stone", async {
            let (below, via) = (stone.below.to_string(), stone.via.to_string());
            let mut change = Change::begin(self, actor).await?;
            let removed = change
                .execute(REMOVE, &[&stone.device_type.as_str(), &text(&stone.brand), &text(&stone.model), &below, &via])
                .await?;
            if removed == 0 {
                change.roll_back().await?;
                return Err(StoreError::NotFound(words(stone)));
            }
            change.record(Event { action: "remove", object: words(stone), before: Some(json!({})), after: None });
            change.commit().await
        })
        .await
    }
}

fn text(name: &Option<Name>) -> Option<&str> {
    name.as_ref().map(Name::as_str)
}

pub(super) fn stepping_stone(row: &Row) -> Result<SteppingStone, StoreError> {
    Ok(SteppingStone {
        device_type: parsed(row, "device_type")?,
        brand: maybe(row, "brand")?,
        model: maybe(row, "model")?,
        below: parsed(row, "below")?,
        via: parsed(row, "via")?,
    })
}

fn words(stone: &SteppingStone) -> String {
    let SteppingStone { device_type, brand, model, below, via } = stone;
    let [brand, model] = [brand, model].map(|name| text(name).unwrap_or("*"));
    format!("stepping stone {device_type}/{brand}/{model} below {below} via {via}")
}
