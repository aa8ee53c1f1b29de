//! Names in the alert rules, the dashboard and the documents are those of metrics that a node tells, and the other way
//! round: what a node tells is looked at somewhere.

use super::prometheus::Prometheus;
use super::promql::{self, faults};
use super::scrape::Scrape;
use super::{dashboard, scraped, text_of};
use serde_json::Value;
use std::collections::BTreeSet;
use tests::node::TestNode;

/// Metrics that neither an alert nor the dashboard uses, and why there are such.
const LOOKED_AT_BY_HAND: [(&str, &str); 0] = [];

/// The labels that a text shows, as `{{ $labels.x }}` or `{{x}}`.
fn shown_labels(text: &str) -> Vec<String> {
    let pieces = text.split("{{").skip(1).filter_map(|piece| piece.split("}}").next());
    let names = pieces.map(|piece| piece.split('|').next().unwrap_or_default().trim());
    let labels = names.filter(|name| !name.starts_with("$value")).map(|name| name.trim_start_matches("$labels."));
    labels.map(str::to_owned).collect()
}

/// Expressions, with the labels that are shown of their results.
type Expressions = Vec<(String, Vec<String>)>;

/// The alert rules as Prometheus has read them.
async fn alerts(prometheus: &Prometheus) -> Expressions {
    let answer = prometheus.api("rules", &[]).await;
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let expressions = rules.map(|rule| {
        for annotation in ["summary", "description"] {
            let text = rule["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{} has no {annotation}", rule["name"]);
        }
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{rule}");
        let texts = rule["annotations"].to_string();
        (rule["query"].as_str().unwrap().to_owned(), shown_labels(&texts))
    });
    expressions.collect()
}

/// Checks all expressions, against the scrape and by Prometheus.
pub async fn check(scrape: &Scrape, prometheus: &Prometheus) {
    let alerts = alerts(prometheus).await;
    assert!(alerts.len() > 20);
    let panels = dashboard::expressions();
    assert!(panels.len() > 40);
    let expressions: Expressions = alerts.into_iter().chain(panels).collect();
    let wrong = expressions.iter().flat_map(|(expression, shown)| faults(expression, shown, scrape));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
    for (expression, _) in &expressions {
        let expression = expression.replace("$node", ".*").replace("$__rate_interval", "1m");
        let answer = prometheus.api("query", &[("query", &expression)]).await;
        assert_eq!(answer["status"], Value::from("success"), "{expression}: {answer}");
    }
    let names = expressions.iter().flat_map(|(expression, _)| promql::names(expression).unwrap().selectors);
    let mut used: BTreeSet<String> =
        names.filter_map(|selector| scrape.name_of_family(&selector.metric).map(str::to_owned)).collect();
    for (name, why) in LOOKED_AT_BY_HAND {
        assert!(scrape.families.contains_key(name) && !why.is_empty(), "{name}");
        assert!(used.insert(name.to_owned()), "{name} is used: it needs no reason");
    }
    let unused: Vec<&String> = scrape.families.keys().filter(|name| !used.contains(*name)).collect();
    assert_eq!(unused, Vec::<&String>::new(), "neither an alert nor the dashboard uses these");
}

#[test]
fn labels_that_a_text_shows_are_found() {
    let text = "{{ $labels.key }} of {{$labels.instance}} in {{ $value | humanize }}, {{reason}}";
    assert_eq!(shown_labels(text), ["key", "instance", "reason"]);
}

#[tokio::test]
async fn the_document_describes_every_metric_and_no_other() {
    let node = TestNode::start().await;
    let scrape = scraped(&node).await;
    let rows = scrape.families.iter().map(|(name, family)| {
        let labels: Vec<String> = family.labels.keys().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {} |", family.kind, labels.join(", "), family.help)
    });
    let rows: Vec<String> = rows.collect();
    let document = text_of("deploy/metrics.md");
    let written: Vec<&str> =
        document.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `/")).collect();
    let wrong = written.iter().filter(|row| !rows.iter().any(|expected| expected == *row));
    let missing = rows.iter().filter(|row| !written.contains(&row.as_str()));
    let wrong: String = wrong.map(|row| format!("- {row}\n")).collect();
    let missing: String = missing.map(|row| format!("+ {row}\n")).collect();
    assert!(wrong.is_empty() && missing.is_empty(), "the table in deploy/metrics.md is not true:\n{wrong}{missing}");
    assert_eq!(written, rows, "the table is in the order of the names");
}
