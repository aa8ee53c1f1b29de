//! The real Prometheus, as a process, that scrapes a node with the shipped configuration; and `promtool`, its other
//! program. Both were not written here: what they take, others take too.

use super::{ask, repository, text_of};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::binary::Said;
use tests::node::{TestNode, set};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// How long Prometheus may take to start, and to scrape for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Prometheus that runs until the value is dropped.
pub struct Prometheus {
    address: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with the shipped configuration: only the node's address, the files' places and the times are others.
    pub async fn start(node: &TestNode, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(repository("deploy/prometheus/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
        std::fs::write(folder.path().join("token"), token).unwrap();
        let mut configuration = text_of("deploy/prometheus/prometheus.yml");
        let changes = [
            ("15s", "1s".to_owned()),
            ("/etc/prometheus/ucupdates-ca.pem", node.ca_file().display().to_string()),
            ("    # authorization:", "    authorization:".to_owned()),
            ("    #   credentials_file:", "      credentials_file:".to_owned()),
            ("/etc/prometheus/ucupdates-token", folder.path().join("token").display().to_string()),
            ("node1.contoso.com:9443", format!("localhost:{}", node.management().port())),
            ("          - node2.contoso.com:9443\n", String::new()),
        ];
        for (from, to) in changes {
            assert!(configuration.contains(from), "{from}");
            configuration = configuration.replace(from, &to);
        }
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.args([format!("--web.listen-address={address}"), "--log.level=warn".to_owned()]);
        let process = command.stdout(Stdio::null()).kill_on_drop(true).spawn();
        let process = process.expect("Prometheus is needed: tests/run.sh gets it");
        Self { address, _process: process, _folder: folder }
    }

    /// What its API answers, when it answers.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("http://{}/api/v1/{path}", self.address)).query(query);
        request.send().await.ok()?.json().await.ok()
    }

    /// What its API answers.
    pub async fn api(&self, path: &str, query: &[(&str, &str)]) -> Value {
        self.ask(path, query).await.unwrap()
    }

    /// Waits until it has scraped the node; fails with its reason when it can't.
    pub async fn scraped(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("targets", &[]).await.unwrap_or_default();
            let target = &answer["data"]["activeTargets"][0];
            if target["health"] == "up" {
                return;
            }
            assert!(Instant::now() < deadline, "the node was not scraped: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn promtool(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("promtool is needed: tests/run.sh gets it");
    process.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    process.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn promtool_finds_no_fault_with_the_metrics() {
    let node = TestNode::start().await;
    let classic = ask(&node, "/metrics", &[]).await;
    let said = promtool(&["check", "metrics"], classic.text()).await;
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""), "{said:?}");
    let counter_without_suffix = promtool(&["check", "metrics"], "# HELP a Some.\n# TYPE a counter\na 1\n").await;
    assert_ne!(counter_without_suffix.code, 0, "it does find faults");
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_only_then() {
    let cases = repository("tests/it/operations/alerts_test.yml");
    promtool(&["test", "rules", cases.to_str().unwrap()], "").await.ok();
    let configuration = repository("deploy/prometheus/prometheus.yml");
    promtool(&["check", "config", "--syntax-only", configuration.to_str().unwrap()], "").await.ok();
    let rules = text_of("deploy/prometheus/alerts.yml");
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 20);
    let cases = std::fs::read_to_string(cases).unwrap();
    for name in names {
        assert!(cases.contains(&format!("alertname=\"{name}\"")), "{name} has no case in which it fires");
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_node_and_its_alerts_and_the_dashboard_name_only_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "a scraper's token\n").unwrap();
    let node = TestNode::start_with(|config| set(config, "metrics.token_file", token_file.to_str().unwrap())).await;
    let prometheus = Prometheus::start(&node, "a scraper's token").await;
    prometheus.scraped().await;
    let told = ask(&node, "/metrics", &[("Authorization", "Bearer a scraper's token")]).await;
    super::names::check(&super::Scrape::parse(told.text()), &prometheus).await;
}
