//! Imports of packages, through the API and the drop folder: how they end, how long they take, how much comes.

use super::{closed_enum, counters};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use schema::import::ImportOutcome;
use std::time::Duration;
use sync::import::{ImportError, Imported};

/// Upper ends of the histogram's buckets, in seconds.
const SECONDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0];

closed_enum! {
    /// How an import ended.
    pub enum ImportEnd {
        /// Rules were made or changed.
        Imported = "imported",
        /// Every pool had it already.
        Unchanged = "unchanged",
        /// It was a dry run.
        DryRun = "dry_run",
        /// The package, or every change that it asked for, was refused.
        Refused = "refused",
        /// The sender stopped in the middle.
        Interrupted = "interrupted",
        /// The Central Management store or the file store did not do its part, or a disk is full.
        Unavailable = "unavailable",
        /// The node failed.
        Failed = "failed",
    }
}

impl ImportEnd {
    /// The end of an import that went through.
    pub fn of(imported: &Imported) -> Self {
        let any = |wanted: fn(&ImportOutcome) -> bool| imported.records.iter().any(|record| wanted(&record.outcome));
        if any(|outcome| matches!(outcome, ImportOutcome::Created | ImportOutcome::Replaced { .. })) {
            Self::Imported
        } else if any(|outcome| matches!(outcome, ImportOutcome::Refused(_))) {
            Self::Refused
        } else {
            Self::Unchanged
        }
    }
}

impl From<&ImportError> for ImportEnd {
    fn from(error: &ImportError) -> Self {
        match error {
            ImportError::TooLarge { .. } | ImportError::Package(_) => Self::Refused,
            ImportError::Interrupted(_) => Self::Interrupted,
            ImportError::Store(_) | ImportError::Blob(_) | ImportError::Full(_) => Self::Unavailable,
            ImportError::Local(_) => Self::Failed,
        }
    }
}

/// Imports.
#[derive(Debug)]
pub struct ImportMetrics {
    imports: [Counter; ImportEnd::COUNT],
    received: Counter,
    duration: Histogram,
}

impl ImportMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Imports of packages, by how they ended; dry runs that went through are dry_run";
        let imports = counters(registry, ("imports", help), "outcome", ImportEnd::all().map(ImportEnd::as_str));
        let received = Counter::default();
        let help = "Bytes of packages that were received whole";
        registry.register_with_unit("import_received", help, Unit::Bytes, received.clone());
        let duration = Histogram::new(SECONDS);
        let help = "From the beginning of an import to its report card, or to its refusal";
        registry.register_with_unit("import_duration", help, Unit::Seconds, duration.clone());
        Self { imports, received, duration }
    }

    /// Counts a package that was received whole.
    pub fn received(&self, size_bytes: u64) {
        self.received.inc_by(size_bytes);
    }

    /// Counts an import that has ended.
    pub fn ended(&self, end: ImportEnd, took: Duration) {
        self.imports[end as usize].inc();
        self.duration.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_ends_is_in_order() {
        for (place, end) in ImportEnd::all().into_iter().enumerate() {
            assert_eq!(end as usize, place, "{end:?}");
        }
    }
}
