//! The whole pool as an administrator starts it: the shipped `docker-compose.yml` on the Docker Engine of this machine, under
//! a project name and with images of its own. Phones reach it by the published ports on loopback. When the value is dropped,
//! everything of it is taken down, volumes and images included.

mod engine;
mod fleet;

pub use engine::{engine, is_there};
pub use fleet::Fleet;

use crate::binary::{self, Said};
use crate::gcab;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// The folder of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How long a change may take to reach every node: two poll periods (`poll_interval_ms` is 5000), and what it takes to look.
pub const CONVERGENCE: Duration = Duration::from_secs(12);

/// Where a cluster keeps its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A volume that all nodes share.
    Folder,
    /// A bucket of the S3 server that comes with the profile `s3`.
    S3,
}

/// One at a time: each needs the whole machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cluster that runs.
pub struct Cluster {
    project: String,
    store: Store,
    folder: TempDir,
    /// Words of the compose program.
    compose: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let [program, arguments @ ..] = &self.compose[..] else { return };
        let mut down = Blocking::new(program);
        down.args(arguments).args([
            "--profile",
            "s3",
            "--profile",
            "admin",
            "down",
            "--volumes",
            "--remove-orphans",
            "--timeout",
            "1",
        ]);
        down.current_dir(ROOT).envs(environment(&self.project, self.store)).stdout(Stdio::null()).stderr(Stdio::null());
        // What is left is named after the project; a test that failed is told of first.
        let _ = down.status();
        let _ = Blocking::new("docker").args(["image", "rm", &self.project, &toolchain(&self.project)]).output();
        // The image's first stage, which has no name.
        let stage = ["image", "prune", "--force", "--filter", "label=ucupdates.stand-in=yes"];
        let _ = Blocking::new("docker").args(stage).output();
    }
}

fn toolchain(project: &str) -> String {
    format!("{project}-toolchain")
}

/// Variables of the published ports: any that is free.
const PORTS: [&str; 5] = [
    "UCUPDATES_HTTP_PORT",
    "UCUPDATES_HTTPS_PORT",
    "UCUPDATES_EXTERNAL_PORT",
    "UCUPDATES_LEGACY_HTTP_PORT",
    "UCUPDATES_LEGACY_PORT",
];

/// What the shipped file is told: names of the cluster's own, and ports.
fn environment(project: &str, store: Store) -> Vec<(&'static str, String)> {
    let store = if store == Store::S3 { "s3" } else { "folder" };
    let names = [
        ("UCUPDATES_IMAGE", project.to_owned()),
        ("UCUPDATES_RUST_IMAGE", toolchain(project)),
        ("UCUPDATES_STORE", store.to_owned()),
    ];
    names.into_iter().chain(PORTS.map(|name| (name, "0".to_owned()))).collect()
}

impl Cluster {
    /// Builds and starts it, and waits until the balancer has all three nodes.
    pub async fn up(store: Store) -> Self {
        let turn = TURN.lock().await;
        let project = format!("uctest{}", std::process::id());
        let program = binary::path();
        let mut stand_ins = Command::new(format!("{ROOT}/deploy/stand-ins/build.sh"));
        stand_ins.arg("--program").arg(program).args(["--as", &toolchain(&project)]);
        let profile: &[&str] = if store == Store::S3 { &["--profile", "s3"] } else { &[] };
        if store == Store::S3 {
            stand_ins.arg("--s3");
        }
        said(stand_ins).await.ok();
        let mut compose = engine().unwrap();
        compose.extend(["-p".to_owned(), project.clone()]);
        let cluster = Self { project, store, folder: tempfile::tempdir().unwrap(), compose, _turn: turn };
        cluster.compose(&[profile, &["up", "-d"]].concat()).await.ok();
        cluster.wait_for_servers(3).await;
        let authority = cluster.compose(&["exec", "-T", "balancer", "cat", "/run/secrets/ucupdates/ca.pem"]).await.ok();
        std::fs::write(cluster.authority(), authority).unwrap();
        cluster
    }

    /// Runs the compose program with these arguments.
    pub async fn compose(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.compose[0]);
        command.args(&self.compose[1..]).args(arguments).current_dir(ROOT).envs(environment(&self.project, self.store));
        said(command).await
    }

    /// The administrators' command line, in a container of its own.
    pub async fn admin(&self, line: &str) -> Said {
        let words = ["run", "--rm", "-T", "admin"].into_iter().chain(line.split(' '));
        self.compose(&words.collect::<Vec<_>>()).await
    }

    /// Imports a package that holds one image for each model, and the interim build that old phones need first.
    pub async fn import(&self, models: &[&str], version: &str, size_bytes: usize) -> Said {
        let seed = version.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let images: Vec<_> = models
            .iter()
            .zip(seed..)
            .map(|(model, seed)| {
                (format!("UCPhone/Polycom/{model}/A/ENU/{version}/CPE/CPE.nbt"), gcab::image(seed, size_bytes))
            })
            .collect();
        let interim = gcab::image(3, size_bytes);
        let entries = images.iter().map(|(path, image)| (path.as_str(), image.as_slice()));
        let entries: Vec<_> = entries.chain([("OCInterim/ENU/CPE.nbt", interim.as_slice())]).collect();
        let name = format!("{version}.cab");
        gcab::package(self.folder.path(), &name, "2008-12-16 04:43:58", &entries);
        open(self.folder.path());
        let volume = format!("{}:/work:ro", self.folder.path().display());
        self.compose(&["run", "--rm", "-T", "-v", &volume, "admin", "import", &format!("/work/{name}")]).await
    }

    /// Waits until every node has copies of so many files, whatever becomes of the store.
    pub async fn wait_for_copies(&self, count: usize) {
        let list = "find /var/lib/ucupdates/replica -type f -not -path '*/.incoming/*'";
        for node in self.containers("node").await {
            patiently(&format!("{node} has copies of {count} files"), Duration::from_secs(60), async || {
                docker(&["exec", &node, "sh", "-c", list]).await.out.lines().count() >= count
            })
            .await;
        }
    }

    /// Writes down what phones must be told now.
    pub async fn model(&self) -> PathBuf {
        let model = self.admin("phone model").await.ok();
        let path = self.folder.path().join("model.json");
        std::fs::write(&path, model).unwrap();
        path
    }

    /// The authority that signed all certificates.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Containers of a service, by name, whether they run or not.
    pub async fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let names =
            docker(&["ps", "--all", "--filter", &project, "--filter", &service, "--format", "{{.Names}}"]).await.ok();
        let mut names: Vec<_> = names.lines().map(str::to_owned).filter(|name| !name.contains("_run_")).collect();
        names.sort();
        names
    }

    /// The full name of one of its networks.
    pub fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// The published address of a port of the balancer.
    pub async fn published(&self, port: u16) -> String {
        self.compose(&["port", "balancer", &port.to_string()]).await.ok().trim().to_owned()
    }

    /// Servers that the balancer sends phones inside to over TLS: address and connections so far.
    pub async fn servers(&self) -> Vec<(String, u64)> {
        let ask = "exec 3<>/dev/tcp/127.0.0.1/8405; printf 'GET /;csv HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
        let page = self.compose(&["exec", "-T", "balancer", "bash", "-c", ask]).await.out;
        let rows = page.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() > 73 && row[0] == "nodes_internal_https" && row[1].starts_with("node"));
        let up = rows.filter(|row| row[17].starts_with("UP"));
        up.map(|row| (row[73].split(':').next().unwrap().to_owned(), row[7].parse().unwrap())).collect()
    }

    /// Waits until the balancer sends phones to so many nodes.
    pub async fn wait_for_servers(&self, count: usize) {
        patiently(&format!("the balancer has {count} nodes"), Duration::from_secs(90), async || {
            self.servers().await.len() == count
        })
        .await;
    }

    /// The node that has been given most connections.
    pub async fn favourite(&self) -> String {
        let (address, _) = self.servers().await.into_iter().max_by_key(|(_, connections)| *connections).unwrap();
        for node in self.containers("node").await {
            let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
            let known = docker(&["inspect", "--format", addresses, &node]).await.ok();
            if known.split_whitespace().any(|known| known == address) {
                return node;
            }
        }
        panic!("no node has the address {address}")
    }

    /// An administrator changes something: every node must know it in time. How long it took.
    pub async fn converges(&self, name: &str, serial: &str) -> Duration {
        self.admin(&format!("test-device new global/{name} --serial {serial}")).await.ok();
        let began = Instant::now();
        let generation = self.generations().await.into_iter().max().unwrap();
        patiently("every node has the newest rules", CONVERGENCE, async || {
            self.generations().await.iter().all(|known| *known >= generation)
        })
        .await;
        began.elapsed()
    }

    /// The generation of each node that runs, as it says itself.
    async fn generations(&self) -> Vec<u64> {
        let mut generations = Vec::new();
        for node in self.containers("node").await {
            let said = docker(&["exec", &node, "ucupdates", "ready"]).await;
            let generation = said.out.split_once("generation ").map(|(_, rest)| rest);
            let digits = generation.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
            generations.push(digits.and_then(|digits| digits.parse().ok()).unwrap_or_default());
        }
        generations
    }
}

/// Lets everybody read what a container of another user is to read.
fn open(folder: &Path) {
    let mut chmod = Blocking::new("chmod");
    assert!(chmod.args(["-R", "a+rX"]).arg(folder).status().unwrap().success());
}

/// Runs the Docker client with these arguments.
pub async fn docker(arguments: &[&str]) -> Said {
    let mut command = Command::new("docker");
    command.args(arguments);
    said(command).await
}

async fn said(mut command: Command) -> Said {
    command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap().into()
}

/// Waits until the condition holds, no longer than so.
pub async fn patiently(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
