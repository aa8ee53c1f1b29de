//! Any bytes as `updateInfo.xml`, with the files that it names, and those that stand behind three zero bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::package::FileRole;
use std::collections::BTreeSet;
use sync::manifest::{DescribedUpdates, Plan, plan};

/// Updates that are planned: a run must stay short.
const UPDATES: usize = 2_000;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.windows(3).rposition(|window| window == [0; 3]).unwrap_or(bytes.len());
    let more = String::from_utf8_lossy(bytes.get(end + 3..).unwrap_or_default());
    let listed = more.lines().filter(|line| !line.is_empty()).map(str::to_owned);
    let described = match DescribedUpdates::parse(&bytes[..end]) {
        Ok(described) => Some(described),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("updateInfo.xml") && text.len() < 2_000, "{text}");
            None
        }
    };
    let named = described.iter().flat_map(|described| &described.updates).take(UPDATES).flat_map(|update| {
        let of = |file: &sync::manifest::DescribedFile| {
            let folder = file.path.as_ref().map_or(String::new(), |path| format!("{path}/"));
            let names = [Some(file.name.clone()), file.signature.clone()];
            names.into_iter().flatten().map(move |name| format!("{folder}{name}")).collect::<Vec<_>>()
        };
        update.files.iter().flat_map(of).collect::<Vec<_>>()
    });
    // Names in a cabinet are plain, and differ by more than case.
    let mut seen = BTreeSet::new();
    let paths: Vec<String> = named.chain(listed).filter(|path| seen.insert(path.to_lowercase())).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for described in [None, described.as_ref()] {
        match plan(&paths, described) {
            Ok(plan) => check(&plan, &paths),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

/// Every update has one image and at most one signature, each by the name of its file; every file that no update has is
/// said to be ignored.
fn check(plan: &Plan, paths: &[&str]) {
    let mut used = BTreeSet::new();
    for update in &plan.updates {
        let count = |role| update.files.iter().filter(|file| file.role == role).count();
        assert_eq!(count(FileRole::Image), 1);
        assert!(count(FileRole::Signature) <= 1);
        for file in &update.files {
            used.insert(file.index);
            let last = paths[file.index].rsplit('/').next().unwrap_or_default();
            assert_eq!(last, file.name.to_string());
            let stored = update.target.store_path(update.version, &file.name);
            assert!(!stored.as_str().split('/').any(|part| matches!(part, "" | "." | "..")), "{}", stored.as_str());
        }
    }
    assert!(plan.ignored.iter().all(|index| *index < paths.len() && !used.contains(index)));
    let description = paths.iter().filter(|path| path.eq_ignore_ascii_case("updateInfo.xml")).count();
    assert!(used.len() + plan.ignored.len() + description >= paths.len());
}
