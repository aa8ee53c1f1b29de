//! The drop folder: what waits there, and what became of it.

use super::counters;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What became of a try to import a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropEnd {
    /// Rules were made or changed.
    Imported,
    /// Every pool had it already.
    Unchanged,
    /// It is no package, or one that must not be taken.
    Refused,
    /// It stays, and is tried again.
    PutOff,
}

const ENDS: [&str; 4] = ["imported", "unchanged", "refused", "put_off"];

/// The drop folder.
#[derive(Debug)]
pub struct DropFolderMetrics {
    files: [Counter; ENDS.len()],
    waiting: Gauge,
    oldest: Gauge,
}

impl DropFolderMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Tries to import a file of the drop folder, by how they ended; put_off is tried again";
        let files = counters(registry, ("drop_folder_files", help), "outcome", ENDS);
        let waiting = Gauge::default();
        let help = "Files in the drop folder that are not imported yet, those that are still copied included";
        registry.register("drop_folder_waiting", help, waiting.clone());
        let oldest = Gauge::default();
        let help = "How long the file that has waited longest in the drop folder has been there; 0 without one";
        registry.register_with_unit("drop_folder_longest_wait", help, Unit::Seconds, oldest.clone());
        Self { files, waiting, oldest }
    }

    /// Counts a try that has ended.
    pub fn ended(&self, end: DropEnd) {
        self.files[end as usize].inc();
    }

    /// What waits, and since when.
    pub fn waiting(&self, files: usize, oldest: Option<Timestamp>, now: Timestamp) {
        self.waiting.set(i64::try_from(files).unwrap_or(i64::MAX));
        self.oldest.set(oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs().max(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_counted_under_its_own_name() {
        for (end, name) in [
            (DropEnd::Imported, "imported"),
            (DropEnd::Unchanged, "unchanged"),
            (DropEnd::Refused, "refused"),
            (DropEnd::PutOff, "put_off"),
        ] {
            assert_eq!(ENDS[end as usize], name);
        }
    }
}
