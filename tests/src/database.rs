//! Real PostgreSQL for tests: one server for the test process, which dies with it, and a fresh database for each test,
//! copied from a migrated template.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::postgres::PrivatePostgres;
use schema::store::{Database, DatabaseSettings};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

/// Nothing here must outlive a power cut, and every statement is to be seen.
const SETTINGS: [&str; 6] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=300",
    "log_statement=all",
    "log_line_prefix=%d|",
];

/// A PostgreSQL server of the tests' own.
#[derive(Debug)]
pub struct TestServer {
    /// None while it is stopped.
    postgres: Option<PrivatePostgres>,
    folder: PathBuf,
    template: OnceCell<()>,
    databases: AtomicU32,
}

/// A database of one test.
#[derive(Debug, Clone)]
pub struct TestDb {
    name: String,
    url: String,
    log: PathBuf,
}

impl TestServer {
    /// Starts a server. For tests that harm it; all others share one by way of [`TestDb::new`].
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("ucupdates-test-").tempdir().unwrap().keep();
        delete_when_we_end(&folder);
        let mut server = Self { postgres: None, folder, template: OnceCell::new(), databases: AtomicU32::new(0) };
        server.start_again().await;
        server
    }

    /// Stops the server, as an administrator or a shutdown of its machine does.
    pub async fn stop(&mut self) {
        self.postgres.take().unwrap().stop().await.unwrap();
    }

    /// Starts a server that was stopped, with all its databases.
    pub async fn start_again(&mut self) {
        let started = PrivatePostgres::start_with(&self.folder, &SETTINGS).await;
        self.postgres = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    fn running(&self) -> &PrivatePostgres {
        self.postgres.as_ref().unwrap()
    }

    /// A database with the schema.
    pub async fn migrated(&self) -> TestDb {
        self.template.get_or_init(|| self.make_template()).await;
        self.create("template migrated").await
    }

    /// A database without anything.
    pub async fn empty(&self) -> TestDb {
        self.create("").await
    }

    async fn create(&self, how: &str) -> TestDb {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        connect(&self.running().url()).await.batch_execute(&format!("create database {name} {how}")).await.unwrap();
        TestDb { url: self.running().url_of(&name), name, log: self.running().log_path() }
    }

    async fn make_template(&self) {
        let admin = connect(&self.running().url()).await;
        admin.batch_execute("create database migrated").await.unwrap();
        let settings = DatabaseSettings::new(self.running().url_of("migrated"));
        Database::new(&settings).unwrap().migrate().await.unwrap();
        // A database that somebody is connected to cannot be copied.
        let sessions = "select count(*) from pg_stat_activity where datname = 'migrated'";
        wait_until("the template's sessions end", async || {
            admin.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
    }

    /// Stops the server and all its sessions in the middle of what they do, as a hung disk or machine would. Until
    /// [`TestServer::resume`], or the end of this value.
    pub fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a hung server go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// To the server first, so that it makes no sessions meanwhile.
    fn signal(&self, signal: Signal) {
        let Some(server) = self.postgres.as_ref().and_then(PrivatePostgres::pid) else { return };
        kill(Pid::from_raw(server), signal).unwrap();
        for session in children(server) {
            // One that ended by itself needs no signal.
            let _ = kill(Pid::from_raw(session), signal);
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.resume();
    }
}

impl TestDb {
    /// A database with the schema, on the server that all tests share.
    pub async fn new() -> Self {
        shared().migrated().await
    }

    /// A database without anything, on the server that all tests share.
    pub async fn empty() -> Self {
        shared().empty().await
    }

    /// How to connect to it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the store reaches it: patient, so that no test depends on how fast the machine is.
    pub fn settings(&self) -> DatabaseSettings {
        let patience = Duration::from_secs(60);
        DatabaseSettings { connect_timeout: patience, operation_timeout: patience, ..DatabaseSettings::new(&self.url) }
    }

    /// The store on it.
    pub fn database(&self) -> Database {
        Database::new(&self.settings()).unwrap()
    }

    /// Runs SQL past the store, for what no function of the store does.
    pub async fn execute(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// The version of its schema.
    pub async fn schema_version(&self) -> i32 {
        let newest = "select max(version) from refinery_schema_history";
        self.client().await.query_one(newest, &[]).await.unwrap().get(0)
    }

    /// Makes it look as if a newer program had migrated it, after which programs from `oldest_program` on work with it.
    pub async fn pretend_schema(&self, version: i32, oldest_program: i32) {
        self.execute(&format!(
            "insert into refinery_schema_history (version, name, applied_on, checksum) values ({version}, 'new', '', '0');
            update schema_compatibility set oldest_program = {oldest_program}"
        ))
        .await;
    }

    /// Undoes [`TestDb::pretend_schema`].
    pub async fn forget_schema(&self, version: i32) {
        self.execute(&format!(
            "delete from refinery_schema_history where version = {version};
            update schema_compatibility set oldest_program = (select max(version) from refinery_schema_history)"
        ))
        .await;
    }

    /// A connection past the store.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// How many statements the server was sent for this database.
    pub fn statement_count(&self) -> usize {
        self.statements().len()
    }

    /// The statements that the server was sent for this database, in their order, each with how it came before it:
    /// `statement: ` or `execute NAME: `.
    pub fn statements(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap();
        let text = String::from_utf8_lossy(&log);
        let prefix = format!("{}|LOG:  ", self.name);
        let mut statements: Vec<String> = Vec::new();
        let mut within = false;
        for line in text.lines() {
            // The further lines of a statement begin with a tab.
            if let Some(more) = line.strip_prefix('\t') {
                if let (true, Some(statement)) = (within, statements.last_mut()) {
                    statement.push('\n');
                    statement.push_str(more);
                }
                continue;
            }
            let said = line.strip_prefix(&prefix);
            let statement = said.filter(|said| said.starts_with("statement: ") || said.starts_with("execute "));
            within = statement.is_some();
            statements.extend(statement.map(str::to_owned));
        }
        statements
    }
}

/// Made on a thread and a runtime of its own, because it must not be made inside that of the test that comes first.
/// It is never dropped: the server sees the end of this process.
fn shared() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let start = || tokio::runtime::Runtime::new().unwrap().block_on(TestServer::start());
        std::thread::spawn(start).join().unwrap()
    })
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until the condition holds; fails after a while.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// The fourth field of `/proc/<id>/stat`; the second is a name in brackets, which may hold anything.
fn parent_of(id: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Leaves a process behind that deletes the folder when this one is gone, however it ended, and the server has stopped.
fn delete_when_we_end(folder: &Path) {
    let script = r#"
        read -r word
        tries=100
        while [ -e "$1/cluster/postmaster.pid" ] && [ $tries -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
        rm -rf "$1"
    "#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Neither waited for nor dropped: its standard input stays open until this process ends.
    std::mem::forget(command.spawn().unwrap());
}
