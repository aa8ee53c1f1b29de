//! Nodes come and go: what the list says of them, whose a name is, and what a node that ends leaves behind. Real processes.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::sync::Arc;
use tests::database::{TestDb, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit, kill_now};

/// Reports every 1.2 s, and is silent after 3.6 s.
fn often(config: &mut toml::Table) {
    set(config, "database.poll_interval_ms", 200);
    set(config, "connections.drain_notice_ms", 3000);
}

/// The nodes' names and states, as this one lists them.
async fn states(node: &Serving, arguments: &[&str]) -> Vec<(String, String)> {
    let said = node.cli(&[&["node", "list", "--json"], arguments].concat()).await.ok();
    let nodes: Vec<Value> = serde_json::from_str(&said).unwrap();
    let text = |node: &Value, name: &str| node[name].as_str().unwrap().to_owned();
    nodes.iter().map(|node| (text(node, "name"), text(node, "state"))).collect()
}

async fn wait_for(node: &Serving, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect();
    wait_until(&format!("{expected:?}"), async || states(node, &[]).await == expected).await;
}

#[tokio::test]
async fn the_list_tells_how_nodes_stand_and_forgets_those_that_are_removed() {
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let [one, two] = ["node1", "node2"].map(|name| Program::of_pool(&db, &folder, name, often));
    let one = one.start().await;
    // It joins by being started with the pool's configuration.
    let mut serving = two.start().await;
    wait_for(&one, &[("node1", "serving"), ("node2", "serving")]).await;
    let refused = one.cli(&["node", "remove", "node2"]).await;
    assert!(refused.code == 1 && refused.err.contains("lives (it reported"), "{refused:?}");

    kill(Pid::from_raw(serving.process.id()), Signal::SIGTERM).unwrap();
    wait_for(&one, &[("node1", "serving"), ("node2", "draining")]).await;
    let (status, ready) = serving.ready().await;
    assert!(status == 503 && ready.starts_with("draining"), "{ready}");
    assert_eq!(serving.process.end().await, 0);
    assert_eq!(states(&one, &[]).await[1].1, "stopped", "said before its end");

    let serving = two.start().await;
    wait_for(&one, &[("node1", "serving"), ("node2", "serving")]).await;
    serving.process.kill().await;
    wait_for(&one, &[("node1", "serving"), ("node2", "silent")]).await;
    let table = one.cli(&["node", "list"]).await.ok();
    assert!(table.contains("node2") && table.contains("Redmond") && table.contains("silent"), "{table}");
    assert_eq!(states(&one, &["--site", "Redmond"]).await.len(), 2);
    assert!(states(&one, &["--site", "Dublin"]).await.is_empty());
    assert!(states(&one, &["--pool", "pool02.demo.local"]).await.is_empty());
    one.cli(&["node", "remove", "node2", "--dry-run"]).await.ok();
    let removed = one.cli(&["node", "remove", "node2", "--pool", "pool01.demo.local"]).await.ok();
    assert!(removed.contains("which was silent"), "{removed}");
    wait_for(&one, &[("node1", "serving")]).await;
    let missing = one.cli(&["node", "remove", "node2"]).await;
    assert!(missing.code == 1 && missing.err.contains("ucupdates node list"), "{missing:?}");
}

#[tokio::test]
async fn a_second_living_node_of_one_name_is_refused_and_a_restarted_one_is_not() {
    let db = TestDb::new().await;
    admit(&db).await;
    let node = || Program::of_pool(&db, &Arc::new(tempfile::tempdir().unwrap()), "node1", often);
    let (first, second) = (node(), node());
    let mut serving = first.start().await;
    let mut refused = second.spawn();
    assert!(!refused.serves_or_ends().await);
    assert!(
        refused.said().contains("another node of pool01.demo.local is called node1 and lives"),
        "{}",
        refused.said()
    );
    assert_eq!(refused.end().await, 1);
    assert_eq!(states(&serving, &[]).await, [("node1".to_owned(), "serving".to_owned())]);

    // After a kill it is not silent yet, but it is the same node.
    serving.restart().await;
    serving.process.stop().await;
    // Stopped in order, it leaves its name to whoever comes.
    let serving = second.start().await;
    kill_now(&serving.process);
}
