//! The shipped `docker-compose.yml` on a Docker Engine: one import reaches every node, and any one part is killed, stopped,
//! hung or cut off while two hundred phones ask and download through the balancer. Where there is no engine these tests
//! return at once, and `tests/run.sh` says so.
//!
//! Each fault lasts 12 seconds. The long form, which takes a morning:
//! `UCUPDATES_FAULT_SECONDS=600 UCUPDATES_KILLS=20 ./tests/run.sh -p tests --test it cluster -- --nocapture`.

mod faults;
mod files;
mod shape;

use std::time::Duration;
use tests::cluster::{self, Cluster, Store, patiently};

/// The models of the phones.
const MODELS: [&str; 3] = ["CX500", "CX600", "CX700"];

/// A number of the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// How long a fault lasts.
fn hold() -> Duration {
    Duration::from_secs(setting("UCUPDATES_FAULT_SECONDS", 12))
}

#[tokio::test]
async fn no_single_failure_of_the_pool_reaches_a_phone() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::up(Store::Folder).await;
    shape::is_as_said(&cluster).await;
    cluster.import(&MODELS, "4.0.7577.100", 300_000).await.ok();
    cluster.admin("rule approve --all").await.ok();
    cluster.import(&MODELS[..2], "4.0.7577.200", 300_000).await.ok();
    cluster.model().await;
    shape::old_phones_are_answered(&cluster).await;
    let trial = faults::Trial { cluster: &cluster, hold: hold(), kills: setting("UCUPDATES_KILLS", 1) };
    trial.database_is_stopped().await;
    trial.database_hangs().await;
    trial.nodes_are_killed().await;
    trial.the_favourite_is_killed().await;
    trial.a_node_is_cut_off_from_the_database().await;
    trial.a_node_is_cut_off_from_the_balancer().await;
    trial.nodes_are_restarted_in_turn().await;
    trial.nodes_are_added().await;
}

#[tokio::test]
async fn phones_do_not_notice_that_the_object_store_is_down() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::up(Store::S3).await;
    cluster.import(&MODELS, "4.0.7577.100", 300_000).await.ok();
    cluster.admin("rule approve --all").await.ok();
    // The three images, and the interim build.
    cluster.wait_for_copies(4).await;
    cluster.model().await;
    let trial = faults::Trial { cluster: &cluster, hold: hold(), kills: 1 };
    trial.object_store_is_stopped().await;
    // Its server answers some seconds after its container has started; from then on packages are taken again.
    patiently("packages are imported again", Duration::from_secs(60), async || {
        cluster.import(&MODELS, "4.0.7577.300", 300_000).await.code == 0
    })
    .await;
    cluster.wait_for_copies(7).await;
}
