//! A whole node in this process: real database, real sockets, a folder of its own, a clock that the test sets.

use crate::binary::{self, Said};
use crate::clock::TestClock;
use crate::database::TestDb;
use node::app::{self, Addresses, DataFolder, RunningNode};
use node::config::Config;
use node::profile::Profile;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a condition may take to come true before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that runs.
pub struct TestNode {
    /// Its database.
    pub db: TestDb,
    /// Its clock.
    pub clock: TestClock,
    /// Where it listens.
    pub addresses: Addresses,
    /// Holds `data`, `store`, and whatever a test puts there.
    pub folder: TempDir,
    node: Option<RunningNode>,
}

/// The name of every test node's pool.
pub const POOL: &str = "pool01.demo.local";

/// The administrator's token of every test node.
pub const TOKEN: &str = "ucu_test";

/// A configuration that tests add to: every listener on a port of its own, no polling that a test would have to wait for.
pub fn configuration(db: &TestDb, folder: &Path) -> toml::Table {
    let text = format!(
        r#"
        node = {{ name = "node1", data_folder = "{data}" }}
        database = {{ url = "{url}", poll_interval_ms = 3600000 }}
        store = {{ folder = "{store}" }}
        [pool]
        fqdn = "{POOL}"
        site = "Redmond"
        internal_files_url = "http://ocs.demo.local/DeviceUpdateFiles_Int"
        external_files_url = "https://ext.demo.local/DeviceUpdateFiles_Ext"
        [listeners]
        internal_http = {{ addresses = ["127.0.0.1:0", "[::1]:0"] }}
        internal_https = {{ addresses = ["127.0.0.1:0", "[::1]:0"] }}
        external_https = {{ addresses = ["127.0.0.1:0"] }}
        management_https = {{ addresses = ["127.0.0.1:0"] }}
        "#,
        data = folder.join("data").display(),
        store = folder.join("store").display(),
        url = db.url(),
    );
    text.parse().unwrap()
}

impl TestNode {
    /// A node as most tests need it.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A node whose configuration was changed first.
    pub async fn start_with(change: impl FnOnce(&mut toml::Table)) -> Self {
        // Built now, because that blocks the runtime: the node's connections would run into their limits.
        binary::path();
        let db = TestDb::new().await;
        let folder = tempfile::tempdir().unwrap();
        let mut table = configuration(&db, folder.path());
        change(&mut table);
        let config = Config::parse(&table.to_string()).unwrap();
        let digest = schema::package::Digest::new(Sha256::digest(TOKEN.as_bytes()).into());
        db.database().create_token("tester", "tester", &digest, None, "tester").await.unwrap();
        let clock = TestClock::at("2026-01-05T12:00:00Z");
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let data = DataFolder::take(&config.node.data_folder).unwrap();
        let node = app::start(&config, data, Arc::new(clock.clone())).await.unwrap();
        let test_node = Self { db, clock, addresses: node.addresses.clone(), folder, node: Some(node) };
        test_node.profile().save(&test_node.profile_path()).unwrap();
        test_node
    }

    /// What a second start on this node's database says, whose configuration was changed first.
    pub async fn refused_start(&self, change: impl FnOnce(&mut toml::Table)) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let mut table = configuration(&self.db, folder.path());
        set(&mut table, "node.name", "node2");
        change(&mut table);
        let config = Config::parse(&table.to_string()).unwrap();
        let data = DataFolder::take(&config.node.data_folder).unwrap();
        let started = app::start(&config, data, Arc::new(self.clock.clone())).await;
        started.map(|_| ()).unwrap_err().to_string()
    }

    /// Stops the node, as a SIGTERM would.
    pub async fn stop(&mut self) {
        self.node.take().unwrap().stop().await;
    }

    /// Looks at the certificates now, as a SIGHUP would.
    pub fn look_at_certificates(&self) {
        self.node.as_ref().unwrap().reload_certificates();
    }

    /// The API's address.
    pub fn management(&self) -> SocketAddr {
        self.addresses.management_https[0]
    }

    /// The authority that signed the node's certificates.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("data/tls/ca.pem")
    }

    fn profile(&self) -> Profile {
        Profile {
            server: format!("https://localhost:{}", self.management().port()),
            token: TOKEN.to_owned(),
            ca_file: Some(self.ca_file()),
        }
    }

    /// The profile of an administrator of this node.
    pub fn profile_path(&self) -> PathBuf {
        self.folder.path().join("profile.toml")
    }

    /// Runs the real command line against this node.
    pub async fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = tokio::process::Command::new(binary::path());
        command.args(arguments).env("UCUPDATES_PROFILE", self.profile_path()).current_dir(self.folder.path());
        command.output().await.unwrap().into()
    }

    /// Writes a file into the node's folder and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The lines of the audit log on local disk, without the headers, in the order they were written; waits until
    /// there are as many as expected.
    pub async fn audit_lines(&self, expected: usize) -> Vec<String> {
        let spool = self.folder.path().join("data/spool/audit");
        let lines = || {
            let files = node::audit_log::spooled_files(&spool).unwrap();
            let texts = files.iter().map(|file| String::from_utf8(file.read_whole_lines().unwrap()).unwrap());
            let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
            lines.filter(|line| !line.starts_with("Logging DateTime,")).collect::<Vec<_>>()
        };
        until(|| lines().len() >= expected).await;
        lines()
    }
}

/// Waits until the condition is true; the test fails when it is not in time.
pub async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "what was waited for did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sets a value of a configuration by its path, such as `listeners.internal_http.proxy_from`.
pub fn set(config: &mut toml::Table, path: &str, value: impl Into<toml::Value>) {
    let (folders, name) = path.rsplit_once('.').unwrap();
    let section = folders.split('.').fold(config, |table, name| {
        table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut().unwrap()
    });
    section.insert(name.to_owned(), value.into());
}
