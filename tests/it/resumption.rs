//! A phone's TLS session resumes on any node of its pool, by OpenSSL's judgement: while the database is down, and until two
//! more keys were used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tests::database::{TestDb, TestServer, wait_until};
use tests::node::set;
use tests::program::{Program, Serving, admit};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// Sessions that a client keeps.
struct Client(TempDir);

impl Client {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn session(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Asks the node, with this session if there is one, and keeps the next one as `keep`. Whether it was resumed.
    async fn ask(&self, node: &Serving, version: &str, with: Option<&str>, keep: &str) -> bool {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", version, "-noservername", "-ign_eof", "-connect", &node.management.to_string()]);
        openssl.arg("-sess_out").arg(self.session(keep));
        if let Some(with) = with {
            openssl.arg("-sess_in").arg(self.session(with));
        }
        openssl
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = openssl.spawn().unwrap();
        // The answer comes behind the ticket, which TLS 1.3 sends after the handshake.
        let request = b"GET /live HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        child.stdin.take().unwrap().write_all(request).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("200 OK"), "{said} {}", String::from_utf8_lossy(&output.stderr));
        match (said.contains("\nNew, TLSv1."), said.contains("\nReused, TLSv1.")) {
            (true, false) => false,
            (false, true) => true,
            _ => panic!("neither new nor reused: {said}"),
        }
    }

    /// Whether what was kept as `name` resumes on the node.
    async fn resumes(&self, node: &Serving, version: &str, name: &str) -> bool {
        self.ask(node, version, Some(name), "unused").await
    }

    /// A new session from the node.
    async fn begin(&self, node: &Serving, version: &str, name: &str) {
        assert!(!self.ask(node, version, None, name).await, "nothing to resume");
    }
}

async fn early_data(session: &Path) -> String {
    let output =
        Command::new("openssl").arg("sess_id").arg("-noout").arg("-text").arg("-in").arg(session).output().await;
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines().find(|line| line.contains("Max Early Data")).unwrap_or_default().trim().to_owned()
}

/// Two nodes, which look for keys every 0.6 s.
async fn pool(db: &TestDb) -> [Serving; 2] {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    admit(db).await;
    let often = |config: &mut toml::Table| set(config, "database.poll_interval_ms", 100);
    let [one, two] = ["node1", "node2"].map(|name| Program::of_pool(db, &folder, name, often));
    [one.start().await, two.start().await]
}

#[tokio::test]
async fn a_session_resumes_on_every_node_also_while_the_database_is_down() {
    let mut server = TestServer::start().await;
    let db = server.migrated().await;
    let [one, mut two] = pool(&db).await;
    let client = Client::new();
    for version in VERSIONS {
        client.begin(&one, version, version).await;
        for node in [&two, &one] {
            assert!(client.resumes(node, version, version).await, "{version}");
        }
    }
    let early = early_data(&client.session("-tls1_3")).await;
    assert!(early.is_empty() || early.ends_with(": 0"), "{early}");

    server.stop().await;
    wait_until("the node knows", async || one.ready().await.1.contains("has not answered since")).await;
    for version in VERSIONS {
        assert!(client.resumes(&two, version, version).await, "{version}");
        client.begin(&two, version, "later").await;
        assert!(client.resumes(&one, version, "later").await, "{version}");
    }
    // A node that starts meanwhile does not know the pool's keys: a whole handshake, and a ticket that is its own.
    two.restart().await;
    for version in VERSIONS {
        assert!(!client.ask(&two, version, Some(version), "own").await, "{version}");
        assert!(client.resumes(&two, version, "own").await, "{version}");
        assert!(!client.resumes(&one, version, "own").await, "{version}");
    }
    server.start_again().await;
    wait_until("the pool's keys are back", async || client.resumes(&two, "-tls1_3", "-tls1_3").await).await;
    assert!(client.resumes(&two, "-tls1_3", "own").await, "its own tickets are not forgotten");
}

/// Lets twelve hours pass for the keys, and waits until the next one is made and used.
async fn rotate(db: &TestDb) {
    let newest = async |condition: &str| -> i64 {
        let query = format!("select max(number) from ticket_keys where {condition}");
        db.client().await.query_one(&query, &[]).await.unwrap().get(0)
    };
    let before = newest("true").await;
    db.execute(
        "update ticket_keys set made_at = made_at - interval '12 hours', used_from = used_from - interval '12 hours'",
    )
    .await;
    wait_until("a new key is used", async || newest("used_from <= now()").await > before).await;
}

#[tokio::test]
async fn a_session_resumes_until_two_more_keys_were_used() {
    let db = TestDb::new().await;
    let nodes = pool(&db).await;
    let client = Client::new();
    for version in VERSIONS {
        client.begin(&nodes[0], version, version).await;
    }
    for round in 1..=2 {
        rotate(&db).await;
        for version in VERSIONS {
            for node in &nodes {
                assert!(client.resumes(node, version, version).await, "{version} after {round}");
            }
            // What one node gives now, the other takes.
            client.begin(&nodes[round % 2], version, "new").await;
            assert!(client.resumes(&nodes[(round + 1) % 2], version, "new").await, "{version} after {round}");
        }
    }
    rotate(&db).await;
    for version in VERSIONS {
        for node in &nodes {
            let whole = async || !client.resumes(node, version, version).await;
            wait_until("the first key is forgotten", whole).await;
        }
        client.begin(&nodes[0], version, "new").await;
        assert!(client.resumes(&nodes[1], version, "new").await, "{version}");
    }
}
