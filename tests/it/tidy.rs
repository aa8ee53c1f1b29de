//! The rules of the house that no compiler checks, as plain tests that read the source tree: what the pure files may
//! name, where SQL may stand, what the top level holds, which crate may use which, how long a file may be.
//!
//! A check is a function from a text to what is wrong with it, and each has a sample that it must find fault with: a
//! check that cannot fail is none. What needs a running service does not belong here.

mod migrations;
mod rust_source;

use rust_source::RustSource;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file has at most.
const LINE_LIMIT: usize = 500;

/// What may stand at the top level, besides what .gitignore names.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".dockerignore",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docker-compose.yml",
    "node",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "schema",
    "sync",
    "tests",
];

/// Our crates, and which of ours each may use.
const CRATES: &[(&str, &[&str])] =
    &[("schema", &[]), ("sync", &["schema"]), ("node", &["schema", "sync"]), ("tests", &["schema", "sync", "node"])];

/// Files and folders (all below `node/src`) that a phone's request runs through.
const PHONE_PLANE: &[&str] = &[
    "access_log",
    "audit_log",
    "decide",
    "device_log",
    "downloads",
    "files",
    "listen",
    "phone_auth",
    "plane",
    "request_log",
    "update",
    "wire",
];

/// Folders of node and sync whose files are pure, and those of `node/src/wire` that are.
const PURE: &[&str] = &[
    "node/src/decide",
    "node/src/simulation/answer",
    "node/src/simulation/expectation",
    "node/src/simulation/failure",
    "node/src/simulation/fleet",
    "node/src/simulation/model",
    "node/src/simulation/oracle",
    "node/src/simulation/phone",
    "node/src/simulation/statistics",
    "node/src/wire/dialect",
    "node/src/wire/request",
    "node/src/wire/response",
    "node/src/wire/xml",
    "sync/src/cabinet",
    "sync/src/catalog",
    "sync/src/manifest",
    "sync/src/plan",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package stands in the repository").to_owned()
}

/// Files below a folder of the repository, by their path from its root.
fn files_below(folder: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), root().join(folder))];
    while let Some((name, path)) = folders.pop() {
        let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
        for entry in entries.map(|entry| entry.expect("a folder is read to its end")) {
            let entry_name = format!("{name}/{}", entry.file_name().to_string_lossy());
            let is_folder = entry.file_type().expect("an entry has a type").is_dir();
            if is_folder && entry.file_name() != "target" {
                folders.push((entry_name, entry.path()));
            } else if !is_folder {
                found.insert(entry_name, entry.path());
            }
        }
    }
    found
}

/// The repository's own files, as text, that end so.
fn texts(ending: &str) -> Vec<(String, String)> {
    let ours =
        ["node", "sync", "schema", "tests", "deploy", ".ci"].into_iter().filter(|name| root().join(name).exists());
    let files: Vec<_> = ours.flat_map(files_below).filter(|(name, _)| name.ends_with(ending)).collect();
    files.into_iter().map(|(name, path)| (name, fs::read_to_string(path).expect("a source file is UTF-8"))).collect()
}

/// Runs a check over the Rust files that are chosen; fails with all that it finds.
fn check_rust(chosen: impl Fn(&str) -> bool, check: impl Fn(&RustSource) -> Vec<String>) {
    let sources: Vec<_> = texts(".rs").into_iter().filter(|(name, _)| chosen(name)).collect();
    assert!(!sources.is_empty(), "no file was looked at: the list of names is out of date");
    let found = sources.iter().flat_map(|(name, text)| {
        check(&RustSource::read(text)).into_iter().map(move |fault| format!("{name}: {fault}"))
    });
    none(found);
}

fn none(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

/// Whether a file is the module of that path or stands in its folder.
fn is_module(name: &str, module: &str) -> bool {
    name.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_store(name: &str) -> bool {
    is_module(name, "schema/src/store")
}

fn is_pure(name: &str) -> bool {
    (name.starts_with("schema/src/") && !is_store(name)) || PURE.iter().any(|module| is_module(name, module))
}

fn is_phone_plane(name: &str) -> bool {
    PHONE_PLANE.iter().any(|module| is_module(name, &format!("node/src/{module}")))
}

/// Names of the outside world: the runtime, the web, the database, files, the clock.
fn impurities(source: &RustSource) -> Vec<String> {
    let words = [
        "tokio",
        "axum",
        "hyper",
        "reqwest",
        "tokio_postgres",
        "deadpool_postgres",
        "refinery",
        "object_store",
        "Clock",
        "SystemTime",
        "SystemClock",
        "Instant",
    ];
    let paths = ["::now(", "::now)", "TimeZone::system", "std::net::Tcp", "std::env::", "std::fs"];
    let words = words.into_iter().filter(|word| source.names(word));
    let paths = paths.into_iter().filter(|path| source.dense().contains(path));
    words.chain(paths).map(|name| format!("a pure file names {name}")).collect()
}

/// What leads from a phone's request to the database or the shared store (DESIGN 1; `files` may read through, by a
/// type of its own).
fn ways_to_the_stores(source: &RustSource) -> Vec<String> {
    let words = ["deadpool", "deadpool_postgres", "tokio_postgres", "object_store"];
    let paths = [
        ("schema", "store"),
        ("sync", "blobs"),
        ("sync", "import"),
        ("sync", "replicate"),
        ("crate", "app"),
        ("crate", "api"),
    ];
    let words = words.into_iter().filter(|word| source.names(word)).map(str::to_owned);
    let paths = paths.into_iter().filter(|(from, to)| source.names_path(from, to));
    words
        .chain(paths.map(|(from, to)| format!("{from}::{to}")))
        .map(|name| format!("the phone plane names {name}"))
        .collect()
}

/// Literals that read as SQL.
fn statements(source: &RustSource) -> Vec<String> {
    source.literals().iter().filter(|literal| is_sql(literal)).map(|literal| format!("SQL: {literal:?}")).collect()
}

fn is_sql(literal: &str) -> bool {
    let text = literal.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    let starts = |word: &str| text.starts_with(word);
    let has = |word: &str| text.contains(word);
    let changes = ["create", "alter", "drop", "truncate", "lock"].iter();
    let things = ["table", "database", "index", "role", "schema"];
    let changes_things =
        changes.flat_map(|verb| things.map(|thing| format!("{verb} {thing} "))).any(|start| starts(&start));
    let reads = starts("select ") && (has(" from ") || has("(") || text == "select 1 ");
    let writes = starts("insert into ") || starts("delete from ") || (starts("update ") && has(" set ") && has("="));
    let nested = has(" (select ") || (starts("with ") && has(" as (") && has(" from "));
    let listens = ["listen ", "unlisten ", "notify "].iter().any(|start| starts(start) && text.split(' ').count() == 3);
    changes_things || reads || writes || nested || listens
}

/// Domain types convert into wire, row and page types explicitly (STYLE: types).
fn serialized(source: &RustSource) -> Vec<String> {
    let found = ["Serialize", "Deserialize"].into_iter().filter(|word| source.names(word));
    found.map(|word| format!("a domain type derives {word}")).collect()
}

fn ignored_tests(source: &RustSource) -> Vec<String> {
    let ignored = source.dense().contains("#[ignore");
    ignored.then(|| "an ignored test".to_owned()).into_iter().collect()
}

/// The first line is `//!`, and says something.
fn without_opening(text: &str) -> Option<String> {
    let first = text.lines().next().and_then(|line| line.strip_prefix("//!"));
    let says = first.is_some_and(|words| words.split_whitespace().count() >= 3);
    (!says).then(|| "does not open with a //! that says what it holds".to_owned())
}

fn too_long(text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINE_LIMIT).then(|| format!("{lines} lines, more than {LINE_LIMIT}"))
}

/// Names at the top level that are neither of the house nor named by .gitignore.
fn strangers(names: &[String], gitignore: &str) -> Vec<String> {
    let ignored: BTreeSet<&str> = gitignore.lines().map(|line| line.trim().trim_matches('/')).collect();
    let stranger = |name: &&String| !TOP_LEVEL.contains(&name.as_str()) && !ignored.contains(name.as_str());
    names.iter().filter(stranger).map(|name| format!("{name} at the top level")).collect()
}

/// Which of our crates a manifest names as a dependency of any kind.
fn own_dependencies(manifest: &str) -> BTreeSet<String> {
    fn collect(table: &toml::Table, into: &mut BTreeSet<String>) {
        for (key, value) in table {
            let Some(inner) = value.as_table() else { continue };
            if key.ends_with("dependencies") {
                into.extend(inner.keys().cloned());
            } else {
                collect(inner, into);
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&manifest.parse().expect("a Cargo.toml is TOML"), &mut found);
    found.retain(|name| CRATES.iter().any(|(ours, _)| ours == name));
    found
}

fn wrong_dependencies(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let wrong = own_dependencies(manifest).into_iter().filter(|name| !allowed.contains(&name.as_str()));
    wrong.map(|name| format!("may not depend on {name}")).collect()
}

fn members(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a Cargo.toml is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members are a list");
    members.iter().map(|member| member.as_str().expect("a member is a path").to_owned()).collect()
}

/// Faults of the decision records' names: `0001-title-in-lower-case.md`, each number once.
fn misnumbered(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fault = |name: &String| match name.strip_suffix(".md").and_then(|stem| stem.split_once('-')) {
        Some((number, title))
            if number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()) && !title.is_empty() =>
        {
            (!seen.insert(number.to_owned())).then(|| format!("{name}: the number is taken"))
        }
        _ => Some(format!("{name}: not named as 0001-title.md")),
    };
    names.iter().filter_map(fault).collect()
}

#[test]
fn pure_files_name_no_runtime_no_database_and_no_clock() {
    check_rust(is_pure, impurities);
}

#[test]
fn the_phone_plane_cannot_reach_the_database_or_the_shared_store() {
    check_rust(is_phone_plane, ways_to_the_stores);
}

#[test]
fn sql_stands_in_the_store_alone() {
    check_rust(|name| !is_store(name) && !name.starts_with("tests/"), statements);
}

#[test]
fn domain_types_are_not_serialized() {
    check_rust(|name| name.starts_with("schema/src/") && !is_store(name), serialized);
}

#[test]
fn no_test_is_ignored() {
    check_rust(|_| true, ignored_tests);
}

#[test]
fn every_module_says_what_it_holds() {
    none(texts(".rs").iter().filter_map(|(name, text)| Some(format!("{name}: {}", without_opening(text)?))));
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let texts = [".rs", ".sh", ".toml", ".sql", ".ci/run"].into_iter().flat_map(texts);
    none(texts.filter_map(|(name, text)| Some(format!("{name}: {}", too_long(&text)?))));
}

#[test]
fn the_top_level_holds_the_house_and_nothing_else() {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    none(strangers(&entries.collect::<Vec<_>>(), &fs::read_to_string(root().join(".gitignore")).unwrap()));
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("every crate has a Cargo.toml");
    let house: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members(&read("Cargo.toml")), house, "a fifth crate needs a written reason, and a line here");
    none(CRATES.iter().flat_map(|(name, allowed)| {
        let faults = wrong_dependencies(&read(&format!("{name}/Cargo.toml")), allowed);
        faults.into_iter().map(move |fault| format!("{name} {fault}"))
    }));
}

#[test]
fn decision_records_are_numbered_once() {
    let names = files_below("schema/decisions").into_keys();
    none(misnumbered(&names.map(|name| name.replace("schema/decisions/", "")).collect::<Vec<_>>()));
}

/// Each check finds fault with a bad sample, and none with a good one.
mod samples {
    use super::*;

    fn finds(check: impl Fn(&RustSource) -> Vec<String>, bad: &[&str], good: &[&str]) {
        for sample in bad {
            assert!(!check(&RustSource::read(sample)).is_empty(), "nothing found in {sample}");
        }
        for sample in good {
            assert_eq!(check(&RustSource::read(sample)), Vec::<String>::new(), "found in {sample}");
        }
    }

    #[test]
    fn impurities_are_found() {
        let bad = [
            "use tokio::fs;",
            "fn f(clock: &dyn Clock) {}",
            "let t = Timestamp :: now ();",
            "let t = x.unwrap_or_else(Timestamp::now);",
            "std::fs::read(path)",
            "fn f() -> axum::Router { g() }",
        ];
        let good = ["// tokio\nfn f(now: Timestamp) {}", "/* axum::Router */", "const NAME: &str = \"tokio\";"];
        finds(impurities, &bad, &good);
    }

    #[test]
    fn ways_to_the_stores_are_found() {
        let bad = [
            "use schema::store::Store;",
            "use schema::{rule::Rule, store};",
            "use sync::{clock::Clock,\n    blobs::Blobs};",
            "fn f(pool: &deadpool_postgres::Pool) {}",
            "use crate::app::App;",
        ];
        let good = [
            "use schema::rule::Rule; fn store() {}",
            "use sync::clock::Clock;",
            "//! Never schema::store.",
            "use schema::{rule::Rule}; use crate::x::{blobs, store};",
        ];
        finds(ways_to_the_stores, &bad, &good);
    }

    #[test]
    fn statements_are_found() {
        let bad = [
            r#"db.query("select name from sites", &[])"#,
            "const ADD: &str = r#\"\n    insert into sites (name)\n    values ($1)\"#;",
            r#"x("delete from sites")"#,
            r#"x("update sites set name = $1")"#,
            r#"x("Create Table sites (name text)")"#,
            r#"x("listen rules")"#,
            r#"x("select pg_notify($1, $2)")"#,
            r#"x("with old as (select 1) select 2 from old")"#,
        ];
        let good = [
            "// select name from sites",
            r#"help("update one rule, or set a version")"#,
            r#"help("listen on these addresses")"#,
            r#"help("delete stored files that no rule refers to")"#,
            r#"let c = '"'; help("with a short name, as (it) is");"#,
        ];
        finds(statements, &bad, &good);
    }

    #[test]
    fn serialization_and_ignored_tests_are_found() {
        finds(serialized, &["#[derive(Debug, Serialize)] struct A;"], &["/// Serialize\nstruct SerializedForm;"]);
        finds(ignored_tests, &["#[test]\n#[ignore = \"later\"]\nfn f() {}"], &["// #[ignore]"]);
    }

    #[test]
    fn texts_without_an_opening_or_too_long_are_found() {
        assert!(without_opening("use std::fs;\n//! Late, and so nothing.").is_some());
        assert!(without_opening("//! x\n").is_some());
        assert!(without_opening("").is_some());
        assert!(without_opening("//! What it holds.\n").is_none());
        assert!(too_long(&"x\n".repeat(LINE_LIMIT + 1)).is_some());
        assert!(too_long(&"x\n".repeat(LINE_LIMIT)).is_none());
    }

    #[test]
    fn strangers_at_the_top_level_are_found() {
        let names = ["src", "node", "target", "notes.txt"].map(str::to_owned);
        assert_eq!(strangers(&names, "/target\n"), ["src at the top level", "notes.txt at the top level"]);
    }

    #[test]
    fn wrong_dependencies_are_found() {
        let manifest = "[dependencies]\nnode.workspace = true\nserde = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nsync = { path = \"../sync\" }\n";
        assert_eq!(wrong_dependencies(manifest, &["schema"]), ["may not depend on node", "may not depend on sync"]);
        assert_eq!(wrong_dependencies(manifest, &["node", "sync"]), Vec::<String>::new());
        assert_eq!(members("[workspace]\nmembers = [\"a\", \"b\"]\n").len(), 2);
    }

    #[test]
    fn misnumbered_decisions_are_found() {
        let names = ["0001-a.md", "0001-b.md", "2-c.md", "0003.md", "0004-d.txt", "0005-e.md"].map(str::to_owned);
        assert_eq!(misnumbered(&names).len(), 4);
    }

    #[test]
    fn names_of_modules_are_matched_whole() {
        assert!(is_store("schema/src/store.rs") && is_store("schema/src/store/rules.rs"));
        assert!(!is_store("schema/src/stored.rs"));
        assert!(is_phone_plane("node/src/wire/capture.rs") && !is_phone_plane("node/src/updates.rs"));
        assert!(
            is_pure("schema/src/rule.rs") && is_pure("sync/src/cabinet/lzx.rs") && !is_pure("node/src/wire/capture.rs")
        );
    }
}
