//! A pool behind HAProxy, without Docker: real nodes and the shipped `deploy/haproxy/haproxy.cfg` as it is, told by its
//! environment where everything is. Addresses are loopback's; the nodes' name is known by a DNS server of the test.

use crate::binary::Said;
use crate::database::{TestDb, wait_until};
use crate::dns::DnsServer;
use crate::gcab;
use crate::node::{POOL, set};
use crate::phone::Phone;
use crate::program::{Program, Serving, admit, own_address};
use crate::simulated::PhoneRun;
use jiff::Timestamp;
use node::tls::private::AUTHORITY_FILE;
use node::tls::{CertificateNames, private_certificates};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The name of all nodes together.
const NODES: &str = "nodes.demo.local";

/// The shipped configuration.
pub const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/haproxy/haproxy.cfg");

/// Its backends.
const BACKENDS: [&str; 4] = ["nodes_internal_http", "nodes_internal_https", "nodes_external_https", "nodes_legacy"];

/// What a VIP is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vip {
    /// Phones inside, plain.
    InternalHttp,
    /// Phones inside, TLS ends in the node.
    InternalHttps,
    /// Phones outside, TLS ends in the node.
    ExternalHttps,
    /// Old phones, plain.
    LegacyHttp,
    /// Old phones, TLS ends in the balancer.
    LegacyHttps,
    /// The balancer's own page.
    Status,
}

impl Vip {
    /// Those that phones reach.
    pub const OF_PHONES: [Self; 5] =
        [Self::InternalHttp, Self::InternalHttps, Self::ExternalHttps, Self::LegacyHttp, Self::LegacyHttps];

    fn port(self) -> u16 {
        match self {
            Self::InternalHttp => 8080,
            Self::InternalHttps => 8443,
            Self::ExternalHttps => 4443,
            Self::LegacyHttp => 7080,
            Self::LegacyHttps => 7443,
            Self::Status => 8405,
        }
    }

    /// Whether its clients speak TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::InternalHttps | Self::ExternalHttps | Self::LegacyHttps)
    }
}

/// Nodes that share a database, a store and certificates, and the balancer before them.
pub struct BalancedPool {
    /// The nodes.
    pub nodes: Vec<Serving>,
    /// Who is balanced: all nodes at first.
    pub dns: DnsServer,
    /// Holds everything.
    pub folder: Arc<TempDir>,
    address: IpAddr,
    balancer: Option<Child>,
}

impl BalancedPool {
    /// A pool of so many nodes, whose configuration was changed first, with one approved image.
    pub async fn start(count: usize, change: impl Fn(&mut toml::Table)) -> Self {
        Self::start_on(&TestDb::new().await, count, |_, table| change(table)).await
    }

    /// The same on this database; the configuration of each node, numbered from 0, is changed on its own.
    pub async fn start_on(db: &TestDb, count: usize, change: impl Fn(usize, &mut toml::Table)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        admit(db).await;
        let address = own_address();
        let mut names = vec![address.to_string()];
        let programs: Vec<Program> = (1..=count)
            .map(|number| {
                Program::of_pool(db, &folder, &format!("node{number}"), |table| {
                    names.push(share(table, folder.path()));
                    change(number - 1, table);
                })
            })
            .collect();
        make_certificates(folder.path(), &names);
        let mut nodes = Vec::new();
        for program in programs {
            let own = program.path("data/tls");
            // Where the harness looks for what the node is trusted by.
            std::fs::create_dir_all(&own).unwrap();
            std::fs::copy(folder.path().join("tls").join(AUTHORITY_FILE), own.join(AUTHORITY_FILE)).unwrap();
            nodes.push(program.start().await);
        }
        publish(&nodes[0], folder.path()).await;
        let records: Vec<_> = nodes.iter().map(ipv4).collect();
        let dns = DnsServer::start(NODES, &records).await;
        let mut pool = Self { nodes, dns, folder, address, balancer: None };
        pool.balancer = Some(pool.haproxy(&["-db"]).spawn().unwrap());
        pool.wait_for_servers(count).await;
        pool
    }

    /// HAProxy with the shipped configuration and this pool's environment.
    pub fn haproxy(&self, arguments: &[&str]) -> Command {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("haproxy.log"));
        let mut command = Command::new("haproxy");
        command.args(arguments).arg("-f").arg(CONFIGURATION).kill_on_drop(true);
        command.env("UCUPDATES_NODES", NODES).env("UCUPDATES_DNS", self.dns.address().to_string());
        command.env("UCUPDATES_POOL", POOL).env("UCUPDATES_CA_FILE", self.authority());
        command.env("UCUPDATES_LEGACY_CERTIFICATE", self.folder.path().join("tls/legacy.pem"));
        for (name, vip) in [
            ("UCUPDATES_INTERNAL_HTTP", Vip::InternalHttp),
            ("UCUPDATES_INTERNAL_HTTPS", Vip::InternalHttps),
            ("UCUPDATES_EXTERNAL_HTTPS", Vip::ExternalHttps),
            ("UCUPDATES_LEGACY_HTTP", Vip::LegacyHttp),
            ("UCUPDATES_LEGACY_HTTPS", Vip::LegacyHttps),
            ("UCUPDATES_STATUS", Vip::Status),
        ] {
            command.env(name, self.vip(vip).to_string());
        }
        for (name, port) in [("HTTP", "8080"), ("HTTPS", "8443"), ("EXTERNAL", "4443"), ("MANAGEMENT", "9443")] {
            command.env(format!("UCUPDATES_NODE_{name}"), port);
        }
        let log = log.unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// The address of a VIP.
    pub fn vip(&self, vip: Vip) -> SocketAddr {
        SocketAddr::new(self.address, vip.port())
    }

    /// The authority that signed all certificates.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("tls").join(AUTHORITY_FILE)
    }

    /// A phone that knows a VIP.
    pub fn phone(&self, vip: Vip) -> Phone {
        let phone = Phone::new(self.vip(vip));
        if vip.is_tls() { phone.over_tls(&self.authority(), "ucupdates-r2") } else { phone }
    }

    /// Waits until the balancer sends phones to so many nodes on every VIP.
    pub async fn wait_for_servers(&mut self, count: usize) {
        let log = self.folder.path().join("haproxy.log");
        wait_until(&format!("the balancer knows {count} nodes"), async || {
            let ended = self.balancer.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "HAProxy ended: {}", std::fs::read_to_string(&log).unwrap());
            self.page("/;csv").await.is_some_and(|page| servers_up(&page) == [count; BACKENDS.len()])
        })
        .await;
    }

    /// A page of the balancer's own; none while it does not answer.
    pub async fn page(&self, path: &str) -> Option<String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}{path}", self.vip(Vip::Status))).send().await.ok()?;
        answer.text().await.ok()
    }

    /// Simulated phones: the real `ucupdates phone` with these arguments, led to the VIPs. They ask over TLS.
    pub fn phones(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::binary::path());
        command.args(["phone", "--json", "--url", "https://pool01.demo.local/RequestHandler/ucdevice.upx"]);
        command.args(arguments).arg("--model").arg(self.folder.path().join("model.json"));
        command.arg("--ca-file").arg(self.authority()).kill_on_drop(true);
        command.env_clear().env("UCUPDATES_PROFILE", "/nonexistent");
        for (name, vip) in [("pool01.demo.local:443", Vip::InternalHttps), ("ocs.demo.local:80", Vip::InternalHttp)] {
            command.arg("--connect-to").arg(format!("{name}:{}", self.vip(vip)));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Every line of the nodes' audit logs about this MAC address, as they are on disk.
    pub fn audit_lines(&self, mac: &str) -> Vec<String> {
        let lines = |node: &Serving| {
            let files = node::audit_log::spooled_files(&node.program.path("data/spool/audit")).unwrap_or_default();
            let texts = files.iter().map(|file| String::from_utf8(file.read_whole_lines().unwrap()).unwrap());
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(lines).filter(|line| line.contains(mac)).collect()
    }
}

/// One certificate for all nodes, as an administrator's configuration names it, and the legacy VIP's.
fn make_certificates(folder: &Path, addresses: &[String]) {
    let fqdn = schema::topology::PoolFqdn::parse(POOL).unwrap();
    let names = CertificateNames::of_pool(&fqdn, [], addresses.iter().map(String::as_str));
    let tls = folder.join("tls");
    private_certificates(&tls, &names, Timestamp::now()).unwrap();
    let read = |name: &str| std::fs::read_to_string(tls.join(name)).unwrap();
    std::fs::write(tls.join("legacy.pem"), read("rsa.pem") + &read("rsa.key")).unwrap();
}

/// Lets a node serve the pool's certificates on every listener, to phones that come by the balancer. Its address.
fn share(table: &mut toml::Table, folder: &Path) -> String {
    let address = table["tls"]["names"][0].as_str().unwrap().to_owned();
    for (setting, file) in [
        ("ecdsa_certificate_file", "ecdsa.pem"),
        ("ecdsa_key_file", "ecdsa.key"),
        ("rsa_certificate_file", "rsa.pem"),
        ("rsa_key_file", "rsa.key"),
    ] {
        set(table, &format!("tls.{setting}"), folder.join("tls").join(file).display().to_string());
    }
    for (listener, port) in [("internal_http", 8080), ("internal_https", 8443), ("external_https", 4443)] {
        set(table, &format!("listeners.{listener}.addresses"), vec![format!("{address}:{port}")]);
        set(table, &format!("listeners.{listener}.proxy_from"), vec!["127.0.0.1/32".to_owned()]);
    }
    set(table, "database.poll_interval_ms", 500);
    address
}

/// Imports and approves an image, and writes down what phones must be told.
async fn publish(node: &Serving, folder: &Path) {
    let image = gcab::image(1, 300_000);
    let path = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt";
    let package = gcab::package(folder, "one.cab", "2008-12-16 04:43:58", &[(path, &image)]);
    node.cli(&["import", &package.display().to_string()]).await.ok();
    node.cli(&["rule", "approve", "--all"]).await.ok();
    node.cli(&["phone", "model", "--output", &folder.join("model.json").display().to_string()]).await.ok();
}

/// A node's address.
pub fn ipv4(node: &Serving) -> Ipv4Addr {
    let IpAddr::V4(address) = node.management.ip() else { panic!("loopback's addresses are IPv4") };
    address
}

/// Of each backend, how many servers are up.
fn servers_up(page: &str) -> [usize; BACKENDS.len()] {
    let rows = page.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let up: Vec<_> =
        rows.filter(|row| row.len() > 17 && row[1].starts_with("node") && row[17].starts_with("UP")).collect();
    BACKENDS.map(|backend| up.iter().filter(|row| row[0] == backend).count())
}

/// What a run of simulated phones came to.
pub async fn ended(mut phones: Command) -> PhoneRun {
    Said::from(phones.output().await.unwrap()).into()
}
