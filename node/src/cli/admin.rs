//! `ucupdates admin`: who did what to what, and whether the record is whole.

use crate::api::types::{AdminEventBody, ChainReport};
use crate::cli::output::{Console, Outcome, Wrap, count, printable, table, time};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of a value that are shown; `--json` shows all.
const SHOWN_CHARS: usize = 160;

/// What to do with admin events.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// List what administrators did, newest first
    #[command(after_help = "Example:\n  ucupdates admin events --limit 20")]
    Events {
        /// Events that are shown at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Check that no admin event was changed or taken out
    #[command(after_help = "Example:\n  ucupdates admin verify\n\nExit code 1 when the chain is broken.")]
    Verify,
}

impl AdminCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::Events { limit } => {
                let events: Vec<AdminEventBody> = console.client()?.get("/admin-events", &[("limit", limit)]).await?;
                console.show(&events, |events, _| list(events))?;
                Ok(Outcome::Done)
            }
            Self::Verify => {
                let report: ChainReport = console.client()?.get("/admin-events/verify", &()).await?;
                console.show(&report, |report, _| verified(report))?;
                Ok(Outcome::refused_if(report.broken_at.is_some()))
            }
        }
    }
}

/// A line for each event, and beneath it what changed: too long and too different for a column.
fn list(events: &[AdminEventBody]) -> String {
    if events.is_empty() {
        return "no admin events yet".to_owned();
    }
    let columns = ["NUMBER", "AT (UTC)", "ACTOR", "ACTION", "OBJECT"].map(|heading| (heading, Wrap::Never));
    let row = |event: &AdminEventBody| {
        let AdminEventBody { number, actor, action, object, .. } = event;
        vec![number.to_string(), time(&event.at), actor.clone(), action.clone(), object.clone()]
    };
    let head = table(&columns, events.iter().map(row), None);
    let mut lines: Vec<String> = Vec::new();
    // The first line is the headings; without a width to fit, every row is one line.
    for (number, line) in head.lines().enumerate() {
        lines.push(line.to_owned());
        if let Some(event) = number.checked_sub(1).and_then(|number| events.get(number)) {
            lines.extend(
                changes(event.before.as_ref(), event.after.as_ref()).iter().map(|line| format!("        {line}")),
            );
        }
    }
    lines.join("\n")
}

/// The values that differ, `name: before -> after`.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves("", before, &mut old);
    leaves("", after, &mut new);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let one = |name: &String| {
        let label = if name.is_empty() { String::new() } else { format!("{}: ", printable(name)) };
        match (old.get(name), new.get(name)) {
            (None, Some(new)) if before.is_none() => format!("{label}{}", shortened(new)),
            (old, new) => format!("{label}{} -> {}", dash(old), dash(new)),
        }
    };
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(one).collect()
}

fn dash(value: Option<&String>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| shortened(value))
}

/// Every value that is there, by its name; names inside names are joined by dots.
fn leaves(name: &str, value: Option<&Value>, found: &mut BTreeMap<String, String>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                leaves(&name, Some(value), found);
            }
        }
        Some(Value::String(text)) => _ = found.insert(name.to_owned(), printable(text)),
        Some(value) => _ = found.insert(name.to_owned(), value.to_string()),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn verified(report: &ChainReport) -> String {
    let checked = count(usize::try_from(report.checked).unwrap_or(usize::MAX), "admin event", "admin events");
    match report.broken_at {
        None => format!("the record is whole: {checked} checked"),
        Some(number) => format!(
            "the record is broken: admin event {number} does not fit the one before it; it, or one before it, was \
             changed or taken out ({checked} checked)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_shows_what_differs() {
        let check = |before: Option<Value>, after: Option<Value>| changes(before.as_ref(), after.as_ref()).join(", ");
        let rule = json!({"approved": null, "pending": "2.0.0.0", "brand": "Polycom"});
        let approved = json!({"approved": "2.0.0.0", "pending": null, "brand": "Polycom"});
        assert_eq!(check(Some(rule.clone()), Some(approved)), "approved: - -> 2.0.0.0, pending: 2.0.0.0 -> -");
        assert_eq!(check(None, Some(json!({"name": "x", "size": 3, "none": null}))), "name: x, size: 3");
        let nested = |url: &str| Some(json!({"urls": {"files": url, "update": "same"}, "list": [1, "a"]}));
        assert_eq!(check(nested("a"), nested("b")), "urls.files: a -> b");
        assert_eq!(check(Some(json!({"name": "x"})), None), "name: x -> -");
        assert_eq!(check(Some(rule.clone()), Some(rule)), "");
        assert_eq!(check(None, Some(json!({}))), "");
        assert_eq!(check(None, Some(json!("text"))), "text");
        assert_eq!(check(Some(json!(1)), Some(json!(2))), "1 -> 2");
        assert_eq!(check(None, Some(json!("é".repeat(161)))), format!("{}...", "é".repeat(160)));
    }

    #[test]
    fn events_are_lines_with_their_changes() {
        let event = |number: i64, before: Option<Value>, after: Option<Value>| AdminEventBody {
            number,
            at: "2026-03-06T17:07:20Z".into(),
            actor: "alice".into(),
            action: "approve".into(),
            object: "Service:WebServer:pool01/1a2b".into(),
            before,
            after,
        };
        let first = event(8, Some(json!({"pending": "2.0.0.0"})), Some(json!({"pending": null})));
        insta::assert_snapshot!(list(&[first, event(7, None, None)]), @r"
        NUMBER  AT (UTC)             ACTOR  ACTION   OBJECT
        8       2026-03-06 17:07:20  alice  approve  Service:WebServer:pool01/1a2b
                pending: 2.0.0.0 -> -
        7       2026-03-06 17:07:20  alice  approve  Service:WebServer:pool01/1a2b
        ");
        insta::assert_snapshot!(list(&[]), @"no admin events yet");
    }

    #[test]
    fn the_verdict_names_the_broken_event() {
        insta::assert_snapshot!(verified(&ChainReport { checked: 1, broken_at: None }), @"the record is whole: 1 admin event checked");
        insta::assert_snapshot!(verified(&ChainReport { checked: 12, broken_at: Some(7) }), @"the record is broken: admin event 7 does not fit the one before it; it, or one before it, was changed or taken out (12 admin events checked)");
    }
}
