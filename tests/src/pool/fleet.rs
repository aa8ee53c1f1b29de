//! Simulated phones that ask and download all the time, through the balancer: the real `ucupdates phone`.

use crate::balancer::{BalancedPool, ended};
use crate::binary::Said;
use crate::simulated::PhoneRun;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

/// How many there are, unless a test says otherwise.
pub const PHONES: &str = "200";

/// What a phone does with a request that broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It gives up at once: there is nothing that could have broken it.
    None,
    /// It gives up at once too. It may be told of nothing for now, because a node knows a rule and has not its files yet.
    Withheld,
    /// It sends it once more, as real phones do. A connection that a killed process had is gone; no balancer can help that.
    Once,
}

/// Phones that live until they are told to stop.
pub struct ChaosFleet {
    child: Child,
}

impl ChaosFleet {
    /// They compare each answer with the model of the pool, read again when it changes; around a change of the rules both
    /// answers are right for `settle_s`. Every other day each is reset and downloads again.
    pub fn start(pool: &BalancedPool, patience: Patience, settle_s: u64) -> Self {
        let settle = format!("{settle_s}s");
        let attempts = match patience {
            Patience::None | Patience::Withheld => "1",
            Patience::Once => "2",
        };
        let withheld: &[&str] = if patience == Patience::Withheld { &["--allow-withheld"] } else { &[] };
        let words = [
            "--count",
            PHONES,
            "--boot-within",
            "4s",
            "--duration",
            "24h",
            "--day",
            "4s",
            "--reset-after-days",
            "2",
            "--install-delay",
            "500ms",
            "--speed",
            "1",
            "--timeout",
            "10s",
            "--attempts",
            attempts,
            "--settle",
            &settle,
        ];
        Self { child: pool.phones(&[&words, withheld].concat()).spawn().unwrap() }
    }

    /// Ctrl+C, and what it came to.
    pub async fn stop(self) -> PhoneRun {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        let said: Said = self.child.wait_with_output().await.unwrap().into();
        said.into()
    }
}

/// The same number of phones, each until it is told that there is nothing for it: all of them have what the model demands
/// now, or the run fails.
pub async fn all_have_what_they_shall_have(pool: &BalancedPool) -> PhoneRun {
    let words = ["--count", PHONES, "--boot-within", "2s", "--install-delay", "0s", "--limit", "60s", "--settle", "0s"];
    ended(pool.phones(&words)).await.flawless()
}
