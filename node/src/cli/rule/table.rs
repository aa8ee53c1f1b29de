//! Rules, and what became of them, as text. Pure.

use crate::api::types::rules::{RuleBody, RuleReport, RuleResult};
use crate::cli::output::{Wrap, count, or_dash, printable, table};
use crate::cli::rule::Verb;

/// The first characters of a GUID: enough to be unique, and what commands take.
const SHORT_ID: usize = 8;

/// The rules as a table, or what to do when there is none.
pub fn list(rules: &[RuleBody], filtered: bool, width: Option<u16>) -> String {
    if rules.is_empty() {
        let none = "no rules yet: import a package with `ucupdates import FILE`";
        return if filtered { "no rule matches: see them all with `ucupdates rule list`" } else { none }.to_owned();
    }
    let pools = several_pools(rules.iter());
    let rows = rules.iter().map(|rule| named(rule, pools).into_iter().chain(versions(rule)).collect());
    let text = table(&columns(pools, Wrap::Never), rows, width);
    format!("{text}\n{}", footer(rules))
}

fn footer(rules: &[RuleBody]) -> String {
    let pending = rules.iter().filter(|rule| rule.pending_version.is_some()).count();
    let waiting = if pending > 0 { format!(", {pending} pending approval") } else { String::new() };
    let place = if several_pools(rules.iter()) { String::new() } else { format!(" in {}", rules[0].pool) };
    format!("{}{}{waiting}", count(rules.len(), "rule", "rules"), printable(&place))
}

/// Everything about one rule.
pub fn one(rule: &RuleBody) -> String {
    let dash = |version: &Option<String>| or_dash(version.as_deref());
    let lines = [
        ("Identity", rule.identity.clone()),
        ("Id", rule.id.clone()),
        ("Pool", rule.pool.clone()),
        ("DeviceType", rule.device_type.clone()),
        ("Brand", rule.brand.clone()),
        ("Model", rule.model.clone()),
        ("Revision", rule.revision.clone()),
        ("Locale", rule.locale.clone()),
        ("UpdateType", rule.update_type.clone()),
        ("ApprovedVersion", dash(&rule.approved_version)),
        ("PendingVersion", dash(&rule.pending_version)),
        ("RestoreVersion", dash(&rule.restore_version)),
    ];
    lines.map(|(name, value)| format!("{name:<15} : {}", printable(&value))).join("\n")
}

/// What became of each rule, the refusals with their reasons, and a line that sums it up.
pub fn report(verb: Verb, report: &RuleReport, width: Option<u16>) -> String {
    if report.results.is_empty() {
        return "no rule matches, so nothing was done: see them all with `ucupdates rule list`".to_owned();
    }
    let (refused, changed): (Vec<&RuleResult>, Vec<&RuleResult>) =
        report.results.iter().partition(|result| result.refused.is_some());
    let pools = several_pools(report.results.iter().map(|result| &result.before));
    let mut parts = Vec::new();
    if !changed.is_empty() {
        let rows = changed.iter().map(|result| changed_row(result, pools));
        parts.push(table(&columns(pools, Wrap::Words), rows, width));
    }
    for result in &refused {
        let rule = &result.before;
        let place = if pools { format!(" in {}", rule.pool) } else { String::new() };
        let why = result.refused.as_deref().unwrap_or_default();
        parts.push(printable(&format!("refused: {} {}{place}: {why}", short(&rule.id), device(rule))));
    }
    parts.push(verdict(verb, report.dry_run, changed.len(), refused.len()));
    parts.join("\n")
}

fn verdict(verb: Verb, dry_run: bool, changed: usize, refused: usize) -> String {
    let would = if dry_run { "would be " } else { "" };
    let mut text = format!("{} {would}{}", count(changed, "rule", "rules"), verb.done());
    if refused > 0 {
        text = format!("{text}, {refused} {would}refused");
    }
    if dry_run { format!("dry run: {text}; nothing was changed") } else { text }
}

fn changed_row(result: &RuleResult, pools: bool) -> Vec<String> {
    let before = &result.before;
    let mut row = named(before, pools);
    let Some(after) = &result.after else {
        // A removed rule is shown as it was.
        row.extend(versions(before));
        return row;
    };
    let change = |(old, new): (String, String)| if old == new { old } else { format!("{old} -> {new}") };
    row.extend(versions(before).into_iter().zip(versions(after)).map(change));
    row
}

/// Columns that name a rule, then its versions. The pool is a column only where it tells rules apart.
fn columns(pools: bool, versions: Wrap) -> Vec<(&'static str, Wrap)> {
    let mut columns = vec![("ID", Wrap::Never)];
    if pools {
        columns.push(("POOL", Wrap::Words));
    }
    columns.push(("DEVICE", Wrap::Words));
    columns.extend(["APPROVED", "PENDING", "RESTORE"].map(|heading| (heading, versions)));
    columns
}

fn named(rule: &RuleBody, pools: bool) -> Vec<String> {
    let pool = pools.then(|| rule.pool.clone());
    [short(&rule.id)].into_iter().chain(pool).chain([device(rule)]).collect()
}

fn versions(rule: &RuleBody) -> [String; 3] {
    [&rule.approved_version, &rule.pending_version, &rule.restore_version].map(|version| or_dash(version.as_deref()))
}

fn several_pools<'a>(mut rules: impl Iterator<Item = &'a RuleBody>) -> bool {
    let first = rules.next();
    rules.any(|rule| first.is_some_and(|first| first.pool != rule.pool))
}

/// The key, in the order of the file store's folders.
fn device(rule: &RuleBody) -> String {
    let RuleBody { device_type, brand, model, revision, locale, update_type, .. } = rule;
    format!("{device_type} {brand} {model} {revision} {locale} {update_type}")
}

fn short(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A rule whose GUID begins with `id`, eight characters.
    pub fn rule(id: &str, model: &str) -> RuleBody {
        let id = format!("{id}-0000-0000-0000-000000000000");
        RuleBody {
            identity: format!("Service:WebServer:pool01.contoso.com/{id}"),
            id,
            pool: "pool01.contoso.com".into(),
            device_type: "UCPhone".into(),
            brand: "Polycom".into(),
            model: model.into(),
            revision: "A".into(),
            locale: "ENU".into(),
            update_type: "CPE".into(),
            approved_version: Some("4.0.7577.4387".into()),
            pending_version: Some("4.0.7577.4444".into()),
            restore_version: None,
        }
    }

    fn approved(id: &str, model: &str) -> RuleResult {
        let before = rule(id, model);
        let after = RuleBody {
            approved_version: before.pending_version.clone(),
            pending_version: None,
            restore_version: before.approved_version.clone(),
            ..before.clone()
        };
        RuleResult { before, after: Some(after), refused: None }
    }

    fn refused(id: &str, model: &str) -> RuleResult {
        let before = RuleBody { pending_version: None, ..rule(id, model) };
        let refused = Some("nothing is pending, so there is nothing to approve".into());
        RuleResult { before, after: None, refused }
    }

    #[test]
    fn an_empty_list_says_what_to_do() {
        insta::assert_snapshot!(list(&[], false, None), @"no rules yet: import a package with `ucupdates import FILE`");
        insta::assert_snapshot!(list(&[], true, None), @"no rule matches: see them all with `ucupdates rule list`");
    }

    #[test]
    fn rules_are_a_table() {
        let rules = [rule("1a2b3c4d", "CX600"), RuleBody { pending_version: None, ..rule("99999999", "CX700") }];
        insta::assert_snapshot!(list(&rules, false, None), @r"
        ID        DEVICE                           APPROVED       PENDING        RESTORE
        1a2b3c4d  UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  4.0.7577.4444  -
        99999999  UCPhone Polycom CX700 A ENU CPE  4.0.7577.4387  -              -
        2 rules in pool01.contoso.com, 1 pending approval
        ");
        insta::assert_snapshot!(list(&rules, false, Some(60)), @r"
        ID        DEVICE     APPROVED       PENDING        RESTORE
        1a2b3c4d  UCPhone    4.0.7577.4387  4.0.7577.4444  -
                  Polycom
                  CX600 A
                  ENU CPE
        99999999  UCPhone    4.0.7577.4387  -              -
                  Polycom
                  CX700 A
                  ENU CPE
        2 rules in pool01.contoso.com, 1 pending approval
        ");
        let elsewhere = RuleBody { pool: "pool02.contoso.com".into(), ..rule("77777777", "CX600") };
        insta::assert_snapshot!(list(&[rules[1].clone(), elsewhere], false, None), @r"
        ID        POOL                DEVICE                           APPROVED       PENDING        RESTORE
        99999999  pool01.contoso.com  UCPhone Polycom CX700 A ENU CPE  4.0.7577.4387  -              -
        77777777  pool02.contoso.com  UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  4.0.7577.4444  -
        2 rules, 1 pending approval
        ");
    }

    #[test]
    fn one_rule_is_shown_as_the_cmdlet_does() {
        insta::assert_snapshot!(one(&rule("1a2b3c4d", "CX600")), @r"
        Identity        : Service:WebServer:pool01.contoso.com/1a2b3c4d-0000-0000-0000-000000000000
        Id              : 1a2b3c4d-0000-0000-0000-000000000000
        Pool            : pool01.contoso.com
        DeviceType      : UCPhone
        Brand           : Polycom
        Model           : CX600
        Revision        : A
        Locale          : ENU
        UpdateType      : CPE
        ApprovedVersion : 4.0.7577.4387
        PendingVersion  : 4.0.7577.4444
        RestoreVersion  : -
        ");
    }

    #[test]
    fn a_report_shows_before_and_after_and_every_refusal() {
        let results = vec![approved("1a2b3c4d", "CX600"), refused("99999999", "CX700")];
        let mut card = RuleReport { dry_run: false, results };
        insta::assert_snapshot!(report(Verb::Approve, &card, None), @r"
        ID        DEVICE                           APPROVED                        PENDING             RESTORE
        1a2b3c4d  UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387 -> 4.0.7577.4444  4.0.7577.4444 -> -  - -> 4.0.7577.4387
        refused: 99999999 UCPhone Polycom CX700 A ENU CPE: nothing is pending, so there is nothing to approve
        1 rule approved, 1 refused
        ");
        insta::assert_snapshot!(report(Verb::Approve, &card, Some(80)), @r"
        ID        DEVICE            APPROVED          PENDING          RESTORE
        1a2b3c4d  UCPhone Polycom   4.0.7577.4387 ->  4.0.7577.4444    - ->
                  CX600 A ENU CPE   4.0.7577.4444     -> -             4.0.7577.4387
        refused: 99999999 UCPhone Polycom CX700 A ENU CPE: nothing is pending, so there is nothing to approve
        1 rule approved, 1 refused
        ");
        card.dry_run = true;
        insta::assert_snapshot!(report(Verb::Approve, &card, None).lines().last().unwrap(), @"dry run: 1 rule would be approved, 1 would be refused; nothing was changed");
    }

    #[test]
    fn removed_rules_are_gone() {
        let results = vec![RuleResult { before: rule("1a2b3c4d", "CX600"), after: None, refused: None }];
        insta::assert_snapshot!(report(Verb::Remove, &RuleReport { dry_run: false, results }, None), @r"
        ID        DEVICE                           APPROVED       PENDING        RESTORE
        1a2b3c4d  UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  4.0.7577.4444  -
        1 rule removed
        ");
        let nothing = RuleReport { dry_run: false, results: Vec::new() };
        insta::assert_snapshot!(report(Verb::Remove, &nothing, None), @"no rule matches, so nothing was done: see them all with `ucupdates rule list`");
    }
}
