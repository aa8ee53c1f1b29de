//! Several nodes, each a process of its own, on one database and one store: one import reaches each, and each serves its
//! phones by itself.

mod killed;
mod read_through;

use crate::outage::package_of;
use crate::outage::phones::{MODELS, NEW, OLD, OLDER, folder_of, image_of, round};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tests::database::{TestDb, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit};
use tests::s3::S3Server;

/// Nodes of one pool that look at everything often.
pub struct TestPool {
    pub db: TestDb,
    pub folder: Arc<TempDir>,
    /// The store, when it is not a folder.
    pub bucket: Option<S3Server>,
}

impl TestPool {
    pub async fn new() -> Self {
        let pool = Self { db: TestDb::new().await, folder: Arc::new(tempfile::tempdir().unwrap()), bucket: None };
        admit(&pool.db).await;
        pool
    }

    pub async fn in_bucket() -> Self {
        Self { bucket: Some(S3Server::start().await), ..Self::new().await }
    }

    pub fn program(&self, name: &str, change: impl FnOnce(&mut toml::Table)) -> Program {
        Program::of_pool(&self.db, &self.folder, name, |config| {
            set(config, "database.poll_interval_ms", 500);
            set(config, "replica.poll_interval_ms", 500);
            self.bucket.iter().for_each(|bucket| bucket.configure(config));
            change(config);
        })
    }

    pub async fn nodes<const N: usize>(&self) -> [Serving; N] {
        let mut nodes = Vec::new();
        for number in 1..=N {
            nodes.push(self.program(&format!("node{number}"), |_| {}).start().await);
        }
        nodes.try_into().unwrap_or_else(|_| unreachable!("there are as many"))
    }

    /// Imports the old version for these models on a node, and approves it.
    pub async fn approve_old(&self, node: &Serving, models: &[&str]) {
        let package = package_of(self.folder.path(), OLD, models);
        node.cli(&["import", package.to_str().unwrap()]).await.ok();
        node.cli(&["rule", "approve", "--all"]).await.ok();
    }
}

/// Where a node's replica has the file of these bytes.
pub fn held(program: &Program, bytes: &[u8]) -> PathBuf {
    let digest = hex::encode(Sha256::digest(bytes));
    program.path("data/replica").join(&digest[..2]).join(&digest)
}

/// Whether a phone of the model gets the old version from the node, and nothing else ever.
async fn phones_get_old(node: &Serving, model: &str) -> bool {
    let got = round(&node.phone(), model, OLDER).await.unwrap();
    assert!(got.is_none() || got.as_deref() == Some(OLD), "{got:?}");
    got.is_some()
}

#[tokio::test]
async fn one_import_reaches_every_node_and_each_serves_by_itself() {
    let pool = TestPool::new().await;
    let mut nodes = pool.nodes::<3>().await;
    pool.approve_old(&nodes[1], &MODELS).await;
    for node in &nodes {
        for model in MODELS {
            wait_until("it has replicated", async || phones_get_old(node, model).await).await;
            assert!(std::fs::read(held(&node.program, &image_of(model, OLD))).unwrap() == image_of(model, OLD));
        }
    }
    // Without the store, and without the database's help, after a restart too.
    let store = pool.folder.path().join("store");
    std::fs::rename(store.join("1-WebServices-1"), store.join("away")).unwrap();
    for node in &mut nodes {
        node.restart().await;
        assert_eq!(node.ready().await.0, 200);
        assert!(phones_get_old(node, MODELS[0]).await, "{}", node.program.path("").display());
    }
}

#[tokio::test]
async fn an_import_can_wait_for_every_node_and_each_is_listed() {
    let pool = TestPool::new().await;
    let [one, two, three] = pool.nodes().await;
    pool.db.execute("update nodes set heartbeat_at = now() - interval '1 day' where name = 'node3'").await;
    let package = package_of(pool.folder.path(), OLD, &MODELS);
    let said = two.cli(&["import", package.to_str().unwrap(), "--wait", "--timeout", "60"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for line in ["node1: ready", "node2: ready", "node3: silent since", "2 nodes are ready"] {
        assert!(said.err.contains(line), "{line} is not in {said:?}");
    }
    for node in [&one, &two] {
        assert!(held(&node.program, &image_of(MODELS[3], OLD)).exists());
    }
    let list = one.cli(&["replica", "list"]).await.ok();
    let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.iter().map(|row| row[1]).collect::<Vec<_>>(), ["node1", "node2", "node3"], "{list}");
    assert!(rows[0][2] == "ready" && rows[1][2] == "ready" && list.contains("silent since"), "{list}");
    assert!(list.contains("4 of 4"), "{list}");
    // A file that no node has and the store has lost.
    let lost = package_of(pool.folder.path(), NEW, &MODELS[..1]);
    drop(three);
    one.process.stop().await;
    two.cli(&["import", lost.to_str().unwrap()]).await.ok();
    let stored = pool.folder.path().join("store/1-WebServices-1/DeviceUpdateStore");
    std::fs::remove_file(stored.join(folder_of(MODELS[0], NEW)).join("CPE.nbt")).unwrap();
    let one = one.program.start().await;
    wait_until("it tells", async || one.cli(&["replica", "list"]).await.ok().contains("node1 could not fetch")).await;
    let said = one.cli(&["import", lost.to_str().unwrap(), "--wait", "--timeout", "60"]).await;
    assert_eq!(said.code, 0, "importing again brings it back: {said:?}");
}

#[tokio::test]
async fn a_node_that_joins_is_ready_when_it_holds_what_rules_need() {
    let pool = TestPool::new().await;
    let [node] = pool.nodes().await;
    pool.approve_old(&node, &MODELS[..2]).await;
    let root = pool.folder.path().join("store/1-WebServices-1");
    let away = pool.folder.path().join("away");
    std::fs::rename(&root, &away).unwrap();
    std::fs::write(&root, "a file where the store has a folder").unwrap();
    let joined = pool.program("node2", |_| {}).start().await;
    let (status, text) = joined.ready().await;
    assert_eq!((status, text.as_str()), (503, "not ready\nreplicating: 0 of the 2 files that rules need are here\n"));
    assert!(!phones_get_old(&joined, MODELS[0]).await, "what it does not hold it does not offer");
    let file = format!("/DeviceUpdateFiles_Int/{}/CPE.nbt", folder_of(MODELS[0], OLD));
    let refused = joined.phone().get(&file).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after").is_empty()), (503, false));
    assert_eq!(node.ready().await.0, 200);
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    wait_until("it is ready", async || joined.ready().await.0 == 200).await;
    assert!(phones_get_old(&joined, MODELS[0]).await);
}
