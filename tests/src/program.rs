//! The real program as `ucupdates serve`, a process of its own that a test may kill, with a database, a folder and a
//! configuration that outlive it.

use crate::binary;
use crate::database::TestDb;
use crate::node::{TOKEN, configuration, set};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::api::types::packages::ReportCard;
use node::api::types::rules::RuleReport;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};

/// How long a start, an answer or a stop may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything about a node that outlives its process.
pub struct Program {
    /// Its database.
    pub db: TestDb,
    /// Holds `data`, `store`, `config.toml` and `log`.
    pub folder: Arc<TempDir>,
    wrapper: Vec<String>,
}

/// The process.
pub struct Process {
    child: Child,
    log: PathBuf,
    log_begins: u64,
    unread: Option<ChildStderr>,
}

/// A process that serves.
pub struct Serving {
    /// The process.
    pub process: Process,
    /// Where phones ask.
    pub phones: SocketAddr,
    /// Where administrators ask.
    pub management: SocketAddr,
    client: reqwest::Client,
}

/// A refusal of the API.
#[derive(Debug)]
pub struct Refused {
    /// 507, ...; 0 when there was no answer at all.
    pub status: u16,
    /// The body, or why there was none.
    pub text: String,
}

impl Program {
    /// A new one in `folder`, whose configuration was changed first, and which is started by the words of `wrapper`, if
    /// any, with the program and its arguments behind them. `@/` at the beginning of a word is the folder.
    pub async fn new(folder: TempDir, wrapper: Vec<String>, change: impl FnOnce(&mut toml::Table)) -> Self {
        // Built now, because that blocks the runtime.
        binary::path();
        let db = TestDb::new().await;
        let digest = schema::package::Digest::new(Sha256::digest(TOKEN.as_bytes()).into());
        db.database().create_token("tester", "tester", &digest, None, "tester").await.unwrap();
        let mut table = configuration(&db, folder.path());
        for listener in ["internal_http", "internal_https", "external_https", "management_https"] {
            set(&mut table, &format!("listeners.{listener}.addresses"), vec!["127.0.0.1:0".to_owned()]);
        }
        set(&mut table, "log.format", "json");
        change(&mut table);
        std::fs::create_dir(folder.path().join("store")).unwrap();
        std::fs::write(folder.path().join("config.toml"), table.to_string()).unwrap();
        Self { db, folder: Arc::new(folder), wrapper }
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same database, folder and configuration behind other words.
    pub fn with_wrapper(&self, wrapper: Vec<String>) -> Self {
        Self { db: self.db.clone(), folder: Arc::clone(&self.folder), wrapper }
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&self) -> Process {
        let log = self.path("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let log_begins = file.metadata().unwrap().len();
        Process { child: self.command(file.into()).spawn().unwrap(), log, log_begins, unread: None }
    }

    /// The same, when the words of the wrapper send standard error to this file.
    pub fn spawn_logging_itself(&self, log: &str) -> Process {
        let child = self.command(Stdio::null()).spawn().unwrap();
        Process { child, log: self.path(log), log_begins: 0, unread: None }
    }

    /// Starts the process and reads its standard error until it serves, and no more.
    pub async fn start_then_read_no_more(&self) -> Serving {
        let mut child = self.command(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let mut said = Vec::new();
        let reading = async {
            while addresses(&String::from_utf8_lossy(&said)).is_none() {
                assert!(pipe.read_buf(&mut said).await.unwrap() > 0, "it ended: {}", String::from_utf8_lossy(&said));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("it serves");
        let log = self.path("log");
        std::fs::write(&log, &said).unwrap();
        self.serving(Process { child, log, log_begins: 0, unread: Some(pipe) }).await
    }

    fn command(&self, stderr: Stdio) -> Command {
        let folder = format!("{}/", self.folder.path().display());
        let words = self.wrapper.iter().map(|word| match word.strip_prefix("@/") {
            Some(below) => format!("{folder}{below}"),
            None => word.clone(),
        });
        let mut words: Vec<PathBuf> = words.map(PathBuf::from).collect();
        words.push(binary::path().clone());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("serve").arg("--config").arg(self.path("config.toml")).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        command
    }

    /// Starts the process and waits until it serves.
    pub async fn start(&self) -> Serving {
        let process = self.spawn();
        self.serving(process).await
    }

    /// Waits until a process serves.
    pub async fn serving(&self, mut process: Process) -> Serving {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = process.said();
            if let Some((phones, management)) = addresses(&said) {
                let authority = process.inside(&self.path("data/tls/ca.pem"));
                let client = client(&authority);
                return Serving { process, phones, management, client };
            }
            assert!(process.child.try_wait().unwrap().is_none(), "it ended before it served: {said}");
            assert!(Instant::now() < deadline, "it does not serve: {said}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Process {
    /// Its id.
    pub fn id(&self) -> i32 {
        self.child.id().unwrap().try_into().unwrap()
    }

    /// What it has said since its start.
    pub fn said(&self) -> String {
        // Of a process that has ended there is no inside.
        let bytes = std::fs::read(self.inside(&self.log)).or_else(|_| std::fs::read(&self.log)).unwrap_or_default();
        let from = usize::try_from(self.log_begins).unwrap().min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Waits until it serves, or has ended.
    pub async fn serves_or_ends(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while addresses(&self.said()).is_none() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "neither serves nor ends: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// A path as this process sees it, which may have mounts of its own.
    pub fn inside(&self, path: &Path) -> PathBuf {
        match self.child.id() {
            Some(id) => PathBuf::from(format!("/proc/{id}/root{}", path.display())),
            None => path.to_owned(),
        }
    }

    /// Ends it in the middle of whatever it does.
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// Stops it orderly.
    pub async fn stop(mut self) {
        // What is left to say finds nobody who reads.
        let _unread = self.unread.take();
        kill(Pid::from_raw(self.id()), Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it stops in time").unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Waits for its end; the exit code.
    pub async fn end(&mut self) -> i32 {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code().unwrap_or(-1)
    }
}

/// Sends the kill, and waits for nothing: work that still holds the process goes on and fails.
pub fn kill_now(process: &Process) {
    kill(Pid::from_raw(process.id()), Signal::SIGKILL).unwrap();
}

impl Serving {
    /// Imports a package into all pools.
    pub async fn import(&self, name: &str, bytes: Vec<u8>) -> Result<ReportCard, Refused> {
        self.answer(self.client.post(self.url("/api/v1/packages")).query(&[("name", name)]).body(bytes)).await
    }

    /// Approves what is pending of this model.
    pub async fn approve(&self, model: &str) -> Result<RuleReport, Refused> {
        let body = serde_json::json!({ "filter": { "model": model } });
        self.answer(self.client.post(self.url("/api/v1/rules/approve")).json(&body)).await
    }

    /// `/ready`: its status and its text.
    pub async fn ready(&self) -> (u16, String) {
        let answer = self.client.get(self.url("/ready")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Whether it serves from present rules and has nothing to complain of.
    pub async fn is_well(&self) -> bool {
        let (status, text) = self.ready().await;
        let lines: Vec<_> = text.lines().collect();
        let present = |line: &str| line.contains("confirmed by the Central Management store");
        status == 200 && matches!(lines[..], ["ready", rules] if present(rules))
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.management.port())
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Refused> {
        let lost = |error: reqwest::Error| Refused { status: 0, text: format!("{error:?}") };
        let answer = request.bearer_auth(TOKEN).send().await.map_err(lost)?;
        let status = answer.status();
        let text = answer.text().await.map_err(lost)?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap()),
            false => Err(Refused { status: status.as_u16(), text }),
        }
    }
}

/// Trusts this authority alone.
fn client(authority: &Path) -> reqwest::Client {
    let pem = std::fs::read(authority).unwrap();
    let authority = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only(authority).build().unwrap()
}

/// The addresses in the line with which a node says that it serves.
fn addresses(said: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = said.lines().find(|line| line.contains("the node serves"))?;
    let address = |listener: &str| -> Option<SocketAddr> {
        let rest = line.split(&format!(" {listener}: [")).nth(1)?;
        rest.split([']', ',']).next()?.parse().ok()
    };
    Some((address("internal_http")?, address("management_https")?))
}
