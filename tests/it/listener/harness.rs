//! A running listener with a hand-made snapshot and replica, and other people's clients.

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::Extension;
use ipnet::IpNet;
use node::downloads::{DownloadLimits, Downloads};
use node::listen::{Admission, AdmissionLimits, Listener, ListenerLimits, ListenerSettings};
use node::metrics::{ListenerKind, Metrics};
use node::phone_auth::{PhoneAuth, PhoneAuthLimits, hash_password};
use node::plane::{PhoneAddress, PhonePlane, Side, Snapshot};
use node::router::{phone_router, refuse_head};
use node::tls::private::AUTHORITY_FILE;
use node::tls::{CertificateNames, ServedCertificates, Tickets, private_certificates, server_config};
use node::update::CheckLimits;
use node::wire::dialect::Dialect;
use schema::device::Name;
use schema::package::{Digest, FileRole, StorePath, Update, UpdateFile, UpdateTarget};
use schema::rule_set::{RuleSet, RuleSetParts, Servable, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::{NodeName, Pool, PoolFqdn, PoolUrls, ServiceId, SiteName};
use schema::version::FirmwareVersion;
use sha2::Digest as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use sync::clock::{Clock, SystemClock};
use sync::read_through::ReadThrough;
use sync::replica::Replica;
use tempfile::TempDir;
use tests::phone::{DEADLINE, Phone};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub const HANDLER: &str = "/RequestHandler/ucdevice.upx";
pub const FILE: &str = "/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt";
pub const ACCOUNT: (&str, &str) = ("phones@contoso.com", "correct horse");

/// A listener that runs until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    pub folder: TempDir,
    /// What `CPE.nbt` holds.
    pub content: Vec<u8>,
    pub metrics: Arc<Metrics>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a listener is started with.
pub struct Start {
    pub address: SocketAddr,
    pub proxy_from: Vec<IpNet>,
    pub limits: ListenerLimits,
    pub admission: AdmissionLimits,
    pub downloads: DownloadLimits,
    pub large_checks: usize,
    pub request_timeout: Duration,
    pub side: Side,
    pub size_bytes: usize,
    pub auth: PhoneAuthLimits,
    /// Speaks TLS with certificates made for it.
    pub tls: bool,
    /// Answers every request with the phone's address instead.
    pub echo: bool,
    /// Whether the node knows that it holds the file.
    pub held: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0".parse().unwrap(),
            proxy_from: vec![],
            limits: ListenerLimits::default(),
            admission: AdmissionLimits::default(),
            downloads: DownloadLimits::default(),
            large_checks: 256,
            request_timeout: Duration::from_secs(30),
            side: Side::Inside,
            size_bytes: 200_001,
            auth: PhoneAuthLimits::default(),
            tls: false,
            echo: false,
            held: true,
        }
    }
}

impl Start {
    pub fn limits(change: impl FnOnce(&mut ListenerLimits)) -> Self {
        let mut start = Self::default();
        change(&mut start.limits);
        start
    }

    pub fn at(address: &str) -> Self {
        Self { address: address.parse().unwrap(), ..Self::default() }
    }

    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    pub fn run(self) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let tls = self.tls.then(|| {
            let names = CertificateNames::of_pool(&PoolFqdn::parse("pool01.contoso.com").unwrap(), [], []);
            let certificates = private_certificates(&folder.path().join("tls"), &names, SystemClock.now()).unwrap();
            server_config(ServedCertificates::new(certificates), Tickets::new().unwrap()).unwrap()
        });
        let metrics = Arc::new(Metrics::new());
        let content: Vec<u8> = (0..self.size_bytes).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
        let router = if self.echo { echo() } else { self.router(&folder, &content, &metrics) };
        let settings = ListenerSettings {
            address: self.address,
            tls,
            proxy_from: self.proxy_from,
            limits: self.limits,
            admission: Admission::new(self.admission),
            refuse: refuse_head,
            counts: metrics.listeners.of(ListenerKind::InternalHttp),
            access: None,
        };
        let listener = Listener::bind(settings).unwrap();
        let (address, stop) = (listener.local_address(), CancellationToken::new());
        let serving = tokio::spawn(listener.serve(router, stop.clone()));
        Running { address, stop, serving, folder, content, metrics }
    }

    fn router(&self, folder: &TempDir, content: &[u8], metrics: &Arc<Metrics>) -> Router {
        let replica = Replica::open(&folder.path().join("replica")).unwrap();
        if self.held {
            let path = replica.path(&digest(content));
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
            replica.look().unwrap();
        }
        std::fs::write(folder.path().join("secret"), "not for phones").unwrap();
        let node = NodeName::parse("node1").unwrap();
        let (audit_log, _) = node::audit_log::open(&folder.path().join("audit"), node, Default::default()).unwrap();
        let plane = PhonePlane {
            snapshot: ArcSwapOption::from_pointee(snapshot(content, replica.servable())),
            replica: Arc::new(replica),
            read_through: ReadThrough::unanswered(),
            dialect: Dialect::default(),
            capture: None,
            audit_log,
            phone_auth: PhoneAuth::new(self.auth.clone()),
            downloads: Downloads::new(&self.downloads, Arc::clone(metrics)),
            checks: CheckLimits::new(self.large_checks),
            metrics: Arc::clone(metrics),
            clock: Arc::new(SystemClock),
        };
        phone_router(Arc::new(plane), self.side, self.request_timeout)
    }
}

fn echo() -> Router {
    Router::new()
        .fallback(|Extension(PhoneAddress(address)): Extension<PhoneAddress>| async move { address.to_string() })
}

fn digest(content: &[u8]) -> Digest {
    Digest::new(sha2::Sha256::digest(content).into())
}

fn snapshot(content: &[u8], servable: Arc<Servable>) -> Snapshot {
    let name = |text| Name::parse(text).unwrap();
    let file = UpdateFile {
        name: name("CPE.nbt"),
        role: FileRole::Image,
        digest: digest(content),
        size_bytes: content.len() as u64,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap(),
    };
    let target = UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
    let update = Update::new(target, FirmwareVersion::new(1, 0, 522, 103), vec![file]).unwrap();
    let pool = Pool {
        fqdn: PoolFqdn::parse("pool01.contoso.com").unwrap(),
        site: SiteName::parse("Redmond").unwrap(),
        service_id: ServiceId::parse("1-WebServices-1").unwrap(),
        urls: PoolUrls::default(),
    };
    let rules = RuleSet::new(RuleSetParts {
        mark: StoreMark { generation: 1, ..StoreMark::NOTHING },
        pool,
        rules: vec![],
        updates: vec![update],
        stepping_stones: vec![],
        test_devices: vec![],
        configuration: DeviceUpdateConfiguration::default(),
        accounts: vec![(ACCOUNT.0.to_owned(), hash_password(ACCOUNT.1).unwrap())],
    })
    .unwrap();
    Snapshot { rules: Arc::new(rules), servable }
}

impl Running {
    /// A phone that comes straight to the listener.
    pub fn phone(&self) -> Phone {
        Phone::new(self.address)
    }

    /// A phone that comes over TLS.
    pub fn tls_phone(&self) -> Phone {
        self.phone().over_tls(&self.authority(), "ucupdates-r2")
    }

    /// The private authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("tls").join(AUTHORITY_FILE)
    }

    /// What curl gets from the path: it must succeed.
    pub async fn curl(&self, scheme: &str, path: &str, options: &[&str]) -> Vec<u8> {
        let output = self.try_curl(scheme, path, options).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub async fn try_curl(&self, scheme: &str, path: &str, options: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]).args(options);
        if scheme == "https" {
            curl.arg("--cacert").arg(self.authority());
        }
        curl.arg(format!("{scheme}://{}{path}", self.address));
        run(curl).await
    }
}

/// Runs a program to its end, without input.
pub async fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    timeout(DEADLINE, command.output()).await.expect("in time").expect("the program is installed")
}
