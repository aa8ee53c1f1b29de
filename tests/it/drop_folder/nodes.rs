//! Nodes as real processes: two that watch one folder, one that dies at any instant, one that is no more, and a database
//! that is down.

use super::{metric, names, package_of, switch_on};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tests::database::{TestDb, TestServer, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit};

/// Kills of the node that imports.
const KILLS: u64 = 20;

fn drop_folder(folder: &TempDir) -> PathBuf {
    let drop = folder.path().join("drop");
    std::fs::create_dir_all(&drop).unwrap();
    drop
}

async fn node(db: &TestDb, folder: &Arc<TempDir>, name: &str) -> Serving {
    let drop = drop_folder(folder);
    let change = |config: &mut toml::Table| {
        switch_on(config, &drop);
        set(config, "drop_folder.settle_ms", 200);
        set(config, "database.poll_interval_ms", 200);
    };
    Program::of_pool(db, folder, name, change).start().await
}

fn put(drop: &Path, name: &str, bytes: &[u8]) {
    // As a careful program does it: nobody ever sees half of it.
    let partial = drop.join(format!(".{name}"));
    std::fs::write(&partial, bytes).unwrap();
    std::fs::rename(partial, drop.join(name)).unwrap();
}

async fn pending(serving: &Serving) -> usize {
    let rules = serving.cli(&["rule", "list", "--json"]).await.ok();
    let rules: Vec<serde_json::Value> = serde_json::from_str(&rules).unwrap();
    rules.iter().filter(|rule| rule["pending_version"].is_string()).count()
}

/// What was filed, without the reports; each must have its own.
fn filed(drop: &Path) -> Vec<String> {
    let all = names(&drop.join("imported"));
    let (reports, packages): (Vec<_>, Vec<_>) = all.into_iter().partition(|name| name.ends_with(".report.txt"));
    assert!(packages.iter().all(|name| reports.contains(&format!("{name}.report.txt"))), "{packages:?} {reports:?}");
    packages
}

#[tokio::test]
async fn two_nodes_that_watch_one_folder_import_each_file_once() {
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let nodes = [node(&db, &folder, "node1").await, node(&db, &folder, "node2").await];
    let drop = drop_folder(&folder);
    let expected: Vec<String> = (10..50).map(|number| format!("{number}.cab")).collect();
    for name in &expected {
        put(&drop, name, &package_of(&format!("M{}", &name[..2]), 1));
    }
    wait_until("all are filed", async || names(&drop.join("imported")).len() == 80).await;
    assert_eq!(filed(&drop), expected);
    assert_eq!(pending(&nodes[0]).await, 40);
    let mut imported = Vec::new();
    for node in &nodes {
        let told = async |outcome: &str| {
            metric(&node.metrics().await, &format!("ucupdates_drop_folder_files_total{{outcome=\"{outcome}\"}}"))
        };
        assert_eq!([told("unchanged").await, told("refused").await], [0.0, 0.0]);
        imported.push(told("imported").await);
    }
    assert_eq!(imported.iter().sum::<f64>(), 40.0, "{imported:?}");
}

#[tokio::test]
async fn what_a_node_that_is_no_more_had_taken_is_imported_by_another() {
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let drop = drop_folder(&folder);
    let left = drop.join("working/node9@pool01.demo.local");
    std::fs::create_dir_all(&left).unwrap();
    put(&left, "a.cab", &package_of("CX600", 1));
    let node = node(&db, &folder, "node1").await;
    node.process.logged("a package that a silent node had taken is taken over").await;
    wait_until("it is filed", async || filed(&drop) == ["a.cab"]).await;
    assert_eq!(pending(&node).await, 1);
    assert_eq!(names(&left), [""; 0]);
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_instant_loses_no_package() {
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let mut node = node(&db, &folder, "node1").await;
    let drop = drop_folder(&folder);
    let place = |name: &str| {
        let places = [drop.clone(), drop.join("working/node1@pool01.demo.local"), drop.join("imported")];
        places.iter().filter(|place| place.join(name).exists()).count()
    };
    for kill in 0..KILLS {
        let name = format!("{kill:02}.cab");
        put(&drop, &name, &package_of(&format!("M{kill:02}"), 1));
        // Some instants are in the rest of a tenth of 200 ms, the import, the filing.
        tokio::time::sleep(Duration::from_millis(100 + kill * 12)).await;
        node.restart().await;
        for earlier in 0..=kill {
            assert_eq!(place(&format!("{earlier:02}.cab")), 1, "{earlier} after kill {kill}");
        }
    }
    let expected: Vec<String> = (0..KILLS).map(|kill| format!("{kill:02}.cab")).collect();
    wait_until("all are filed", async || names(&drop.join("imported")).len() >= expected.len() * 2).await;
    assert_eq!(filed(&drop), expected);
    assert_eq!(names(&drop.join("imported")).len(), expected.len() * 2, "one report for each");
    assert_eq!(pending(&node).await, expected.len());
    assert_eq!(names(&drop), ["imported", "working"]);
    node.cli(&["admin", "verify"]).await.ok();
}

#[tokio::test]
async fn packages_wait_while_the_database_is_down_and_are_imported_afterwards() {
    let mut server = TestServer::start().await;
    let (db, folder) = (server.migrated().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let node = node(&db, &folder, "node1").await;
    let drop = drop_folder(&folder);
    server.stop().await;
    for number in 10..30 {
        put(&drop, &format!("{number}.cab"), &package_of(&format!("M{number}"), 1));
    }
    node.process.logged("packages wait in the drop folder").await;
    let waiting = async || metric(&node.metrics().await, "ucupdates_drop_folder_waiting");
    wait_until("all are seen", async || waiting().await >= 12.0).await;
    assert_eq!([names(&drop.join("imported")), names(&drop.join("refused"))], [vec![], Vec::<String>::new()]);
    server.start_again().await;
    wait_until("all are filed", async || names(&drop.join("imported")).len() == 40).await;
    assert_eq!(pending(&node).await, 20);
    assert_eq!(metric(&node.metrics().await, "ucupdates_fault{fault=\"drop_folder_waits\"}"), 0.0);
    let said = node.process.said();
    assert_eq!(said.matches("packages wait in the drop folder").count(), 1, "{said}");
}
