//! A pool that is upgraded node by node: two versions of the program on one database. The older one is the program that
//! `tests/two-versions.sh` has built from the commit before the newest migration; without it, this one stands for it.

use crate::outage::package_of;
use crate::outage::phones::{MODELS, NEW, OLD, OLDER, round};
use std::path::PathBuf;
use std::sync::Arc;
use tests::binary::{self, Said};
use tests::database::{TestDb, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit};

/// The older program.
fn older() -> PathBuf {
    std::env::var_os("UCUPDATES_OLDER_PROGRAM").map_or_else(|| binary::path().clone(), PathBuf::from)
}

async fn migrate(executable: PathBuf, program: &Program) -> Said {
    let mut command = tokio::process::Command::new(executable);
    command.arg("migrate").arg("--config").arg(program.path("config.toml"));
    command.output().await.unwrap().into()
}

fn often(config: &mut toml::Table) {
    set(config, "database.poll_interval_ms", 200);
}

/// Whether phones of the first model get this version from the node.
async fn phones_get(node: &Serving, version: &str) {
    let got = async || round(&node.phone(), MODELS[0], OLDER).await.unwrap().as_deref() == Some(version);
    wait_until(&format!("phones get {version}"), got).await;
}

#[tokio::test]
async fn a_pool_is_upgraded_node_by_node() {
    let (db, folder) = (TestDb::empty().await, Arc::new(tempfile::tempdir().unwrap()));
    let [one, two] = ["node1", "node2"].map(|name| Program::of_pool(&db, &folder, name, often));
    migrate(older(), &one).await.ok();
    admit(&db).await;
    let old = one.with_executable(&older()).start().await;
    old.cli(&["import", package_of(folder.path(), OLD, &MODELS[..1]).to_str().unwrap()]).await.ok();
    old.cli(&["rule", "approve", "--all"]).await.ok();
    phones_get(&old, OLD).await;

    // The old node goes on while the database is migrated under it, and the new one comes beside it.
    migrate(binary::path().clone(), &two).await.ok();
    let new = two.start().await;
    for node in [&old, &new] {
        phones_get(node, OLD).await;
    }
    new.cli(&["import", package_of(folder.path(), NEW, &MODELS[..1]).to_str().unwrap()]).await.ok();
    old.cli(&["rule", "approve", "--all"]).await.ok();
    for node in [&old, &new] {
        phones_get(node, NEW).await;
    }
    new.cli(&["rule", "restore", "--all"]).await.ok();
    for node in [&old, &new] {
        phones_get(node, OLD).await;
    }

    // An old node that is restarted comes back on the newer database; then it is the old one's turn to be upgraded.
    old.process.stop().await;
    let old = one.with_executable(&older()).start().await;
    phones_get(&old, OLD).await;
    assert_eq!(old.ready().await.0, 200);
    old.process.stop().await;
    let upgraded = one.start().await;
    phones_get(&upgraded, OLD).await;
    for node in [&upgraded, &new] {
        wait_until("it is well", async || node.is_well().await).await;
    }
}

#[tokio::test]
async fn a_node_serves_on_a_newer_database_that_only_has_more() {
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let mut node = Program::of_pool(&db, &folder, "node1", often).start().await;
    db.execute(
        "create table colours (id bigint);
        alter table nodes add column colour text not null default 'blue';
        alter table pools add column colour text not null default 'blue';
        alter table device_update_rules add column colour text",
    )
    .await;
    db.pretend_schema(9999, db.schema_version().await).await;
    for version in [OLD, NEW] {
        node.cli(&["import", package_of(folder.path(), version, &MODELS[..1]).to_str().unwrap()]).await.ok();
        node.cli(&["rule", "approve", "--all"]).await.ok();
        phones_get(&node, version).await;
        node.restart().await;
        wait_until("it is well", async || node.is_well().await).await;
        phones_get(&node, version).await;
    }
    let said = migrate(binary::path().clone(), &node.program).await.ok();
    assert!(said.contains("schema version 9999 already"), "{said}");
}
