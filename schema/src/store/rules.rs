//! Device update rules: what administrators do to them. The life of a rule is `schema::rule`'s; here it is kept.

use super::events::Event;
use super::rows::{device_key, parsed, versions, versions_json};
use super::transaction::Change;
use super::{Database, DryRun, StoreError, import};
use crate::rule::{Refusal, Rule, RuleAction, RuleId, RuleVersions};
use crate::version::FirmwareVersion;
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;
use uuid::Uuid;

/// What an action did to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActedRule {
    /// The rule before.
    pub before: Rule,
    /// Its versions now (on a dry run: as they would be), or why the action was refused.
    pub result: Result<RuleVersions, Refusal>,
}

const RULES: &str = "
    select rule.id as rule_id, pool.fqdn, target.*, rule.approved_version, rule.pending_version, rule.restore_version
    from device_update_rules rule
    join pools pool on pool.id = rule.pool_id
    join update_targets target on target.id = rule.target_id";

/// In one order, so that two changes of the same rules wait for each other and never lock each other out.
const LOCKED: &str = "
    select rule.id as rule_id, pool.fqdn, target.*, rule.approved_version, rule.pending_version, rule.restore_version
    from device_update_rules rule
    join pools pool on pool.id = rule.pool_id
    join update_targets target on target.id = rule.target_id
    where rule.id = any($1)
    order by rule.id
    for update of rule";

const SET: &str = "
    update device_update_rules rule
    set approved_version = new.approved, pending_version = new.pending, restore_version = new.restore
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as new (id, approved, pending, restore)
    where rule.id = new.id";

const REMOVE: &str = "
    delete from device_update_rules
    where id = any($1)";

impl Database {
    /// All rules, by pool and key.
    pub async fn rules(&self) -> Result<Vec<Rule>, StoreError> {
        self.within("rules", async {
            let rows = self.client().await?.query(RULES, &[]).await?;
            let mut rules: Vec<Rule> = rows.iter().map(rule).collect::<Result<_, _>>()?;
            rules.sort_by(|one, other| (&one.pool, &one.key).cmp(&(&other.pool, &other.key)));
            Ok(rules)
        })
        .await
    }

    /// Does `action` (not `Import`) to each rule, in the order of `ids`; refused ones stay as they are. An id that is
    /// not there fails the whole.
    pub async fn act(
        &self,
        ids: &[RuleId],
        action: RuleAction,
        actor: &str,
        dry_run: DryRun,
    ) -> Result<Vec<ActedRule>, StoreError> {
        import::not_without_package(action)?;
        self.within("acting on rules", async {
            let mut change = Change::begin(self, actor).await?;
            let rules = locked(&change, ids).await?;
            let acted: Vec<ActedRule> =
                rules.into_iter().map(|before| ActedRule { result: before.versions.apply(action), before }).collect();
            if dry_run == DryRun::Yes {
                change.roll_back().await?;
                return Ok(acted);
            }
            set(&change, &acted).await?;
            for ActedRule { before, result } in &acted {
                if let Ok(now) = result {
                    change.record(Event {
                        action: action_word(action),
                        object: rule_words(before),
                        before: Some(versions_json(before.versions)),
                        after: Some(versions_json(*now)),
                    });
                }
            }
            change.commit().await?;
            Ok(acted)
        })
        .await
    }

    /// Removes rules for good; the answer is what they were. An id that is not there fails the whole.
    pub async fn remove_rules(&self, ids: &[RuleId], actor: &str, dry_run: DryRun) -> Result<Vec<Rule>, StoreError> {
        self.within("removing rules", async {
            let mut change = Change::begin(self, actor).await?;
            let rules = locked(&change, ids).await?;
            if dry_run == DryRun::Yes {
                change.roll_back().await?;
                return Ok(rules);
            }
            let ids: Vec<Uuid> = rules.iter().map(|rule| rule.id.0).collect();
            change.execute(REMOVE, &[&ids]).await?;
            for rule in &rules {
                let before = Some(versions_json(rule.versions));
                change.record(Event { action: "remove", object: rule_words(rule), before, after: None });
            }
            change.commit().await?;
            Ok(rules)
        })
        .await
    }
}

/// The rules, each once, in the order of `ids`, locked until the end of the change.
async fn locked(change: &Change, ids: &[RuleId]) -> Result<Vec<Rule>, StoreError> {
    let mut wanted = HashSet::new();
    let ids: Vec<Uuid> = ids.iter().filter(|id| wanted.insert(**id)).map(|id| id.0).collect();
    let rows = change.query(LOCKED, &[&ids]).await?;
    let mut rules = HashMap::new();
    for row in &rows {
        let rule = rule(row)?;
        rules.insert(rule.id.0, rule);
    }
    let found = |id: &Uuid| rules.remove(id).ok_or_else(|| StoreError::NotFound(format!("device update rule {id}")));
    ids.iter().map(found).collect()
}

async fn set(change: &Change, acted: &[ActedRule]) -> Result<(), StoreError> {
    let text = |version: Option<FirmwareVersion>| version.map(|version| version.to_string());
    let now = || acted.iter().filter_map(|acted| Some((acted.before.id.0, acted.result.ok()?)));
    let ids: Vec<Uuid> = now().map(|(id, _)| id).collect();
    let approved: Vec<_> = now().map(|(_, now)| text(now.approved())).collect();
    let pending: Vec<_> = now().map(|(_, now)| text(now.pending())).collect();
    let restore: Vec<_> = now().map(|(_, now)| text(now.restore())).collect();
    change.execute(SET, &[&ids, &approved, &pending, &restore]).await?;
    Ok(())
}

fn rule(row: &Row) -> Result<Rule, StoreError> {
    Ok(Rule {
        id: RuleId(row.try_get("rule_id")?),
        pool: parsed(row, "fqdn")?,
        key: device_key(row)?,
        versions: versions(row)?,
    })
}

/// What an administrator looks for in the list of events: which devices, and which rule.
fn rule_words(rule: &Rule) -> String {
    format!("rule {} {}", rule.key, rule.identity())
}

fn action_word(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Import(_) => "import",
        RuleAction::Approve => "approve",
        RuleAction::Reset => "reset",
        RuleAction::Restore => "restore",
        RuleAction::Uninstall => "uninstall",
    }
}
