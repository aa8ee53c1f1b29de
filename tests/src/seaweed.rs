//! SeaweedFS: a real S3 server, a process of its own on loopback. `tests/run.sh` unpacks it into the target folder.

use crate::s3::BUCKET;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use sync::blobs::BucketSettings;
use tempfile::TempDir;

/// How long it may take to serve.
const PATIENCE: Duration = Duration::from_secs(120);

const IDENTITIES: &str = r#"{"identities":[{"name":"tests","credentials":[{"accessKey":"key","secretKey":"secret"}],
    "actions":["Admin","Read","Write","List","Tagging"]}]}"#;

/// A server; it ends when it is dropped.
pub struct SeaweedFs {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

/// The program; none where `tests/run.sh` did not bring it.
fn program() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/seaweedfs/weed");
    path.exists().then_some(path)
}

impl SeaweedFs {
    /// Starts one and waits until it serves; none where there is no program, which is a failure in CI.
    pub async fn start() -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "SeaweedFS is missing: tests/run.sh unpacks it");
            eprintln!("did not run: SeaweedFS is missing, tests/run.sh unpacks it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("identities.json"), IDENTITIES).unwrap();
        std::fs::write(folder.path().join("credentials"), "AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n")
            .unwrap();
        // All are held until all are known, so that they differ.
        let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(held);
        let names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"];
        let names = names.into_iter().chain(["filer.port", "filer.port.grpc", "s3.port.grpc", "s3.port"]);
        let mut command = Command::new(program);
        // Nothing leaves this machine: no telemetry, no port but these.
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-filer", "-s3"]);
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=40"]);
        command.args(names.zip(&ports).map(|(name, port)| format!("-{name}={port}")));
        command.arg("-dir=.").arg("-s3.config=identities.json").current_dir(folder.path());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let server = Self { folder, child, address: SocketAddr::from(([127, 0, 0, 1], ports[7])) };
        server.wait().await;
        Some(server)
    }

    async fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/", self.address);
        // Anonymous requests are refused: by a server that serves.
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status() == 403) {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "SeaweedFS does not serve:\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How it is reached. It makes a bucket when the first file is put into it.
    pub fn settings(&self) -> BucketSettings {
        BucketSettings {
            endpoint: Some(format!("http://{}", self.address)),
            credentials_file: Some(self.folder.path().join("credentials")),
            allow_http: true,
            ..BucketSettings::default()
        }
    }

    /// Makes it the store of a configuration.
    pub fn configure(&self, config: &mut toml::Table) {
        crate::s3::configure(config, self.address, &self.folder.path().join("credentials"));
    }

    /// The address of its bucket below a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
