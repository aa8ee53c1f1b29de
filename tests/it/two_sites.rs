//! Two pools in two sites, one Central Management store: a real node at each, phones at both. What is done for one pool or
//! site does not touch the other.

use crate::outage::package_of;
use crate::outage::phones::{MODELS, NEW, OLD, OLDER, round};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tests::database::{TestDb, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit};

const REDMOND: &str = "pool01.demo.local";
const DUBLIN: &str = "pool02.demo.local";

/// The phone of all rounds here.
const PHONE: &str = "00-21-63-0F-20-7B";

async fn node(db: &TestDb, folder: TempDir, store: &Path, [pool, site, service_id]: [&str; 3]) -> Serving {
    // The same name in another pool is another node.
    let program = Program::of_pool(db, &Arc::new(folder), "node1", |config| {
        set(config, "database.poll_interval_ms", 200);
        set(config, "store.folder", store.to_str().unwrap());
        set(config, "pool.fqdn", pool);
        set(config, "pool.site", site);
        set(config, "pool.service_id", service_id);
    });
    program.start().await
}

/// A node of each site, in this order. The store is in the first one's folder.
async fn sites() -> [Serving; 2] {
    let db = TestDb::new().await;
    admit(&db).await;
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let store = one.path().join("store");
    let redmond = node(&db, one, &store, [REDMOND, "Redmond", "1-WebServices-1"]).await;
    [redmond, node(&db, two, &store, [DUBLIN, "Dublin", "2-WebServices-2"]).await]
}

async fn import(node: &Serving, folder: &Path, version: &str, arguments: &[&str]) {
    let package = package_of(folder, version, &MODELS[..1]).display().to_string();
    node.cli(&[&["import", &package], arguments].concat()).await.ok();
}

async fn json(node: &Serving, arguments: &[&str]) -> Vec<Value> {
    let said = node.cli(&[arguments, &["--json"]].concat()).await.ok();
    serde_json::from_str(&said).unwrap()
}

/// Waits until phones at the two sites get these versions; none is nothing.
async fn phones_get([redmond, dublin]: &[Serving; 2], expected: [Option<&str>; 2]) {
    for (node, expected) in [(redmond, expected[0]), (dublin, expected[1])] {
        let got = async || round(&node.phone(), MODELS[0], OLDER).await.unwrap().as_deref() == expected;
        wait_until(&format!("{expected:?} at {}", node.management), got).await;
    }
}

#[tokio::test]
async fn what_is_decided_for_one_pool_does_not_touch_the_other() {
    let nodes = sites().await;
    let [redmond, dublin] = &nodes;
    let folder = redmond.program.folder.path().to_owned();
    // One import reaches both pools, whichever node takes it.
    import(dublin, &folder, OLD, &[]).await;
    for (pool, pattern) in [(REDMOND, "pool01*"), (DUBLIN, "pool02*")] {
        let rules = json(redmond, &["rule", "list", "--pool", pattern]).await;
        assert_eq!(rules.len(), 1, "{rules:?}");
        assert!(rules[0]["pool"] == pool && rules[0]["pending_version"] == OLD, "{rules:?}");
    }
    phones_get(&nodes, [None, None]).await;
    dublin.cli(&["rule", "approve", "--pool", REDMOND]).await.ok();
    phones_get(&nodes, [Some(OLD), None]).await;
    redmond.cli(&["rule", "approve", "--pool", DUBLIN]).await.ok();
    phones_get(&nodes, [Some(OLD), Some(OLD)]).await;

    // A version for one of them.
    import(redmond, &folder, NEW, &["--pool", DUBLIN]).await;
    redmond.cli(&["rule", "approve", "--pool", DUBLIN]).await.ok();
    phones_get(&nodes, [Some(OLD), Some(NEW)]).await;
    // Each pool has its own folder in the store.
    let held = |service: &str, version: &str| {
        let update =
            format!("store/{service}/DeviceUpdateStore/UCPhone/Polycom/{}/A/ENU/{version}/CPE/CPE.nbt", MODELS[0]);
        folder.join(update).is_file()
    };
    assert!(held("1-WebServices-1", OLD) && held("2-WebServices-2", OLD) && held("2-WebServices-2", NEW));
    assert!(!held("1-WebServices-1", NEW));

    // What one forgets, the other keeps.
    redmond.cli(&["rule", "remove", "--pool", REDMOND]).await.ok();
    redmond.cli(&["clear", "files", "--pool", REDMOND]).await.ok();
    assert!(!held("1-WebServices-1", OLD) && held("2-WebServices-2", OLD));
    phones_get(&nodes, [None, Some(NEW)]).await;
    dublin.cli(&["rule", "restore", "--all"]).await.ok();
    phones_get(&nodes, [None, Some(OLD)]).await;

    let listed = json(redmond, &["node", "list", "--site", "dublin"]).await;
    assert!(listed.len() == 1 && listed[0]["pool"] == DUBLIN && listed[0]["name"] == "node1", "{listed:?}");
    assert_eq!(json(dublin, &["node", "list"]).await.len(), 2);
}

#[tokio::test]
async fn a_test_device_is_one_in_its_site_alone() {
    let nodes = sites().await;
    let [redmond, dublin] = &nodes;
    import(redmond, redmond.program.folder.path(), OLD, &[]).await;
    redmond.cli(&["test-device", "new", "site:Dublin/desk", "--mac", PHONE]).await.ok();
    phones_get(&nodes, [None, Some(OLD)]).await;
    redmond.cli(&["test-device", "remove", "site:Dublin/desk"]).await.ok();
    dublin.cli(&["test-device", "new", "site:Redmond/desk", "--mac", PHONE]).await.ok();
    phones_get(&nodes, [Some(OLD), None]).await;
    dublin.cli(&["test-device", "new", "global/desk", "--mac", PHONE]).await.ok();
    phones_get(&nodes, [Some(OLD), Some(OLD)]).await;
}

/// How many audit files the node has for today.
fn audit_files(node: &Serving) -> usize {
    node::audit_log::spooled_files(&node.program.path("data/spool/audit")).unwrap_or_default().len()
}

#[tokio::test]
async fn a_sites_configuration_wins_in_its_site_alone() {
    let nodes = sites().await;
    let [redmond, dublin] = &nodes;
    redmond.cli(&["config", "new", "site:Dublin", "--max-log-file-size", "4096"]).await.ok();
    // In the default's 1,024,000 bytes there is room for all of these lines, in 4,096 there is not.
    let two = async || {
        for node in &nodes {
            for _ in 0..20 {
                assert_eq!(round(&node.phone(), MODELS[0], OLDER).await.unwrap(), None);
            }
        }
        audit_files(dublin) > 1
    };
    wait_until("a second file in Dublin", two).await;
    assert_eq!(audit_files(redmond), 1);
    redmond.cli(&["config", "set", "global", "--max-log-file-size", "4096"]).await.ok();
    wait_until("one in Redmond too", async || {
        assert_eq!(round(&redmond.phone(), MODELS[0], OLDER).await.unwrap(), None);
        audit_files(redmond) > 1
    })
    .await;
}
