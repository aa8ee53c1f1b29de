//! The Grafana dashboard: what Grafana wants of one, and what makes it readable. Its expressions are checked with those
//! of the alert rules.

use super::text_of;
use serde_json::Value;
use std::collections::BTreeSet;

const ROWS: [&str; 8] =
    ["Phones", "Downloads", "Listeners", "Rules and database", "Audit", "Access log", "Process", "Replicas"];

/// Units of Grafana that are used; a misspelt one would be shown as text behind each number.
const UNITS: [&str; 14] = [
    "short",
    "none",
    "s",
    "bytes",
    "Bps",
    "reqps",
    "cps",
    "ops",
    "wps",
    "percentunit",
    "bool_on_off",
    "bool_yes_no",
    "dateTimeFromNow",
    "decbytes",
];

fn dashboard() -> Value {
    serde_json::from_str(&text_of("deploy/grafana/ucupdates.json")).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

/// Every expression, with the labels that its legend shows.
pub fn expressions() -> Vec<(String, Vec<String>)> {
    let dashboard = dashboard();
    let mut expressions = Vec::new();
    let mut add = |expression: &Value, shown: &Value| {
        let labels = shown.as_str().unwrap().split("{{").skip(1);
        let labels = labels.map(|piece| piece.split("}}").next().unwrap().trim().to_owned());
        expressions.push((expression.as_str().unwrap().to_owned(), labels.collect()));
    };
    for panel in panels(&dashboard).into_iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            add(&target["expr"], &target["legendFormat"]);
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        add(&annotation["expr"], &annotation["titleFormat"]);
    }
    // label_values(METRIC, LABEL)
    let query = dashboard["templating"]["list"][1]["query"]["query"].as_str().unwrap();
    let (metric, label) = query.trim_start_matches("label_values(").trim_end_matches(')').split_once(", ").unwrap();
    expressions.push((metric.to_owned(), vec![label.to_owned()]));
    expressions
}

#[test]
fn the_dashboard_has_its_variables_and_rows() {
    let dashboard = dashboard();
    for (field, expected) in [("title", "ucupdates"), ("uid", "ucupdates")] {
        assert_eq!(dashboard[field], expected);
    }
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| (&variable["name"], &variable["type"])).collect();
    assert_eq!(variables, [(&"datasource".into(), &"datasource".into()), (&"node".into(), &Value::from("query"))]);
    let panels = panels(&dashboard);
    let rows = panels.iter().filter(|panel| panel["type"] == "row").map(|panel| panel["title"].as_str().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), ROWS);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn every_panel_says_what_it_shows_with_its_unit_and_in_its_place() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title}");
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{title} covers another panel");
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat"].contains(&panel["type"].as_str().unwrap()), "{title}");
        let description = panel["description"].as_str().unwrap();
        assert!(description.len() > 20 && description.ends_with('.'), "{title}: {description}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
        assert!(UNITS.contains(&unit), "{title}: {unit}");
        let targets = panel["targets"].as_array().unwrap();
        for source in std::iter::once(panel).chain(targets) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{title}");
        }
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("instance=~\"$node\""), "{title} shows all nodes: {expression}");
        }
    }
}
