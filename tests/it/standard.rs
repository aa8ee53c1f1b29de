//! Standard Edition as a newcomer runs it: the real program, a process of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tests::binary::{self, Said};
use tests::database::wait_until;
use tests::gcab::{image, package};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The running program, and what it said when it was ready.
struct Standard {
    process: Child,
    welcome: String,
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary::path());
    command.env("UCUPDATES_PROFILE", folder.join("profile.toml")).current_dir(folder).kill_on_drop(true);
    command
}

/// A folder that the database's own user may pass through.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    folder
}

impl Standard {
    async fn start(folder: &Path) -> Self {
        let mut command = command(folder);
        command.args(["standard", "--data", "data", "--http-port", "0", "--https-port", "0"]);
        command.args(["--external-port", "0", "--management-port", "0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            welcome += &line;
            welcome.push('\n');
            if line.contains("Stop with Ctrl+C") {
                return Self { process, welcome };
            }
        }
        panic!("it ended before it was ready: {welcome}");
    }

    /// The first word of the line of the welcome that starts so.
    fn word(&self, label: &str) -> &str {
        let line = self.welcome.lines().find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("{label} in {}", self.welcome)).split_whitespace().next().unwrap()
    }

    async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
    }
}

async fn cli(folder: &Path, arguments: &[&str]) -> Said {
    command(folder).args(arguments).output().await.unwrap().into()
}

async fn curl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--fail-with-body"]).args(arguments).current_dir(folder).output();
    Said::from(output.await.unwrap()).ok()
}

#[tokio::test]
async fn a_database_that_dies_is_started_again() {
    let folder = folder();
    let folder = folder.path();
    let standard = Standard::start(folder).await;
    let file = folder.join("data/postgresql/cluster/postmaster.pid");
    let process = || -> Option<i32> { std::fs::read_to_string(&file).ok()?.lines().next()?.trim().parse().ok() };
    let first = process().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL).unwrap();
    let url = format!("{}?", standard.word("phones inside"));
    let body = "<Request><DeviceType>UCPhone</DeviceType></Request>";
    assert!(curl(folder, &[&url, "--data", body]).await.contains("<NumOfFiles>0</NumOfFiles>"), "a phone is answered");
    wait_until("another one runs", async || process().is_some_and(|process| process != first)).await;
    let new = ["test-device", "new", "global/desk", "--mac", "00-21-63-0F-20-7B"];
    wait_until("administrators are served", async || cli(folder, &new).await.code == 0).await;
    standard.stop().await;
}

#[tokio::test]
async fn a_newcomer_imports_approves_and_updates_a_phone() {
    let folder = folder();
    let folder = folder.path();
    let standard = Standard::start(folder).await;
    let store_folder = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";
    let [image_path, catalog_path] = ["CPE.nbt", "CPE.cat"].map(|name| format!("{store_folder}/{name}"));
    let [image, catalog] = [image(1, 60_000), image(2, 900)];
    package(folder, "UCUpdates.cab", "2015-01-02 03:04:06", &[(&image_path, &image), (&catalog_path, &catalog)]);
    cli(folder, &["import", "UCUpdates.cab"]).await.ok();
    cli(folder, &["rule", "approve", "--brand", "polycom"]).await.ok();
    let request = |version: &str| {
        format!(
            "<Request><DeviceType>UCPhone</DeviceType><Vendor>Polycom</Vendor><Model>CX600</Model><Revision>A</Revision>\
             <Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName><Version>{version}</Version></Module></Request>"
        )
    };
    let handler = standard.word("phones inside");
    let answer = curl(folder, &["--data-binary", &request("4.0.7577.4066"), handler]).await;
    let base = answer.split("<BaseURL>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let file = |name: &str| format!("{base}/{name}");
    for (name, bytes) in [("CPE.nbt", &image), ("cpe.cat", &catalog)] {
        curl(folder, &["-o", "downloaded", &file(name)]).await;
        assert_eq!(&std::fs::read(folder.join("downloaded")).unwrap(), bytes);
    }
    let again = curl(folder, &["--data-binary", &request("4.0.7577.4387"), handler]).await;
    assert!(again.contains("<NumOfFiles>0</NumOfFiles>"), "{again}");
    let secure = handler.replace("http:", "https:");
    let secure = secure.replace(handler.split(':').nth(2).unwrap().split('/').next().unwrap(), {
        let https = standard.welcome.lines().find(|line| line.trim().starts_with("https://")).unwrap();
        https.split(':').nth(2).unwrap().split('/').next().unwrap()
    });
    let authority = standard.word("authority").to_owned();
    let over_tls = curl(folder, &["--cacert", &authority, "--data-binary", &request("4.0.7577.4066"), &secure]).await;
    assert_eq!(over_tls, answer);
    standard.stop().await;
}

#[tokio::test]
async fn what_was_done_is_kept_over_a_stop_and_over_a_kill() {
    let folder = folder();
    let folder = folder.path();
    let mut standard = Standard::start(folder).await;
    cli(folder, &["test-device", "new", "global/first", "--serial", "S1"]).await.ok();
    // Like a power cut for the process; its database must not stay behind and block the next start.
    standard.process.start_kill().unwrap();
    standard.process.wait().await.unwrap();
    let standard = Standard::start(folder).await;
    cli(folder, &["test-device", "new", "global/second", "--serial", "S2"]).await.ok();
    standard.stop().await;
    let standard = Standard::start(folder).await;
    let devices = cli(folder, &["test-device", "list", "--json"]).await.ok();
    assert!(devices.contains("global/first") && devices.contains("global/second"), "{devices}");
    cli(folder, &["admin", "verify"]).await.ok();
    let tokens = cli(folder, &["token", "list", "--json"]).await.ok();
    assert_eq!(tokens.matches("\"name\"").count(), 1, "one token serves all starts: {tokens}");
    standard.stop().await;
}

#[tokio::test]
async fn a_start_gives_the_command_line_a_token_when_its_own_was_revoked() {
    let folder = folder();
    let folder = folder.path();
    let standard = Standard::start(folder).await;
    cli(folder, &["token", "revoke", "standard"]).await.ok();
    let refused = cli(folder, &["rule", "list"]).await;
    assert!(refused.err.contains("a start of `ucupdates standard` makes a new one"), "{refused:?}");
    standard.stop().await;
    let standard = Standard::start(folder).await;
    cli(folder, &["rule", "list"]).await.ok();
    standard.stop().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_data_folder_is_refused_by_name() {
    let folder = folder();
    let standard = Standard::start(folder.path()).await;
    let second = cli(folder.path(), &["standard", "--data", "data"]).await;
    assert_eq!(second.code, 1);
    let first = format!("another ucupdates (process {}) runs on the data folder", standard.process.id().unwrap());
    assert!(second.err.contains(&first), "{second:?}");
    standard.stop().await;
}
