//! What a node does with the snapshots on its disk, and with a Central Management store that cannot be right.

use super::phones::{MODELS, OLD, OLDER, round};
use super::{generation, kept, node_on, package_of};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tests::database::{TestDb, wait_until};
use tests::node::set;
use tests::program::{Serving, admit};

/// A store that nobody reaches.
const NOWHERE: &str = "host=/nonexistent user=nobody dbname=none";

/// Long: what happens within a test was not brought by the timer of a store that answers.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A node with a package.
async fn node_with_package(db: &TestDb) -> Serving {
    admit(db).await;
    let node = node_on(db, &Arc::new(tempfile::tempdir().unwrap()), "node1", POLL_INTERVAL).await;
    let path = package_of(node.program.folder.path(), OLD, &MODELS);
    node.cli(&["import", path.to_str().unwrap()]).await.ok();
    node
}

/// Approves one model's rule, and waits until that is on disk.
async fn approve(node: &Serving, model: &str) -> i64 {
    node.cli(&["rule", "approve", "--model", model]).await.ok();
    let generation = generation(&node.ready().await.1);
    wait_until("it is on disk", async || kept(node).contains(&format!("\"generation\":{generation},"))).await;
    generation
}

async fn restart(node: &mut Serving, url: &str) -> String {
    node.program.configure(|config| set(config, "database.url", url));
    node.restart().await;
    node.ready().await.1
}

fn files(node: &Serving) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(node.program.path("data/snapshots")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Whether phones of this model are offered the version.
async fn offered(node: &Serving, model: &str) -> bool {
    round(&node.phone(), model, OLDER).await.unwrap().as_deref() == Some(OLD)
}

#[tokio::test]
async fn a_node_without_a_store_serves_from_the_newest_snapshot_that_is_sound() {
    let db = TestDb::new().await;
    let mut node = node_with_package(&db).await;
    let first = approve(&node, MODELS[0]).await;
    let second = approve(&node, MODELS[1]).await;
    assert_eq!(generation(&restart(&mut node, NOWHERE).await), second);
    assert!(offered(&node, MODELS[0]).await && offered(&node, MODELS[1]).await);

    let newest = files(&node).pop().unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let ready = restart(&mut node, NOWHERE).await;
    assert_eq!(generation(&ready), first, "{ready}");
    assert!(offered(&node, MODELS[0]).await && !offered(&node, MODELS[1]).await);
    let told = node.process.logged(newest.file_name().unwrap().to_str().unwrap()).await;
    assert!(told.contains("a snapshot on disk is refused") && told.contains("it is damaged"), "{told}");
    assert!(node.metrics().await.contains("\nucupdates_snapshot_files_refused_total{reason=\"damaged\"} 1\n"));

    // Back to the store: the newest rules again, and a new file above the damaged one.
    let ready = restart(&mut node, db.url()).await;
    assert_eq!(generation(&ready), second, "{ready}");
    wait_until("they are on disk again", async || kept(&node).contains(&format!("\"generation\":{second},"))).await;
    for file in files(&node) {
        std::fs::write(file, "ucupdates-snapshot 2 0 0\n").unwrap();
    }
    let ready = restart(&mut node, NOWHERE).await;
    assert!(ready.starts_with("not ready\n"), "{ready}");
    node.process.logged("a newer ucupdates wrote it").await;
    let answer = round(&node.phone(), MODELS[0], OLDER).await;
    assert_eq!(answer.unwrap(), None, "a phone is answered all the same");
}

#[tokio::test]
async fn an_empty_store_in_place_of_a_full_one_is_refused_until_it_has_rules() {
    let (full, empty) = (TestDb::new().await, TestDb::new().await);
    let mut node = node_with_package(&full).await;
    let last = approve(&node, MODELS[0]).await;
    admit(&empty).await;
    let ready = restart(&mut node, empty.url()).await;
    assert_eq!(generation(&ready), last);
    assert!(ready.contains("the store's newest rules are refused"), "{ready}");
    assert!(offered(&node, MODELS[0]).await);
    assert!(node.metrics().await.contains("\nucupdates_snapshot_refused 1\n"));
    let status = node.cli(&["status"]).await.ok();
    assert!(status.contains("Alarm") && status.contains("has no rules: restore the right one"), "{status}");

    // Administrators are let in: it is they who mend it.
    let path = package_of(node.program.folder.path(), "1.0.0.1", &MODELS[..1]);
    node.cli(&["import", path.to_str().unwrap()]).await.ok();
    assert!(!offered(&node, MODELS[0]).await);
    node.process.logged("was replaced or put back to an older state").await;
    assert!(node.metrics().await.contains("\nucupdates_snapshot_refused 0\n"));
    // An administrator who removes the last rule means it.
    node.cli(&["rule", "remove", "--all"]).await.ok();
    let status = node.cli(&["status"]).await.ok();
    assert!(status.contains("Rules      : 0") && !status.contains("Alarm"), "{status}");
}

#[tokio::test]
async fn a_store_of_another_version_is_not_used_when_it_comes_back() {
    let db = TestDb::new().await;
    let mut node = node_with_package(&db).await;
    let last = approve(&node, MODELS[0]).await;
    db.pretend_schema(999, 999).await;
    // Nobody gets in: the node starts without the store.
    let name = db.url().rsplit("dbname=").next().unwrap().trim_matches('\'').to_owned();
    let admin = TestDb::empty().await;
    admin.execute(&format!("alter database {name} allow_connections false")).await;
    let ready = restart(&mut node, db.url()).await;
    assert!(generation(&ready) == last && ready.contains("has not answered since"), "{ready}");
    admin.execute(&format!("alter database {name} allow_connections true")).await;
    wait_until("it is known", async || node.ready().await.1.contains("cannot be used since")).await;
    assert!(offered(&node, MODELS[0]).await);
    let refused = node.cli(&["rule", "list"]).await;
    assert!(refused.code == 1 && refused.err.contains("schema version 999"), "{refused:?}");
    assert!(node.metrics().await.contains("\nucupdates_database_up 0\n"));
    db.forget_schema(999).await;
    // An administrator's request looks itself; the loop is hurried by nothing.
    wait_until("it is used", async || node.cli(&["rule", "list"]).await.code == 0).await;
    let whole = async || {
        let (_, ready) = node.ready().await;
        !ready.contains("disk") && !ready.contains("cannot be used")
    };
    wait_until("phones are answered from it", whole).await;
}

#[tokio::test]
async fn a_store_that_is_migrated_under_a_living_connection_is_not_written_to() {
    let db = TestDb::new().await;
    let node = node_with_package(&db).await;
    db.pretend_schema(999, 999).await;
    // At once, whatever the node's last look at the store said.
    let account = node.api("POST", "/accounts", br#"{"name":"ann","password":"a long password"}"#).await;
    assert!(account.status == 503 && account.text().contains("schema version 999"), "{}", account.text());
    wait_until("it is known", async || node.ready().await.1.contains("cannot be used since")).await;
    let refused = node.api("POST", "/rules/approve", br#"{"all":true}"#).await;
    assert!(refused.status == 503 && refused.text().contains("schema version 999"), "{}", refused.text());
    db.forget_schema(999).await;
    assert_eq!(node.api("GET", "/rules", b"").await.status, 200, "the request looks itself");
}
