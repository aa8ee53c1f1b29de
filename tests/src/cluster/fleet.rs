//! Simulated phones against a cluster: the real `ucupdates phone`, by the published ports.

use super::Cluster;
use crate::binary::{self, Said};
use crate::simulated::PhoneRun;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Phones that ask and download all the time.
pub struct Fleet {
    running: JoinHandle<Said>,
}

impl Fleet {
    /// Lets two hundred phones live for so long, each comparing every answer with the model. They boot one after the other
    /// all the time, so that somebody always downloads, and those that have booted ask every two seconds.
    pub async fn start(cluster: &Cluster, duration: Duration, attempts: u16) -> Self {
        let mut command = Command::new(binary::path());
        command.args(["phone", "--json", "--count", "200", "--install-delay", "500ms"]);
        let boot_within = format!("{}s", duration.as_secs().saturating_sub(4));
        command.args(["--boot-within", &boot_within]);
        command.args(["--day", "2s", "--speed", "1", "--timeout", "10s", "--attempts", &attempts.to_string()]);
        command.args(["--url", "https://localhost:8443/RequestHandler/ucdevice.upx"]);
        command.arg("--duration").arg(format!("{}s", duration.as_secs()));
        command.arg("--model").arg(cluster.folder.path().join("model.json")).arg("--ca-file").arg(cluster.authority());
        for (name, port) in [("localhost:8443", 443), ("localhost:8080", 80)] {
            command.arg("--connect-to").arg(format!("{name}:{}", cluster.published(port).await));
        }
        command.env_clear().env("UCUPDATES_PROFILE", "/nonexistent").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { running: tokio::spawn(async move { child.wait_with_output().await.unwrap().into() }) }
    }

    /// Waits for the end of their time: nothing was given up, and no answer was wrong.
    pub async fn flawless(self) -> PhoneRun {
        PhoneRun::from(self.running.await.unwrap()).flawless()
    }
}
