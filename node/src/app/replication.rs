//! The replica of a node and its loop, from the configuration; and the task that lets phones know what is held.

use super::folders::Folders;
use crate::config::Config;
use crate::plane::PhonePlane;
use anyhow::Context as _;
use schema::rule_set::RuleSet;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::Blobs;
use sync::clock::Clock;
use sync::replica::Replica;
use sync::replicate::{ReplicateSettings, Replication, Replicator};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The replica, its loop before it runs, and the way by which that learns of rules.
pub(super) struct Parts {
    pub(super) replica: Arc<Replica>,
    pub(super) rules: watch::Sender<Option<Arc<RuleSet>>>,
    pub(super) replicator: Replicator,
    pub(super) replication: Replication,
}

/// Opens the replica, and sees what it holds.
pub(super) async fn open(
    config: &Config,
    folders: &Folders,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Parts> {
    let folder = config.replica.folder.clone().unwrap_or_else(|| folders.replica.clone());
    let path = folder.clone();
    let opened = tokio::task::spawn_blocking(move || Replica::open(&path)).await?;
    let replica = Arc::new(opened.with_context(|| format!("opening the replica {}", folder.display()))?);
    let rules = watch::Sender::default();
    let store = (blobs, config.pool.service_id.clone());
    let (replicator, replication) =
        Replicator::new(Arc::clone(&replica), store, rules.subscribe(), settings(config), clock);
    Ok(Parts { replica, rules, replicator, replication })
}

/// What replication may cost, as configured.
fn settings(config: &Config) -> ReplicateSettings {
    let settings = &config.replica;
    ReplicateSettings {
        most_bytes: (settings.most_bytes > 0).then_some(settings.most_bytes),
        reserve_bytes: config.node.reserve_bytes,
        most_transfers: settings.most_transfers,
        most_bytes_per_s: settings.most_bytes_per_s,
        poll_interval: Duration::from_millis(settings.poll_interval_ms),
    }
}

/// Lets phones be answered from what is held, at each change of it, until `stop`.
pub(super) async fn offer_held(plane: Arc<PhonePlane>, stop: CancellationToken) {
    let mut changes = plane.replica.changes();
    while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
        plane.put_held();
    }
}
