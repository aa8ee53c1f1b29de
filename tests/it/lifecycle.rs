//! The real program as a service: it is told to stop while phones download, its certificates are renewed while it runs,
//! and systemd is told how it stands.

use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::binary;
use tests::database::{TestDb, wait_until};
use tests::gcab;
use tests::node::{TOKEN, configuration, set};
use tests::phone::Phone;
use tests::s3::S3Server;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

/// More than what the kernel takes for a client that does not read.
const IMAGE_BYTES: usize = 12_000_000;

const FILE: &str = "/DeviceUpdateFiles_Int/UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt";

/// A node of Enterprise Edition as a process, with one image in its store.
struct Service {
    process: Child,
    log: tokio::task::JoinHandle<String>,
    http: SocketAddr,
    management: SocketAddr,
    notified: UnixDatagram,
    folder: TempDir,
    image: Vec<u8>,
    _db: TestDb,
}

/// The first address of a listener, of the line that tells them.
fn address(line: &str, listener: &str) -> SocketAddr {
    let (_, rest) = line.split_once(&format!("{listener}: [")).unwrap_or_else(|| panic!("{listener} in {line}"));
    rest.split([',', ']']).next().unwrap().parse().unwrap()
}

impl Service {
    async fn start(change: impl FnOnce(&Path, &mut toml::Table)) -> Self {
        binary::path();
        let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
        let path = folder.path();
        let mut config = configuration(&db, path);
        set(&mut config, "log.format", "json");
        change(path, &mut config);
        std::fs::create_dir(path.join("store")).unwrap();
        std::fs::write(path.join("config.toml"), config.to_string()).unwrap();
        let digest = schema::package::Digest::new(Sha256::digest(TOKEN.as_bytes()).into());
        db.database().create_token("tester", "tester", &digest, None, "tester").await.unwrap();
        let notified = UnixDatagram::bind(path.join("notify")).unwrap();
        notified.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = Command::new(binary::path());
        command.args(["serve", "--config", "config.toml"]).current_dir(path).env("NOTIFY_SOCKET", path.join("notify"));
        // Often enough to be seen, and so seldom that nobody has to read it.
        command.env("WATCHDOG_USEC", "30000000").kill_on_drop(true);
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let serving = loop {
            let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("it did not start: {told}"));
            if line.contains("the node serves") {
                break line;
            }
            told += &line;
        };
        let log = tokio::spawn(async move {
            let mut log = told;
            while let Ok(Some(line)) = lines.next_line().await {
                log += &line;
                log.push('\n');
            }
            log
        });
        let (http, management) = (address(&serving, "internal_http"), address(&serving, "management_https"));
        let mut service = Self { process, log, http, management, notified, folder, image: Vec::new(), _db: db };
        service.image = service.publish().await;
        service
    }

    /// Imports and approves an image.
    async fn publish(&self) -> Vec<u8> {
        let image = gcab::image(1, IMAGE_BYTES);
        let path = FILE.strip_prefix("/DeviceUpdateFiles_Int/").unwrap();
        gcab::package(self.folder.path(), "one.cab", "2008-12-16 04:43:58", &[(path, &image)]);
        self.cli("import one.cab").await;
        self.cli("rule approve --all").await;
        image
    }

    async fn cli(&self, line: &str) {
        let mut command = Command::new(binary::path());
        let server = format!("https://localhost:{}", self.management.port());
        command.args(line.split(' ')).args(["--server", &server, "--token", TOKEN, "--ca-file"]).arg(self.authority());
        let output = command.current_dir(&self.folder).output().await.unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }

    /// What the management listener's certificate is verified with.
    fn authority(&self) -> std::path::PathBuf {
        let own = self.folder.path().join("own.pem");
        if own.exists() { own } else { self.folder.path().join("data/tls/ca.pem") }
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    fn terminate(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Waits until systemd is told this.
    async fn told(&self, state: &str) {
        let (notified, state) = (self.notified.try_clone().unwrap(), state.to_owned());
        let wait = move || {
            let mut bytes = [0; 4096];
            loop {
                let count = notified.recv(&mut bytes).unwrap();
                if std::str::from_utf8(&bytes[..count]).unwrap().lines().any(|line| line == state) {
                    return;
                }
            }
        };
        tokio::task::spawn_blocking(wait).await.unwrap();
    }

    /// The exit code and the log.
    async fn ended(mut self) -> (Option<i32>, String, TempDir) {
        let status = tokio::time::timeout(Duration::from_secs(60), self.process.wait()).await.unwrap().unwrap();
        (status.code(), self.log.await.unwrap(), self.folder)
    }

    /// A download whose client has read its first bytes, and goes on when the test wants.
    async fn slow_download(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8192).unwrap();
        let mut stream = socket.connect(self.http).await.unwrap();
        stream.write_all(format!("GET {FILE} HTTP/1.1\r\nHost: node1\r\n\r\n").as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        stream
    }

    async fn ready(&self) -> String {
        let url = format!("https://localhost:{}/ready", self.management.port());
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "20", "-w", "%{http_code}", &url, "--cacert"]).arg(self.authority());
        String::from_utf8(curl.output().await.unwrap().stdout).unwrap()
    }

    /// The serial number of the certificate that is served now.
    async fn serial(&self) -> String {
        let connect = format!("localhost:{}", self.management.port());
        let script =
            format!("openssl s_client -connect {connect} </dev/null 2>/dev/null | openssl x509 -noout -serial");
        let output = Command::new("sh").args(["-c", &script]).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

fn check_request() -> &'static str {
    "<Request><DeviceType>UCPhone</DeviceType><Vendor>Polycom</Vendor><Model>CX600</Model><Revision>A</Revision>\
     <Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName><Version>4.0.7577.4066</Version></Module></Request>"
}

/// Everything of the audit log that is in the store.
fn stored_audit(folder: &Path) -> String {
    let folder = folder.join("store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    files.collect()
}

#[tokio::test]
async fn a_node_told_to_stop_finishes_downloads_and_ships_its_audit_lines() {
    let service = Service::start(|_, _| {}).await;
    service.told("READY=1").await;
    service.told("WATCHDOG=1").await;
    let mut idle = TcpStream::connect(service.http).await.unwrap();
    idle.write_all(b"HEAD / HTTP/1.1\r\nHost: node1\r\n\r\n").await.unwrap();
    let mut answer = [0; 8];
    idle.read_exact(&mut answer).await.unwrap();
    let answered = Phone::new(service.http).post("/RequestHandler/ucdevice.upx", check_request()).await.unwrap();
    assert!(answered.text().contains("<NumOfFiles>1</NumOfFiles>"), "{answered:?}");
    let mut download = service.slow_download().await;

    service.terminate();
    service.told("STOPPING=1").await;
    let began = Instant::now();
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "an idle connection is closed at once");
    wait_until("a new connection is refused", async || TcpStream::connect(service.http).await.is_err()).await;
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&service.image) && rest.len() < service.image.len() + 2000, "{} bytes came", rest.len());
    let (code, log, folder) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("did not finish"), "{log}");
    assert!(stored_audit(folder.path()).contains("cpe.nbt;4.0.7577.4066"), "the last line is in the store");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let service = Service::start(|_, config| set(config, "connections.drain_timeout_ms", 300)).await;
    let mut downloads = [service.slow_download().await, service.slow_download().await];
    service.terminate();
    let image_bytes = service.image.len();
    let (code, log, _) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let told = log.lines().find(|line| line.contains("closing connections that did not finish"));
    assert!(told.is_some_and(|line| line.contains("\"connections\":2")), "{log}");
    let mut rest = Vec::new();
    let _ = downloads[0].read_to_end(&mut rest).await;
    assert!(rest.len() < image_bytes, "{} bytes came", rest.len());
}

#[tokio::test]
async fn while_it_drains_ready_says_so_and_a_second_signal_ends_at_once() {
    let service = Service::start(|_, config| set(config, "connections.drain_notice_ms", 60_000)).await;
    let ready = service.ready().await;
    assert!(ready.starts_with("ready\n") && ready.ends_with("\n200"), "{ready}");
    service.terminate();
    service.told("STOPPING=1").await;
    wait_until("/ready says so", async || service.ready().await == "draining: the node was told to stop\n503").await;
    let answered = Phone::new(service.http).post("/RequestHandler/ucdevice.upx", check_request()).await.unwrap();
    assert_eq!(answered.status, 200, "phones are served until the balancer has noticed");
    service.terminate();
    let (code, log, _) = service.ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stopped at once, as the second signal asked"), "{log}");
}

/// Makes a certificate of one's own, in place of the one before it.
fn renew(folder: &Path, certificate: &str, key: &str) {
    let extensions = "[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\nsubjectAltName = DNS:localhost\n\
                      basicConstraints = critical, CA:FALSE\n";
    std::fs::write(folder.join("openssl.cnf"), extensions).unwrap();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "9", "-config", "openssl.cnf"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", certificate, "-keyout", key]);
    let made = openssl.current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test]
async fn renewed_certificates_are_served_without_a_restart_and_bad_ones_are_not() {
    let service = Service::start(|folder, config| {
        renew(folder, "own.pem", "own.key");
        set(config, "tls.ecdsa_certificate_file", folder.join("own.pem").display().to_string());
        set(config, "tls.ecdsa_key_file", folder.join("own.key").display().to_string());
    })
    .await;
    let folder = service.folder.path().to_owned();
    let mut download = service.slow_download().await;
    let first = service.serial().await;
    assert!(first.starts_with("serial="), "{first}");

    // A certificate without its key: half of a renewal.
    renew(&folder, "own.pem", "other.key");
    service.signal(nix::sys::signal::Signal::SIGHUP);
    assert_eq!(service.serial().await, first);
    std::fs::rename(folder.join("other.key"), folder.join("own.key")).unwrap();
    service.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the new certificate is served", async || service.serial().await != first).await;
    let second = service.serial().await;

    // Without a signal: files are looked at.
    renew(&folder, "own.pem", "own.key");
    let deadline = Instant::now() + Duration::from_secs(60);
    while service.serial().await == second {
        assert!(Instant::now() < deadline, "the third certificate is not served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), async {
        while rest.len() < service.image.len() || !rest.ends_with(&service.image) {
            let mut chunk = vec![0; 1 << 16];
            let count = download.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the download was cut after {} bytes", rest.len());
            rest.extend_from_slice(&chunk[..count]);
        }
    })
    .await
    .expect("the download goes on");
    service.terminate();
    let (code, log, _) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("is not the key of the first certificate"), "{log}");
    assert_eq!(log.matches("a new certificate is served").count(), 2, "{log}");
}

/// A bucket's server that takes a file and never says that it has it.
#[tokio::test]
async fn a_shipment_to_a_store_that_hangs_does_not_keep_a_node_from_stopping() {
    let store = S3Server::start().await;
    let service = Service::start(|_, config| store.configure(config)).await;
    store.faults.holds_files.store(true, Ordering::SeqCst);
    Phone::new(service.http).post("/RequestHandler/ucdevice.upx", check_request()).await.unwrap();
    let spool = service.folder.path().join("data/spool/audit");
    wait_until("the line is on disk", async || !node::audit_log::spooled_files(&spool).unwrap().is_empty()).await;
    service.terminate();
    let began = Instant::now();
    let (code, log, folder) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(log.contains("audit files wait on the local disk") && log.contains("no answer within"), "{log}");
    let kept = node::audit_log::spooled_files(&folder.path().join("data/spool/audit")).unwrap();
    assert!(kept.iter().any(|file| std::fs::read_to_string(&file.path).unwrap().contains("Polycom")), "{kept:?}");
}
