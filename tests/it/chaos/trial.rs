//! What every scenario has in common: calm, the fault, healing, and what must hold then.

use super::table;
use std::time::{Duration, Instant};
use tests::pool::{ChaosFleet, ChaosPool, Import, Kept, NODES, POLL_INTERVAL, Patience, all_have_what_they_shall_have};
use tests::program::Serving;

/// What a broken connection does to a phone; any other failure of an attempt is the service's own.
const BROKEN: [&str; 5] = ["refused", "connect", "tls", "broken", "cut_download"];

/// A node looks at its store every 15 seconds at most, and what failed meanwhile is done again then.
const WELL_WITHIN: Duration = Duration::from_secs(40);

/// An import is refused within 3 seconds when the store does not answer; more, because the machine is full of phones.
const REFUSED_WITHIN: Duration = Duration::from_secs(6);

/// From the environment of the long form.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// How long a fault lasts.
fn hold_s() -> u64 {
    setting("UCUPDATES_CHAOS_SECONDS", 30)
}

/// Lets the fault last.
pub async fn hold() {
    tokio::time::sleep(Duration::from_secs(hold_s())).await;
}

/// How often each node is killed: twice is about as long as the other faults.
pub fn kills() -> u64 {
    setting("UCUPDATES_CHAOS_NODE_KILLS", 2)
}

/// Waits until the node has nothing to complain of.
async fn is_well(node: &Serving) {
    let deadline = Instant::now() + WELL_WITHIN;
    while !node.is_well().await {
        assert!(Instant::now() < deadline, "the node still says: {}", node.ready().await.1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A pool under load.
pub struct Trial {
    pub pool: ChaosPool,
    scenario: &'static str,
    patience: Patience,
    fleet: ChaosFleet,
    /// Imported before the fault; approved after it.
    pending: Import,
    /// Approved during the fault.
    approved: Option<Import>,
}

impl Trial {
    /// A pool with phones that have all asked, and the calm before the fault.
    pub async fn start(scenario: &'static str, kept: Kept, patience: Patience) -> Self {
        let mut pool = ChaosPool::start(kept).await;
        let fleet = ChaosFleet::start(&pool.balanced, patience, hold_s() + 60);
        let pending = pool.import(0).await;
        pool.is_held(&[0, 1, 2], &pending).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        Self { pool, scenario, patience, fleet, pending, approved: None }
    }

    /// During the fault, an administrator of this node imports and approves; all but the one that is cut off hold it first.
    pub async fn publish_meanwhile(&mut self, node: usize, cut_off: Option<usize>) {
        let import = self.pool.import(node).await;
        let others: Vec<_> = (0..NODES).filter(|node| Some(*node) != cut_off).collect();
        self.pool.is_held(&others, &import).await;
        self.pool.approve(node).await;
        self.approved = Some(import);
    }

    /// Imports what is approved when the fault is over, and nothing was approved meanwhile.
    pub async fn import_for_later(&mut self) {
        self.pending = self.pool.import(0).await;
        self.pool.is_held(&[0, 1, 2], &self.pending).await;
        self.approved = None;
    }

    /// An administrator who imports while the store is away hears of it in time: it is away.
    pub async fn imports_are_refused(&mut self, node: usize) {
        let package = self.pool.make_package();
        let asked = Instant::now();
        let refused = self.pool.nodes()[node].import("refused.cab", package.bytes).await.unwrap_err();
        assert!(refused.status == 503 && refused.text.contains("the file store"), "{refused:?}");
        assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
    }

    /// The fault is over. A change by a node that it touched reaches every phone, in time; and so does the next import.
    pub async fn end(mut self) {
        let healed = Instant::now();
        if self.approved.is_none() {
            self.pool.approve(0).await;
        }
        self.pool.is_told_everywhere(self.approved.as_ref().unwrap_or(&self.pending)).await;
        let converged = healed.elapsed();
        self.pool.write_model(0).await;
        self.pool.publish(1).await;
        let all = all_have_what_they_shall_have(&self.pool.balanced).await;
        assert!(all.number("installs") > 20, "phones had to update: {all:?}");
        let run = self.fleet.stop().await;
        table::write(self.scenario, &run, converged);
        let run = run.flawless();
        assert!(run.number("checks") > 300 && run.number("downloads") > 100, "the load was none: {run:?}");
        let attempts = run.summary["failed_attempts"].as_object().unwrap();
        let expected: &[&str] = match self.patience {
            Patience::None => &[],
            Patience::Withheld => &["busy"],
            Patience::Once => &BROKEN,
        };
        let odd = |kind: &&String| !expected.contains(&kind.as_str());
        assert_eq!(attempts.keys().find(odd), None, "{run:?}");
        assert!(converged <= 2 * POLL_INTERVAL, "it took {converged:?}");
        for node in self.pool.nodes() {
            is_well(node).await;
        }
    }
}
