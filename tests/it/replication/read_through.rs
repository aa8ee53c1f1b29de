//! A file that a node does not hold: one read of the store for all phones that want it, and never a wrong one taken for right.

use super::{TestPool, held};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tests::database::wait_until;
use tests::gcab::{image, package};
use tests::node::set;
use tests::program::Serving;
use tokio::process::Command;
use tokio::task::JoinSet;

const FOLDER: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

/// Phones, and how many of them ask at one time.
const PHONES: usize = 10_000;
const AT_ONCE: usize = 250;

/// A node that joins the pool after the rule of an update was removed: it knows the file and does not hold it.
async fn lacking(pool: &TestPool, bytes: &[u8]) -> Serving {
    let [first] = pool.nodes().await;
    let path = format!("{FOLDER}/CPE.nbt");
    let package = package(pool.folder.path(), "UCUpdates.cab", "2008-12-16 04:43:58", &[(&path, bytes)]);
    first.cli(&["import", package.to_str().unwrap()]).await.ok();
    first.cli(&["rule", "remove", "--all"]).await.ok();
    let node = pool.program("node2", |config| {
        for setting in ["downloads.slots", "downloads.slots_per_address", "connections.most_per_address"] {
            set(config, setting, 2000);
        }
    });
    let node = node.start().await;
    assert!(!held(&node.program, bytes).exists());
    first.process.stop().await;
    node
}

/// The file, in a store that is a folder.
fn stored(pool: &TestPool) -> PathBuf {
    pool.folder.path().join("store/1-WebServices-1/DeviceUpdateStore").join(FOLDER).join("CPE.nbt")
}

/// What curl says, and what it got.
async fn curl(node: &Serving) -> (bool, Vec<u8>) {
    let url = format!("http://{}/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt", node.phones);
    let output = Command::new("curl").args(["--silent", "--fail", "--max-time", "60", &url]).output().await.unwrap();
    (output.status.success(), output.stdout)
}

fn counted(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_phones_that_want_a_file_are_one_read_of_the_store() {
    let (pool, bytes) = (TestPool::new().await, image(1, 6_000_000));
    let node = lacking(&pool, &bytes).await;
    ten_thousand_get(&node, bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_phones_that_want_a_file_are_one_request_to_the_bucket() {
    let (pool, bytes) = (TestPool::in_bucket().await, image(1, 6_000_000));
    let node = lacking(&pool, &bytes).await;
    let seen = &pool.bucket.as_ref().unwrap().seen;
    let reads = || seen.reads(&format!("/{FOLDER}/CPE.nbt"));
    let before = reads();
    ten_thousand_get(&node, bytes).await;
    assert_eq!(reads() - before, 1);
}

/// Each gets a piece of the file, and the node has fetched it once.
async fn ten_thousand_get(node: &Serving, bytes: Vec<u8>) {
    let (phone, bytes) = (node.phone(), Arc::new(bytes));
    let mut asking = JoinSet::new();
    for number in 0..AT_ONCE {
        let (phone, bytes) = (phone.clone(), Arc::clone(&bytes));
        asking.spawn(async move {
            for round in 0..PHONES / AT_ONCE {
                let first = (number * 977 + round * 131) * 17 % (bytes.len() - 300);
                let range = format!("bytes={first}-{}", first + 299);
                let path = format!("/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt");
                let answer = phone.ask("GET", &path, &[("Range", &range)], b"").await.unwrap();
                assert_eq!(answer.status, 206);
                assert!(answer.body == bytes[first..first + 300]);
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let metrics = node.metrics().await;
    assert_eq!(counted(&metrics, "ucupdates_replica_read_throughs_total"), 1);
    assert_eq!(counted(&metrics, "ucupdates_replica_fetched_bytes_total"), bytes.len() as u64);
    assert_eq!(counted(&metrics, "ucupdates_replica_transfers_total{outcome=\"done\"}"), 1);
}

#[tokio::test]
async fn a_wrong_file_of_the_store_is_never_a_complete_download() {
    let bytes = image(1, 3_000_000);
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for wrong in [&flipped[..], &bytes[..2_000_000], &[&bytes[..], b"more"].concat()] {
        let pool = TestPool::new().await;
        let node = lacking(&pool, &bytes).await;
        std::fs::write(stored(&pool), wrong).unwrap();
        let (complete, got) = curl(&node).await;
        assert!(!complete && got.len() < bytes.len(), "{} bytes of {}", got.len(), wrong.len());
        assert!(!held(&node.program, &bytes).exists());
        let digest = hex::encode(Sha256::digest(&bytes));
        let told =
            async || node.process.said().lines().any(|line| line.contains("wrong_bytes") && line.contains(&digest));
        wait_until("the node tells", told).await;
    }
    let pool = TestPool::new().await;
    let node = lacking(&pool, &bytes).await;
    std::fs::remove_file(stored(&pool)).unwrap();
    assert_eq!(curl(&node).await, (false, Vec::new()));
    std::fs::write(stored(&pool), &bytes).unwrap();
    wait_until("it is read through", async || curl(&node).await == (true, bytes.clone())).await;
    assert!(held(&node.program, &bytes).exists(), "and kept");
}
