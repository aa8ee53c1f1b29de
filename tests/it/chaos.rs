//! Three nodes behind the balancer, two hundred phones that check and download all the time, and one fault after the other:
//! no phone is failed or told wrong, and afterwards a change reaches every node within two poll periods.
//!
//! Each fault lasts 30 seconds here. `tests/chaos.sh` is the long form.

mod kills;
mod table;
mod trial;

use std::time::Duration;
use tests::pool::{Kept, NODES, Patience, Way};
use trial::{Trial, hold};

#[tokio::test]
async fn phones_do_not_notice_that_the_database_is_stopped() {
    let mut trial = Trial::start("database-stopped", Kept::InFolder, Patience::None).await;
    trial.pool.database.stop().await;
    hold().await;
    trial.pool.database.start_again().await;
    trial.end().await;
}

#[tokio::test]
async fn phones_do_not_notice_that_the_database_hangs() {
    let trial = Trial::start("database-hung", Kept::InFolder, Patience::None).await;
    trial.pool.database.hang();
    hold().await;
    trial.pool.database.resume();
    trial.end().await;
}

/// From the database and from the store. Phones that the others told of a new file may come to it for the file: it says that it
/// cannot know, not that there is none.
#[tokio::test]
async fn phones_do_not_notice_that_a_node_is_cut_off() {
    let mut trial = Trial::start("node-cut-off", Kept::InBucket, Patience::Withheld).await;
    trial.pool.set_ways_of(0, Way::Silent);
    trial.publish_meanwhile(1, Some(0)).await;
    hold().await;
    trial.pool.set_ways_of(0, Way::Open);
    trial.end().await;
}

#[tokio::test]
async fn phones_do_not_notice_that_the_store_is_gone() {
    let mut trial = Trial::start("store-stopped", Kept::InFolder, Patience::None).await;
    trial.pool.set_ways_to_store(Way::Closed);
    trial.imports_are_refused(1).await;
    hold().await;
    trial.pool.set_ways_to_store(Way::Open);
    trial.end().await;
}

#[tokio::test]
async fn phones_do_not_notice_that_the_store_hangs() {
    let mut trial = Trial::start("store-hung", Kept::InBucket, Patience::None).await;
    trial.pool.set_ways_to_store(Way::Silent);
    trial.imports_are_refused(1).await;
    hold().await;
    trial.pool.set_ways_to_store(Way::Open);
    trial.end().await;
}

/// Each node starts with what is on its own disk.
#[tokio::test]
async fn phones_ask_once_more_at_most_when_nodes_are_killed_while_the_store_hangs() {
    let mut trial = Trial::start("restart-without-store", Kept::InBucket, Patience::Once).await;
    trial.pool.set_ways_to_store(Way::Silent);
    for node in 0..NODES {
        trial.pool.kill(node, Duration::from_secs(1)).await;
        trial.pool.serves(node).await;
    }
    trial.imports_are_refused(1).await;
    hold().await;
    trial.pool.set_ways_to_store(Way::Open);
    trial.end().await;
}

/// And a node is killed meanwhile, and started again without a database and a store.
#[tokio::test]
async fn phones_ask_once_more_at_most_when_database_store_and_a_node_fail_together() {
    let mut trial = Trial::start("all-down", Kept::InFolder, Patience::Once).await;
    trial.pool.database.stop().await;
    trial.pool.set_ways_to_store(Way::Closed);
    trial.pool.kill(2, Duration::from_secs(1)).await;
    trial.pool.serves(2).await;
    hold().await;
    trial.pool.set_ways_to_store(Way::Open);
    trial.pool.database.start_again().await;
    trial.end().await;
}

/// Twice each, twenty times in the long form. At first all phones want a new file: they go on with it where it broke off.
#[tokio::test]
async fn phones_ask_once_more_at_most_when_nodes_are_killed() {
    let mut trial = Trial::start("nodes-killed", Kept::InFolder, Patience::Once).await;
    trial.publish_meanwhile(0, None).await;
    trial.pool.write_model(0).await;
    for _ in 0..trial::kills() {
        for node in 0..NODES {
            trial.pool.kill(node, Duration::from_secs(1)).await;
        }
    }
    trial.import_for_later().await;
    trial.end().await;
}
