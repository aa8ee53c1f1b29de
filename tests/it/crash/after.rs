//! What must hold after a kill: in the folders at once, and in the database and the store after the next start.

use super::lane::{Lane, digest};
use node::audit_log::spooled_files;
use schema::audit::{AuditRecord, HEADER};
use schema::store::ChainVerdict;
use schema::topology::PoolFqdn;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use tests::database::wait_until;
use tests::node::POOL;
use tests::program::{Program, Serving};

fn update_store(program: &Program) -> PathBuf {
    program.path("store/1-WebServices-1/DeviceUpdateStore")
}

fn stored_logs(program: &Program) -> PathBuf {
    program.path("store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates")
}

/// All files below, and their paths from there.
fn files_below(root: &Path) -> Vec<(String, PathBuf)> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.strip_prefix(root).unwrap().display().to_string(), path)),
            }
        }
    }
    files
}

/// What others may read while the node is dead: update files have the length of what was sent, and logs whole lines.
pub(super) fn nothing_is_torn(lane: &Lane) {
    let sent = lane.record.files.lock().unwrap();
    for (path, _) in files_below(&update_store(&lane.program)) {
        assert!(sent.contains_key(&path), "{path} was never sent");
    }
    for (name, path) in files_below(&stored_logs(&lane.program)) {
        whole_lines(&name, &std::fs::read(path).unwrap());
    }
    replica_is_whole(&lane.program);
}

/// What stands in the replica under a digest has it: whatever has that name is sent to phones.
pub(crate) fn replica_is_whole(program: &Program) {
    for (name, path) in files_below(&program.path("data/replica")) {
        if !name.starts_with(".incoming/") {
            assert_eq!(name.rsplit('/').next().unwrap(), digest(&std::fs::read(path).unwrap()).to_string());
        }
    }
}

/// The lines of an audit file, behind its header.
fn whole_lines(name: &str, bytes: &[u8]) -> Vec<AuditRecord> {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("the last line of {name} is torn"));
    let mut lines = lines.split("\r\n");
    assert_eq!(lines.next(), Some(HEADER), "{name}");
    lines.map(|line| AuditRecord::parse(line).unwrap_or_else(|error| panic!("in {name}: {error}"))).collect()
}

/// After a restart: what was promised is there, what the database says is true, and nothing else lies around.
pub(super) async fn all_is_there(lane: &Lane, serving: &Serving) {
    let program = &lane.program;
    for file in spooled_files(&program.path("data/spool/audit")).unwrap() {
        whole_lines(&file.name.to_string(), &std::fs::read(&file.path).unwrap());
    }
    no_litter(program).await;
    let database = program.db.database();
    let rules = database.load_rule_set(&PoolFqdn::parse(POOL).unwrap()).await.unwrap();
    for file in rules.files() {
        let bytes = std::fs::read(update_store(program).join(file.path.as_str()));
        let bytes = bytes.unwrap_or_else(|error| panic!("{} of a rule: {error}", file.path));
        assert_eq!(bytes.len() as u64, file.size_bytes, "{}", file.path);
    }
    let stored: HashSet<_> =
        database.packages(100_000).await.unwrap().into_iter().map(|package| package.digest).collect();
    let imported = lane.record.imported.lock().unwrap().clone();
    assert!(imported.iter().all(|digest| stored.contains(digest)), "an acknowledged import is missing");
    let approved: HashSet<String> = database
        .rules()
        .await
        .unwrap()
        .into_iter()
        .filter(|rule| rule.versions.approved().is_some())
        .map(|rule| rule.key.model.to_string())
        .collect();
    for model in lane.record.approved.lock().unwrap().iter() {
        assert!(approved.contains(model), "the acknowledged approval of {model} is missing");
    }
    let verdict = database.verify_chain().await.unwrap();
    assert!(matches!(verdict, ChainVerdict::Whole { .. }), "{verdict:?}");
    assert!(serving.is_well().await, "{:?}", serving.ready().await);
}

/// A start sweeps what it left: received packages, staged files, half-written certificates, snapshots and captures. The
/// node runs, so that a file may be on its way this moment: it must be gone the next.
pub(super) async fn no_litter(program: &Program) {
    wait_until("nothing half-written is left", async || litter(program).is_empty()).await;
}

fn litter(program: &Program) -> Vec<String> {
    let odd = |name: &str| {
        let name = name.rsplit('/').next().unwrap();
        name.starts_with('.') || name.contains('#') || name.contains("partial")
    };
    let received = files_below(&program.path("data/incoming")).into_iter();
    let received = received.chain(files_below(&program.path("data/replica/.incoming")));
    let staged = files_below(&program.path("store/1-WebServices-1/.incoming"));
    let others = files_below(&program.path("data")).into_iter().chain(files_below(&program.path("store")));
    let others = others.filter(|(name, _)| odd(name));
    received.chain(staged).chain(others).map(|(name, _)| name).collect()
}

pub(super) fn every_file_has_its_bytes(lane: &Lane) {
    let sent = lane.record.files.lock().unwrap();
    for (path, file) in files_below(&update_store(&lane.program)) {
        assert_eq!(Some(&digest(&std::fs::read(file).unwrap())), sent.get(&path), "{path}");
    }
}

/// Everything is in the store after an orderly stop: each promised line, and none twice.
pub(super) fn every_line_is_there_once(lane: &Lane) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (name, path) in files_below(&stored_logs(&lane.program)) {
        for record in whole_lines(&name, &std::fs::read(path).unwrap()) {
            *seen.entry(record.serial).or_default() += 1;
        }
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(twice.is_empty(), "written more than once: {twice:?}");
    let promised = lane.record.promised.lock().unwrap();
    let lost: Vec<_> = promised.iter().filter(|serial| !seen.contains_key(*serial)).take(5).collect();
    assert!(lost.is_empty(), "of {} promised lines these are lost: {lost:?}", promised.len());
    assert!(promised.len() > 50, "only {} checks were promised: the load was none", promised.len());
}
