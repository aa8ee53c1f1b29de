//! Looks at the disks that the node writes to, so that somebody is told before they are full.

use crate::metrics::{DiskFolder, Fault, Metrics};
use nix::sys::statvfs::statvfs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sync::disk::{Full, Place};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the disks are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a disk may take to answer: a hung share never does.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// A folder, and a look at it that has not ended: those that hang would pile up.
struct Disk {
    folder: DiskFolder,
    path: PathBuf,
    look: Option<JoinHandle<Option<(u64, u64)>>>,
}

/// The disks of a node.
pub(super) struct Disks {
    metrics: Arc<Metrics>,
    disks: Vec<Disk>,
    reserve_bytes: u64,
}

impl Disks {
    pub(super) fn new(metrics: Arc<Metrics>, data: &Path, store: Option<&Path>, reserve_bytes: u64) -> Self {
        let disk = |folder, path: &Path| Disk { folder, path: path.to_owned(), look: None };
        let store = store.map(|store| disk(DiskFolder::Store, store));
        let disks = [disk(DiskFolder::Data, data)].into_iter().chain(store).collect();
        Self { metrics, disks, reserve_bytes }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) {
        for disk in &mut self.disks {
            let seen = disk.look().await;
            self.metrics.upkeep.disk(disk.folder, seen);
            if let Some((free_bytes, _)) = seen {
                disk.tell(&self.metrics, free_bytes, self.reserve_bytes);
            }
        }
    }

    /// Looks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(LOOK_INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => self.look().await,
            }
        }
    }
}

impl Disk {
    async fn look(&mut self) -> Option<(u64, u64)> {
        let path = self.path.clone();
        let look = self.look.get_or_insert_with(|| tokio::task::spawn_blocking(move || free_and_size(&path)));
        let seen = tokio::time::timeout(LOOK_LIMIT, look).await.ok()?;
        self.look = None;
        seen.ok()?
    }
}

impl Disk {
    /// Less than the reserve is a fault: imports are refused, and soon audit lines wait.
    fn tell(&self, metrics: &Metrics, free_bytes: u64, reserve_bytes: u64) {
        let (fault, place) = match self.folder {
            DiskFolder::Data => (Fault::DataFolderFull, Place::DataFolder),
            DiskFolder::Store => (Fault::StoreFull, Place::Store),
        };
        if free_bytes >= reserve_bytes {
            return metrics.faults.is_over(fault);
        }
        let full = Full { folder: self.path.clone(), place, needed_bytes: reserve_bytes, free_bytes };
        if metrics.faults.stands(fault, full.to_string()) {
            tracing::error!("{full}");
        }
    }
}

/// Bytes that a program without privileges may still write, and all that there are.
fn free_and_size(path: &Path) -> Option<(u64, u64)> {
    let disk = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    Some((bytes(disk.blocks_available()), bytes(disk.blocks())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_something_free_and_what_is_not_there_has_not() {
        let folder = tempfile::tempdir().unwrap();
        let (free, size) = free_and_size(folder.path()).unwrap();
        assert!(0 < free && free <= size, "{free} of {size}");
        assert_eq!(free_and_size(&folder.path().join("missing")), None);
    }
}
