//! `ucupdates admin`: who did what to what, and whether the record is whole.

use crate::api::types::{AdminEventBody, ChainReport};
use crate::cli::output::{Console, Outcome, Wrap, count, printable, table, time};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

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
                console.show(&events, |events, width| list(events, width))?;
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

fn list(events: &[AdminEventBody], width: Option<u16>) -> String {
    if events.is_empty() {
        return "no admin events yet".to_owned();
    }
    let columns = [
        ("NUMBER", Wrap::Never),
        ("AT (UTC)", Wrap::Never),
        ("ACTOR", Wrap::Words),
        ("ACTION", Wrap::Words),
        ("OBJECT", Wrap::Words),
        ("CHANGE", Wrap::Words),
    ];
    let row = |event: &AdminEventBody| {
        let change = change(event.before.as_ref(), event.after.as_ref());
        let (actor, action, object) = (event.actor.clone(), event.action.clone(), event.object.clone());
        vec![event.number.to_string(), time(&event.at), actor, action, object, change]
    };
    table(&columns, events.iter().map(row), width)
}

/// The fields that differ, `name: before -> after`.
fn change(before: Option<&Value>, after: Option<&Value>) -> String {
    let none = serde_json::Map::new();
    let fields = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_else(|| none.clone());
    let (old, new) = (fields(before), fields(after));
    if old.is_empty() && new.is_empty() {
        return match (before, after) {
            (None, None) => "-".to_owned(),
            (before, after) if before == after => text(after),
            (before, after) => format!("{} -> {}", text(before), text(after)),
        };
    }
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let one = |name: &String| match (old.get(name), new.get(name)) {
        (None, after) if before.is_none() => format!("{name}: {}", text(after)),
        (old, new) => format!("{name}: {} -> {}", text(old), text(new)),
    };
    let changes: Vec<String> = differing.map(one).collect();
    if changes.is_empty() { "-".to_owned() } else { changes.join(", ") }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(value) => value.to_string(),
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
        let check = |before: Option<Value>, after: Option<Value>| change(before.as_ref(), after.as_ref());
        let rule = json!({"approved": null, "pending": "2.0.0.0", "brand": "Polycom"});
        let approved = json!({"approved": "2.0.0.0", "pending": null, "brand": "Polycom"});
        assert_eq!(check(Some(rule.clone()), Some(approved)), "approved: - -> 2.0.0.0, pending: 2.0.0.0 -> -");
        assert_eq!(check(None, Some(json!({"name": "x", "size": 3}))), "name: x, size: 3");
        assert_eq!(check(Some(json!({"name": "x"})), None), "name: x -> -");
        assert_eq!(check(Some(rule.clone()), Some(rule)), "-");
        assert_eq!(check(None, None), "-");
        assert_eq!(check(None, Some(json!("text"))), "- -> text");
    }

    #[test]
    fn events_are_a_table() {
        let event = AdminEventBody {
            number: 7,
            at: "2026-03-06T17:07:20Z".into(),
            actor: "alice".into(),
            action: "approve".into(),
            object: "Service:WebServer:pool01/1a2b".into(),
            before: Some(json!({"pending": "2.0.0.0"})),
            after: Some(json!({"pending": null})),
        };
        insta::assert_snapshot!(list(&[event], None), @r"
        NUMBER  AT (UTC)             ACTOR  ACTION   OBJECT                         CHANGE
        7       2026-03-06 17:07:20  alice  approve  Service:WebServer:pool01/1a2b  pending: 2.0.0.0 -> -
        ");
        insta::assert_snapshot!(list(&[], None), @"no admin events yet");
    }

    #[test]
    fn the_verdict_names_the_broken_event() {
        insta::assert_snapshot!(verified(&ChainReport { checked: 1, broken_at: None }), @"the record is whole: 1 admin event checked");
        insta::assert_snapshot!(verified(&ChainReport { checked: 12, broken_at: Some(7) }), @"the record is broken: admin event 7 does not fit the one before it; it, or one before it, was changed or taken out (12 admin events checked)");
    }
}
