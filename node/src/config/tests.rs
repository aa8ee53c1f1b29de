//! What a configuration file may say, and what is said of one that is wrong.

use super::*;

const SMALLEST: &str = "[pool]\nfqdn = 'pool01.contoso.com'\n[database]\nurl = 'host=db'\n[store]\nfolder = '/srv'\n";

#[test]
fn the_annotated_configuration_is_valid_and_shows_the_defaults() {
    let annotated = Config::parse(include_str!("../../../deploy/config.toml")).unwrap();
    let smallest = Config::parse(SMALLEST).unwrap();
    let shown = |config: &Config| {
        let Config {
            replica,
            listeners,
            tls,
            connections,
            downloads,
            packages,
            drop_folder,
            accounts,
            audit,
            access_log,
            phones,
            log,
            metrics,
            ..
        } = config;
        format!(
            "{replica:#?}{listeners:#?}{tls:#?}{connections:#?}{downloads:#?}{packages:#?}{drop_folder:#?}{accounts:#?}{audit:#?}{access_log:#?}{phones:#?}{log:#?}{metrics:#?}"
        )
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
    let error = toml::from_str::<Config>(&config.to_string()).unwrap_err().to_string();
    let (_, expected) = error.split_once("unknown field `nonsense`, expected ").expect(&error);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_setting_stands_in_the_annotated_configuration() {
    let shown = check::shown();
    let sections = [
        "",
        "node",
        "pool",
        "database",
        "store",
        "replica",
        "listeners",
        "listeners.internal_http",
        "listeners.internal_https",
        "listeners.external_https",
        "listeners.management_https",
        "tls",
        "connections",
        "downloads",
        "packages",
        "drop_folder",
        "accounts",
        "audit",
        "access_log",
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
fn an_address_has_a_quarter_of_the_download_slots_unless_its_share_is_given() {
    let share = |slots, slots_per_address| {
        DownloadSettings { slots, slots_per_address, most_bytes_per_s: 0 }.limits().slots_per_address
    };
    assert_eq!((share(1000, None), share(40, None), share(1, None)), (250, 10, 1));
    assert_eq!(share(1000, Some(7)), 7);
}
