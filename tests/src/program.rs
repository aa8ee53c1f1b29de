//! The real program as `ucupdates serve`, a process of its own that a test may kill, with a database, a folder and a
//! configuration that outlive it.

mod serving;

pub use serving::{Refused, Serving};

use crate::binary;
use crate::database::{TestDb, wait_until};
use crate::node::{TOKEN, configuration, set};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};

/// How long a start, an answer or a stop may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything about a node that outlives its process.
#[derive(Clone)]
pub struct Program {
    /// Its database.
    pub db: TestDb,
    /// Holds `store`, and what is the node's own.
    pub folder: Arc<TempDir>,
    /// Holds `data`, `config.toml` and `log`.
    home: PathBuf,
    wrapper: Vec<String>,
    /// Built from the sources under test, unless it was said otherwise.
    executable: PathBuf,
}

/// The process.
pub struct Process {
    child: Child,
    log: PathBuf,
    log_begins: u64,
    unread: Option<ChildStderr>,
}

impl Program {
    /// A new one in `folder`, whose configuration was changed first, and which is started by the words of `wrapper`, if
    /// any, with the program and its arguments behind them. `@/` at the beginning of a word is the folder.
    pub async fn new(folder: TempDir, wrapper: Vec<String>, change: impl FnOnce(&mut toml::Table)) -> Self {
        // Built now, because that blocks the runtime.
        binary::path();
        let db = TestDb::new().await;
        admit(&db).await;
        let home = folder.path().to_owned();
        let program = Self { db, folder: Arc::new(folder), home, wrapper, executable: binary::path().clone() };
        program.write_first(|table| {
            for listener in ["internal_http", "internal_https", "external_https", "management_https"] {
                set(table, &format!("listeners.{listener}.addresses"), vec!["127.0.0.1:0".to_owned()]);
            }
            change(table);
        });
        program
    }

    /// One of several on a database, which share the store in `folder`. It stands on an address of its own with fixed
    /// ports: started again, it stands where it stood.
    pub fn of_pool(db: &TestDb, folder: &Arc<TempDir>, name: &str, change: impl FnOnce(&mut toml::Table)) -> Self {
        let home = folder.path().join(name);
        std::fs::create_dir(&home).unwrap();
        let (db, folder, executable) = (db.clone(), Arc::clone(folder), binary::path().clone());
        let program = Self { db, folder, home, wrapper: Vec::new(), executable };
        let address = own_address();
        program.write_first(|table| {
            set(table, "node.name", name);
            set(table, "tls.names", vec![address.to_string()]);
            for (listener, port) in [("internal_http", Some(8080)), ("management_https", Some(9443))]
                .into_iter()
                .chain([("internal_https", None), ("external_https", None)])
            {
                let addresses: Vec<_> = port.map(|port| format!("{address}:{port}")).into_iter().collect();
                set(table, &format!("listeners.{listener}.addresses"), addresses);
            }
            change(table);
        });
        program
    }

    /// The first configuration.
    fn write_first(&self, change: impl FnOnce(&mut toml::Table)) {
        let mut table = configuration(&self.db, &self.home);
        let store = self.folder.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        set(&mut table, "store.folder", store.to_str().unwrap());
        set(&mut table, "log.format", "json");
        change(&mut table);
        std::fs::write(self.path("config.toml"), table.to_string()).unwrap();
    }

    /// Changes the configuration, for the next start.
    pub fn configure(&self, change: impl FnOnce(&mut toml::Table)) {
        let path = self.path("config.toml");
        let mut table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        change(&mut table);
        std::fs::write(path, table.to_string()).unwrap();
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The same database, folder and configuration behind other words.
    pub fn with_wrapper(&self, wrapper: Vec<String>) -> Self {
        Self { wrapper, ..self.clone() }
    }

    /// The same, but another version of the program.
    pub fn with_executable(&self, executable: &Path) -> Self {
        Self { executable: executable.to_owned(), ..self.clone() }
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
        let folder = format!("{}/", self.home.display());
        let words = self.wrapper.iter().map(|word| match word.strip_prefix("@/") {
            Some(below) => format!("{folder}{below}"),
            None => word.clone(),
        });
        let mut words: Vec<PathBuf> = words.map(PathBuf::from).collect();
        words.push(self.executable.clone());
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
                return Serving::new(self, process, phones, management);
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

    /// The first line with this text in it of what it has said; waits for it, because a node's log is written by a thread
    /// of its own.
    pub async fn logged(&self, text: &str) -> String {
        let found = || self.said().lines().find(|line| line.contains(text)).map(str::to_owned);
        wait_until(&format!("{text:?} is in the log"), async || found().is_some()).await;
        found().unwrap()
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

/// The addresses in the line with which a node says that it serves.
fn addresses(said: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = said.lines().find(|line| line.contains("the node serves"))?;
    let address = |listener: &str| -> Option<SocketAddr> {
        let rest = line.split(&format!(" {listener}: [")).nth(1)?;
        rest.split([']', ',']).next()?.parse().ok()
    };
    Some((address("internal_http")?, address("management_https")?))
}

/// An address of the loopback network that no other node of this test process has, nor probably of another.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = u16::try_from(std::process::id() % 0xFFFF).unwrap().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, high | 0x40, low, NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Lets the administrator of [`TOKEN`] in.
pub async fn admit(db: &TestDb) {
    let digest = schema::package::Digest::new(Sha256::digest(TOKEN.as_bytes()).into());
    db.database().create_token("tester", "tester", &digest, None, "tester").await.unwrap();
}
