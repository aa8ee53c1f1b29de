//! The section of the drop folder.

use crate::drop_folder::DropFolderSettings;
use jiff::SignedDuration;
use schema::topology::PoolFqdn;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use sync::import::PoolSelection;

/// A folder whose packages are imported by themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropFolderSection {
    /// The folder; without one there is no drop folder.
    pub folder: Option<PathBuf>,
    /// A file that has not changed for so long is whole.
    pub settle_ms: u64,
    /// How often the folder is looked at.
    pub poll_interval_ms: u64,
    /// FQDNs of pools, or `all`; none is the node's own pool.
    pub pools: Vec<String>,
}

impl Default for DropFolderSection {
    fn default() -> Self {
        Self { folder: None, settle_ms: 5000, poll_interval_ms: 5000, pools: Vec::new() }
    }
}

/// Whether a pool's name stands for every pool.
pub(super) fn is_all(pool: &str) -> bool {
    pool.eq_ignore_ascii_case("all")
}

impl DropFolderSection {
    /// As the node takes them, which stands in `pool`; none without a folder. `silence` is after what time without a report
    /// a node leaves its files to others.
    pub fn settings(&self, pool: &PoolFqdn, silence: Duration) -> Option<DropFolderSettings> {
        let pools = match self.pools.as_slice() {
            [] => PoolSelection::Named(vec![pool.clone()]),
            pools if pools.iter().any(|pool| is_all(pool)) => PoolSelection::All,
            pools => PoolSelection::Named(pools.iter().filter_map(|pool| PoolFqdn::parse(pool).ok()).collect()),
        };
        let settle = Duration::from_millis(self.settle_ms);
        Some(DropFolderSettings {
            folder: self.folder.clone()?,
            settle: SignedDuration::try_from(settle).unwrap_or(SignedDuration::MAX),
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            pools,
            silence,
        })
    }
}
