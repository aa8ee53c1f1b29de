//! What can happen to one part of a pool, each while phones ask and download: nothing of it may be given up or wrong, and
//! afterwards every node knows a change within two poll periods.

use std::time::Duration;
use tests::cluster::{Cluster, Fleet, docker, patiently};

/// Before a fault, and after it: phones are there while it begins and while it ends.
const AROUND: Duration = Duration::from_secs(3);

/// How often a phone tries before it gives up. Half of an attempt's time limit is what a balancer may need to leave a node
/// that is gone.
const PATIENT: u16 = 6;

/// A phone that gives up at once: what its balancer lets it see, it sees.
const IMPATIENT: u16 = 1;

/// A cluster, and how hard it is tried.
pub struct Trial<'a> {
    pub cluster: &'a Cluster,
    /// How long a fault lasts.
    pub hold: Duration,
    /// How often each node is killed.
    pub kills: u64,
}

impl Trial<'_> {
    /// Phones, the fault in the middle of their time, and what is said about it.
    async fn during(&self, what: &str, lasts: Duration, attempts: u16, fault: impl AsyncFnOnce()) {
        let name = what.replace(' ', "-");
        let fleet = Fleet::start(self.cluster, lasts + 3 * AROUND, attempts).await;
        tokio::time::sleep(AROUND).await;
        fault().await;
        let run = fleet.flawless().await;
        assert!(run.number("checks") > 200 && run.number("downloads") > 30, "{what}: {run:?}");
        let known_after = self.cluster.converges(&name, &name).await;
        println!(
            "{what}: {} checks, {} downloads, {} failed attempts, 0 given up, 0 wrong; a change is everywhere after {:.1} s",
            run.number("checks"),
            run.number("downloads"),
            run.summary["failed_attempts"],
            known_after.as_secs_f64()
        );
    }

    /// The same for a fault that begins with these words to the Docker client and ends with those.
    async fn while_docker(&self, what: &str, begin: &[&str], end: &[&str]) {
        self.during(what, self.hold, PATIENT, async || {
            docker(begin).await.ok();
            tokio::time::sleep(self.hold).await;
            docker(end).await.ok();
        })
        .await;
    }

    async fn postgres(&self) -> String {
        self.cluster.containers("postgres").await.remove(0)
    }

    pub async fn database_is_stopped(&self) {
        let (postgres, node) = (self.postgres().await, self.cluster.containers("node").await.remove(2));
        self.during("database stopped", self.hold, PATIENT, async || {
            docker(&["stop", &postgres]).await.ok();
            // A node that starts meanwhile serves from its disk.
            docker(&["kill", &node]).await.ok();
            docker(&["start", &node]).await.ok();
            self.cluster.wait_for_servers(3).await;
            tokio::time::sleep(self.hold).await;
            docker(&["start", &postgres]).await.ok();
        })
        .await;
    }

    pub async fn object_store_is_stopped(&self) {
        let store = self.cluster.containers("seaweedfs").await.remove(0);
        self.during("object store stopped", self.hold, PATIENT, async || {
            docker(&["stop", &store]).await.ok();
            let refused = self.cluster.import(&["CX3000"], "4.0.7577.200", 1000).await;
            assert_eq!(refused.code, 1, "{refused:?}");
            tokio::time::sleep(self.hold).await;
            docker(&["start", &store]).await.ok();
        })
        .await;
    }

    pub async fn database_hangs(&self) {
        let postgres = self.postgres().await;
        self.while_docker("database hangs", &["pause", &postgres], &["unpause", &postgres]).await;
    }

    async fn kill_and_start(&self, node: &str) {
        docker(&["kill", node]).await.ok();
        self.cluster.wait_for_servers(2).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        docker(&["start", node]).await.ok();
        self.cluster.wait_for_servers(3).await;
    }

    pub async fn nodes_are_killed(&self) {
        let rounds = u32::try_from(self.kills).unwrap();
        self.during("nodes killed in turn", Duration::from_secs(20) * rounds, PATIENT, async || {
            for _ in 0..rounds {
                for node in self.cluster.containers("node").await {
                    self.kill_and_start(&node).await;
                }
            }
        })
        .await;
    }

    pub async fn the_favourite_is_killed(&self) {
        self.during("favourite killed", self.hold, PATIENT, async || {
            let favourite = self.cluster.favourite().await;
            docker(&["kill", &favourite]).await.ok();
            tokio::time::sleep(self.hold).await;
            docker(&["start", &favourite]).await.ok();
        })
        .await;
        self.cluster.wait_for_servers(3).await;
    }

    pub async fn a_node_is_cut_off_from_the_database(&self) {
        let (network, node) = (self.cluster.network("back"), self.cluster.containers("node").await.remove(0));
        let [begin, end] = ["disconnect", "connect"].map(|what| ["network", what, &network, &node]);
        self.while_docker("node cut off from the database", &begin, &end).await;
    }

    pub async fn a_node_is_cut_off_from_the_balancer(&self) {
        let (network, node) = (self.cluster.network("front"), self.cluster.containers("node").await.remove(1));
        let begin = ["network", "disconnect", &network, &node];
        let end = ["network", "connect", "--alias", "node", &network, &node];
        self.while_docker("node cut off from the balancer", &begin, &end).await;
        self.cluster.wait_for_servers(3).await;
    }

    /// The way of the runbook: nobody notices, not even by a second attempt.
    pub async fn nodes_are_restarted_in_turn(&self) {
        self.during("rolling restart", Duration::from_secs(30), IMPATIENT, async || {
            for node in self.cluster.containers("node").await {
                docker(&["restart", "-t", "60", &node]).await.ok();
                self.cluster.wait_for_servers(3).await;
            }
        })
        .await;
    }

    pub async fn nodes_are_added(&self) {
        self.during("five nodes", Duration::from_secs(20), IMPATIENT, async || {
            self.cluster.compose(&["up", "-d", "--no-recreate", "--no-deps", "--scale", "node=5", "node"]).await.ok();
            self.cluster.wait_for_servers(5).await;
            patiently("each node has its share", Duration::from_secs(30), async || {
                self.cluster.servers().await.iter().all(|(_, connections)| *connections > 10)
            })
            .await;
        })
        .await;
    }
}
