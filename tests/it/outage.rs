//! PostgreSQL stopped, and separately hung, under a pool of two nodes that are real processes: phones notice nothing, a node
//! that is restarted meanwhile serves from its disk, administrators hear of it in time, and everything goes on afterwards.

mod late;
pub mod phones;
mod snapshots;

use crate::store_outage::futures_join;
use phones::{Crowd, MODELS, NEW, OLD, OLDER, folder_of, image_of, round};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::database::{TestDb, TestServer, wait_until};
use tests::gcab::package;
use tests::node::set;
use tests::program::{Program, Serving, admit};

/// The longest that an administrator waits for the answer (DESIGN.md 4).
const LIMIT: Duration = Duration::from_secs(3);

/// How often the nodes look at the database: the time in which an approval must reach the phones afterwards.
const POLL_INTERVAL: Duration = Duration::from_millis(1500);

/// A file that no rule names.
const UNHEARD_OF: &str = "/DeviceUpdateFiles_Int/UCPhone/Polycom/CX500/A/ENU/9.9.9.9/CPE/CPE.nbt";

pub fn package_of(folder: &Path, version: &str, models: &[&str]) -> PathBuf {
    let entry = |model: &&str| (format!("{}/CPE.nbt", folder_of(model, version)), image_of(model, version));
    let entries: Vec<(String, Vec<u8>)> = models.iter().map(entry).collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    package(folder, &format!("{version}.cab"), "2008-12-16 04:43:58", &entries)
}

/// A node of a pool that looks at the database so often.
async fn node_on(db: &TestDb, folder: &Arc<TempDir>, name: &str, poll_interval: Duration) -> Serving {
    let poll_interval_ms = i64::try_from(poll_interval.as_millis()).unwrap();
    let change = |config: &mut toml::Table| set(config, "database.poll_interval_ms", poll_interval_ms);
    let serving = Program::of_pool(db, folder, name, change).start().await;
    assert_eq!(serving.ready().await.0, 200);
    serving
}

/// Two nodes of a pool. Every model's old version is approved; the last one's new version is pending.
async fn pool(server: &TestServer) -> [Serving; 2] {
    let (db, folder) = (server.migrated().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let node = async |name| node_on(&db, &folder, name, POLL_INTERVAL).await;
    let nodes = [node("node1").await, node("node2").await];
    for (version, models) in [(OLD, MODELS.as_slice()), (NEW, &MODELS[3..])] {
        let path = package_of(folder.path(), version, models);
        nodes[0].cli(&["import", path.to_str().unwrap()]).await.ok();
        if version == OLD {
            nodes[0].cli(&["rule", "approve", "--all"]).await.ok();
        }
    }
    // On both disks, so that a restart finds what all phones are answered from.
    let generation = generation(&nodes[0].ready().await.1);
    for node in &nodes {
        wait_until("the newest rules are on disk", async || {
            kept(node).contains(&format!("\"generation\":{generation},"))
        })
        .await;
    }
    nodes
}

/// The newest snapshot file of a node; empty when there is none.
fn kept(node: &Serving) -> String {
    let entries = std::fs::read_dir(node.program.path("data/snapshots")).into_iter().flatten().flatten();
    let newest =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "snapshot")).max();
    newest.map(|path| std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default()
}

/// The generation in the text of `/ready`.
fn generation(ready: &str) -> i64 {
    let word = ready.split_once("generation ").unwrap().1;
    word.split([' ', ',']).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn nobody_who_phones_notices_that_the_database_is_down() {
    let mut server = TestServer::start().await;
    let mut nodes = pool(&server).await;
    let crowd = Crowd::start(&nodes[0].phone());
    crowd.rounds(2).await;
    server.stop().await;
    during(&mut nodes, &crowd).await;
    server.start_again().await;
    afterwards(&nodes, crowd).await;
}

#[tokio::test]
async fn nobody_who_phones_notices_that_the_database_hangs() {
    let server = TestServer::start().await;
    let mut nodes = pool(&server).await;
    let crowd = Crowd::start(&nodes[0].phone());
    crowd.rounds(2).await;
    server.hang();
    during(&mut nodes, &crowd).await;
    server.resume();
    afterwards(&nodes, crowd).await;
}

/// What holds while the database does not answer.
async fn during(nodes: &mut [Serving; 2], crowd: &Crowd) {
    wait_until("the node knows", async || nodes[0].ready().await.1.contains("has not answered since")).await;
    let (status, ready) = nodes[0].ready().await;
    assert!(status == 200 && ready.contains("confirmed by the Central Management store"), "{status} {ready}");
    assert!(nodes[0].metrics().await.contains("\nucupdates_database_up 0\n"));

    nodes[1].restart().await;
    let (status, ready) = nodes[1].ready().await;
    assert!(status == 200 && ready.contains("from disk"), "{status} {ready}");
    let metrics = nodes[1].metrics().await;
    assert!(metrics.contains("\nucupdates_snapshot_from_disk 1\n"), "{metrics}");
    for model in MODELS {
        let phone = nodes[1].phone();
        assert_eq!(round(&phone, model, OLDER).await.unwrap().as_deref(), Some(OLD), "{model}");
        assert_eq!(round(&phone, model, OLD).await.unwrap(), None, "{model}");
    }
    for node in &*nodes {
        administrators_hear_of_it(node).await;
        let unknown = node.phone().get(UNHEARD_OF).await.unwrap();
        assert!(unknown.status == 503 && !unknown.header("retry-after").is_empty(), "it cannot know: {unknown:?}");
    }
    crowd.rounds(3).await;
}

/// Each kind of route, and the command line.
async fn administrators_hear_of_it(node: &Serving) {
    let upload = vec![0; 300_000];
    let routes: [(&str, &str, &[u8]); 9] = [
        ("GET", "/rules", b""),
        ("GET", "/status", b""),
        ("GET", "/admin-events/verify", b""),
        ("GET", "/explain?mac=0021630F207B", b""),
        ("POST", "/rules/approve", b"{\"all\":true}"),
        ("DELETE", "/test-devices?identity=global/x", b""),
        ("POST", "/files/clear", b"{\"pool\":\"pool01.demo.local\"}"),
        ("POST", "/logs/clear", b"{\"pool\":\"pool01.demo.local\",\"days_back\":3}"),
        ("POST", "/packages?name=a.cab", &upload),
    ];
    let asked = routes.map(|(method, route, body)| async move {
        let began = Instant::now();
        let answer = node.api(method, route, body).await;
        let took = began.elapsed();
        assert_eq!(answer.status, 503, "{method} {route}: {}", answer.text());
        assert!(took <= LIMIT, "{method} {route} took {took:?}");
        assert!(answer.text().contains("phones are served meanwhile"), "{method} {route}: {}", answer.text());
    });
    futures_join(asked.into()).await;
    let config = node.program.path("config.toml").display().to_string();
    let commands = [
        (vec!["rule", "list"], "phones are served meanwhile, try again later"),
        (vec!["status"], "confirmed by the Central Management store"),
        (vec!["migrate", "--config", &config], "does not answer in time"),
        (vec!["first-token", "ben", "--config", &config], "does not answer in time"),
    ];
    let said = commands.map(|(arguments, expected)| async move {
        let began = Instant::now();
        let said = node.cli(&arguments).await;
        assert!(said.code == 1 && said.err.contains(expected), "{arguments:?}: {said:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{arguments:?} took {:?}", began.elapsed());
    });
    futures_join(said.into()).await;
    let checked = node.cli(&["check-config", &config]).await;
    assert_eq!(checked.code, 0, "it does not ask the database: {checked:?}");
}

/// What holds as soon as the database answers again.
async fn afterwards(nodes: &[Serving; 2], crowd: Crowd) {
    let answered = Instant::now();
    wait_until("administrators are let in", async || nodes[0].api("GET", "/rules", b"").await.status == 200).await;
    assert!(answered.elapsed() < LIMIT, "the API took {:?} to come back", answered.elapsed());
    // The node that started without a database too; long before it polls again.
    nodes[1].cli(&["rule", "approve", "--model", MODELS[3]]).await.ok();
    let approved = Instant::now();
    for node in nodes {
        let got = async || round(&node.phone(), MODELS[3], OLDER).await.unwrap().as_deref() == Some(NEW);
        wait_until("the approval reaches phones", got).await;
    }
    assert!(approved.elapsed() <= POLL_INTERVAL, "the approval took {:?}", approved.elapsed());
    for node in nodes {
        let whole = async || {
            let (_, ready) = node.ready().await;
            !ready.contains("disk") && !ready.contains("has not answered")
        };
        wait_until("the node is whole again", whole).await;
        assert!(node.metrics().await.contains("\nucupdates_database_up 1\n"));
        assert_eq!(node.phone().get(UNHEARD_OF).await.unwrap().status, 404);
    }
    crowd.rounds(1).await;
    let (rounds, wrong) = crowd.stop().await;
    assert!(wrong.is_empty(), "{} of {rounds} failed or wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}
