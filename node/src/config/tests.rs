//! What a configuration file may say, and what is said of one that is wrong.

use super::*;

const SMALLEST: &str = "[pool]\nfqdn = 'pool01.contoso.com'\n[database]\nurl = 'host=db'\n[store]\nfolder = '/srv'\n";

#[test]
fn the_annotated_configuration_is_valid_and_shows_the_defaults() {
    let annotated = Config::parse(include_str!("../../../deploy/config.toml")).unwrap();
    let smallest = Config::parse(SMALLEST).unwrap();
    let shown = |config: &Config| {
        let Config { listeners, tls, connections, packages, accounts, phones, log, metrics, .. } = config;
        format!("{listeners:#?}{tls:#?}{connections:#?}{packages:#?}{accounts:#?}{phones:#?}{log:#?}{metrics:#?}")
    };
    assert_eq!(shown(&annotated), shown(&smallest));
}

/// What serde would take in a section; the empty path is the whole file.
fn known_settings(section: &str) -> Vec<String> {
    let mut config: toml::Table = SMALLEST.parse().unwrap();
    let names = section.split('.').filter(|name| !name.is_empty());
    let table = names.fold(&mut config, |table, name| {
        let inner = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        inner.as_table_mut().unwrap()
    });
    table.insert("nonsense".to_owned(), toml::Value::Boolean(true));
    let error = format!("{:#}", Config::parse(&config.to_string()).unwrap_err());
    let (_, expected) = error.split_once("unknown field `nonsense`, expected ").expect(&error);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The settings of each section of a file, those in comments (`# name = ...`) too; a section is one of the section
/// above it.
fn shown_settings(text: &str) -> std::collections::BTreeSet<(String, String)> {
    let mut section = String::new();
    let mut shown = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            header.clone_into(&mut section);
            let mut above = String::new();
            for name in header.split('.') {
                shown.insert((above.clone(), name.to_owned()));
                above = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
            }
        } else if let Some((name, _)) = line.strip_prefix("# ").unwrap_or(line).split_once(" =") {
            shown.insert((section.clone(), name.to_owned()));
        }
    }
    shown
}

#[test]
fn every_setting_stands_in_the_annotated_configuration() {
    let shown = shown_settings(include_str!("../../../deploy/config.toml"));
    let sections = [
        "",
        "node",
        "pool",
        "database",
        "store",
        "listeners",
        "listeners.internal_http",
        "listeners.internal_https",
        "listeners.external_https",
        "listeners.management_https",
        "tls",
        "connections",
        "packages",
        "accounts",
        "phones",
        "phones.capture",
        "log",
        "metrics",
    ];
    for section in sections {
        let known = known_settings(section);
        assert!(!known.is_empty(), "[{section}]");
        for name in known {
            assert!(shown.contains(&(section.to_owned(), name.clone())), "{name} of [{section}] is missing");
        }
    }
    // A section that is added needs a line above.
    let folders = shown.iter().filter(|(section, name)| {
        let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        shown.iter().any(|(section, _)| *section == path) && !sections.contains(&path.as_str())
    });
    assert_eq!(folders.count(), 0);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let listener = format!("{SMALLEST}[listeners.internal_http]\naddresses = ['80']");
    let cases = [
        (SMALLEST.replace("fqdn", "fqnd"), "line 2, column 1"),
        (SMALLEST.replace("fqdn", "fqnd"), "unknown field `fqnd`, expected one of `fqdn`, `site`"),
        (SMALLEST.replace("pool01.contoso.com", "pool 1"), "a host name such as pool01.contoso.com"),
        (SMALLEST.replace("host=db", "host=db password=x"), "url holds a password"),
        (SMALLEST.replace("host=db", "postgresql://u:secret@h/d"), "url holds a password"),
        (SMALLEST.replace("url = 'host=db'", ""), "missing field `url`"),
        (format!("{SMALLEST}[connections]\nmost = 0"), "[connections] most must be 1 to 1000000"),
        (format!("{SMALLEST}[tls]\nrsa_key_file = 'x'"), "go together: give both or none"),
        (listener, "invalid socket address"),
    ];
    for (text, expected) in cases {
        let error = format!("{:#}", Config::parse(&text).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}
