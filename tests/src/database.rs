//! A real PostgreSQL for the tests: one server a test process, one database a test. The server dies with the process
//! and takes its folder along.

use node::postgres::PrivatePostgres;
use schema::store::{Database, DatabaseSettings};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::NoTls;

/// Durability is tested with servers of their own; here it would only cost time. Every statement is logged, so that
/// tests can count them.
const SETTINGS: [&str; 5] =
    ["fsync=off", "full_page_writes=off", "max_connections=400", "log_statement=all", "log_line_prefix=%d|"];

/// The database that every test's is a copy of.
const TEMPLATE: &str = "migrated";

/// A database of its own for one test, on the server that all tests share.
#[derive(Debug)]
pub struct TestDb {
    name: String,
}

struct Server {
    url: String,
    log: PathBuf,
}

impl TestDb {
    /// A database with the newest schema.
    pub async fn new() -> Self {
        Self::copy_of(TEMPLATE).await
    }

    /// A database with nothing in it.
    pub async fn empty() -> Self {
        Self::copy_of("template0").await
    }

    async fn copy_of(template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let url = server().url.clone();
        execute(&url, &format!("create database {name} template {template}")).await;
        Self { name }
    }

    /// How to connect, in libpq's words.
    pub fn url(&self) -> String {
        with_database(&server().url, &self.name)
    }

    /// The settings of the store for this database.
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings::new(self.url())
    }

    /// The store on this database.
    pub fn database(&self) -> Database {
        Database::new(&self.settings()).unwrap()
    }

    /// Runs SQL that no function of the store has, to break things.
    pub async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }

    /// Statements that were sent to this database so far.
    pub fn statement_count(&self) -> usize {
        let log = std::fs::read(&server().log).unwrap();
        let log = String::from_utf8_lossy(&log);
        let prefix = format!("{}|LOG:  ", self.name);
        let said = log.lines().filter_map(|line| line.strip_prefix(&prefix));
        said.filter(|text| text.starts_with("statement:") || text.starts_with("execute ")).count()
    }
}

fn with_database(url: &str, name: &str) -> String {
    url.replace("dbname=postgres", &format!("dbname={name}"))
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

/// The server of this process. It is started, and lives, on a thread of its own: the runtimes of tests come and go.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let folder = tempfile::Builder::new().prefix("ucupdates-test-").tempdir().unwrap().keep();
                // The server's own user must be able to pass through.
                std::fs::set_permissions(&folder, Permissions::from_mode(0o711)).unwrap();
                let postgres = PrivatePostgres::start_with(&folder.join("db"), &SETTINGS).await.unwrap();
                delete_when_we_end(&folder);
                let url = postgres.url();
                execute(&url, &format!("create database {TEMPLATE}")).await;
                let template = Database::new(&DatabaseSettings::new(with_database(&url, TEMPLATE))).unwrap();
                template.migrate().await.unwrap();
                drop(template);
                disconnect_all(&url).await;
                sender.send(Server { url, log: postgres.log_path() }).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the server starts")
    })
}

/// A template may have no connections.
async fn disconnect_all(url: &str) {
    let sql = format!("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{TEMPLATE}'");
    execute(url, &sql).await;
}

/// Leaves a process behind that deletes the folder when this one is gone and the server has stopped. It waits for the
/// end of its standard input, which is ours to close by ending, however that comes.
fn delete_when_we_end(folder: &std::path::Path) {
    let script = "read -r _; for _ in $(seq 100); do [ -e \"$1/db/data/postmaster.pid\" ] || break; sleep 0.1; done; rm -rf \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Neither waited for nor dropped: its standard input stays open until this process ends.
    std::mem::forget(command.spawn().unwrap());
}
