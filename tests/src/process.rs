//! A node as a real process, on an address of its own, that a test kills and starts again. Its ports are fixed, so that a
//! node that was started again stands where it stood.

use crate::binary::{self, Said};
use crate::database::wait_until;
use crate::node::{POOL, TOKEN};
use crate::phone::{Answer, Phone};
use schema::package::Digest;
use schema::store::Database;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::process::{Child, Command};

/// A node that runs, or will.
pub struct NodeProcess {
    folder: PathBuf,
    address: IpAddr,
    child: Option<Child>,
}

/// An address of the loopback network that no other test of this process has, nor probably of another.
fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = u16::try_from(std::process::id() % 0xFFFF).unwrap().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, high | 0x40, low, NEXT.fetch_add(1, Ordering::Relaxed)))
}

impl NodeProcess {
    /// A node whose folder, with its name, is made below `folder`; it shares the store there with other nodes.
    pub fn new(folder: &Path, name: &str) -> Self {
        let (store, folder) = (folder.join("store"), folder.join(name));
        std::fs::create_dir_all(&store).unwrap();
        std::fs::create_dir(&folder).unwrap();
        Self { folder, address: own_address(), child: None }
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Writes the configuration of a node on this database, which looks at it so often.
    pub fn configure(&self, database_url: &str, poll_interval_ms: u64) {
        let (name, data) = (self.folder.file_name().unwrap().to_str().unwrap(), self.data());
        let text = format!(
            r#"
            node = {{ name = "{name}", data_folder = "{data}" }}
            database = {{ url = "{database_url}", poll_interval_ms = {poll_interval_ms} }}
            store = {{ folder = "{store}" }}
            tls = {{ names = ["{address}"] }}
            [pool]
            fqdn = "{POOL}"
            site = "Redmond"
            internal_files_url = "http://ocs.demo.local/DeviceUpdateFiles_Int"
            [listeners]
            internal_http = {{ addresses = ["{address}:8080"] }}
            internal_https = {{ addresses = [] }}
            external_https = {{ addresses = [] }}
            management_https = {{ addresses = ["{address}:9443"] }}
            "#,
            data = data.display(),
            store = self.folder.with_file_name("store").display(),
            address = self.address,
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The first line of the log with this text in it; waits for it, because a node's log is written by a thread of its
    /// own.
    pub async fn logged(&self, text: &str) -> String {
        let found = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        wait_until(&format!("{text:?} is in the log"), async || found().is_some()).await;
        found().unwrap()
    }

    /// Starts it, and returns when it answers whether it is ready.
    pub async fn start(&mut self) -> Answer {
        let log = File::create(self.folder.join("log")).unwrap();
        let mut command = Command::new(binary::path());
        command.arg("serve").arg("--config").arg(self.config()).kill_on_drop(true);
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let mut answer = None;
        crate::database::wait_until("the node answers", async || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the node ended: {}", self.log());
            answer = self.try_ready().await;
            answer.is_some()
        })
        .await;
        answer.unwrap()
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// What it says of itself.
    pub async fn ready(&self) -> Answer {
        self.try_ready().await.unwrap()
    }

    async fn try_ready(&self) -> Option<Answer> {
        if !self.ca_file().exists() {
            return None;
        }
        self.management().get("/ready").await.ok()
    }

    fn ca_file(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    fn management(&self) -> Phone {
        Phone::new(self.at(9443)).over_tls(&self.ca_file(), &self.address.to_string())
    }

    /// Asks the administrators' API.
    pub async fn api(&self, method: &str, route: &str, body: &[u8]) -> Answer {
        let (path, token) = (format!("/api/v1{route}"), format!("Bearer {TOKEN}"));
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        self.management().ask(method, &path, &headers, body).await.unwrap()
    }

    /// What Prometheus scrapes.
    pub async fn metrics(&self) -> String {
        self.management().get("/metrics").await.unwrap().text().to_owned()
    }

    /// A phone inside.
    pub fn phone(&self) -> Phone {
        Phone::new(self.at(8080))
    }

    /// Runs the command line against it.
    pub async fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(binary::path());
        command.args(arguments).env_clear();
        command.env("UCUPDATES_SERVER", format!("https://{}", self.at(9443)));
        command.env("UCUPDATES_TOKEN", TOKEN).env("UCUPDATES_CA_FILE", self.ca_file());
        command.output().await.unwrap().into()
    }
}

/// Lets the administrator of [`TOKEN`] in.
pub async fn admit(database: &Database) {
    let digest = Digest::new(Sha256::digest(TOKEN.as_bytes()).into());
    database.create_token("tester", "tester", &digest, None, "tester").await.unwrap();
}
