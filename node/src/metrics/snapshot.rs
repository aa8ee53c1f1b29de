//! The snapshot that phones are answered from: how old it is, where it came from, and how the Central Management store
//! stands. What is true at one moment is set at each scrape; what happens is counted when it happens.

use super::counters;
use crate::plane::Snapshot;
use crate::snapshot::file::SnapshotFileError;
use crate::snapshot::folder::RefusedReason;
use crate::snapshot::standing::{DatabaseState, Source, Standing};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// What became of an attempt to learn the rules from the Central Management store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// They had changed and are used.
    New,
    /// They had not changed.
    Unchanged,
    /// The store did not answer.
    Unavailable,
    /// The store cannot be used, or its rules are refused.
    Refused,
}

const LOADS: [&str; 4] = ["new", "unchanged", "unavailable", "refused"];

const REFUSED_FILES: [&str; 5] = ["unreadable", "damaged", "newer_format", "absurd", "other_pool"];

/// The snapshot.
#[derive(Debug)]
pub struct SnapshotMetrics {
    loads: [Counter; LOADS.len()],
    files: [Counter; 2],
    refused_files: [Counter; REFUSED_FILES.len()],
    generation: Gauge,
    age: Gauge<f64, AtomicU64>,
    from_disk: Gauge,
    refused: Gauge,
    database_up: Gauge,
    files_wanted: Gauge,
    files_held: Gauge,
}

impl SnapshotMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let loads = "Attempts to learn the rules from the Central Management store, by what became of them";
        let loads = counters(registry, ("snapshot_loads", loads), "outcome", LOADS);
        let files = ("snapshot_files", "Snapshots written to the node's own disk, by outcome");
        let files = counters(registry, files, "outcome", ["kept", "failed"]);
        let refused = ("snapshot_files_refused", "Snapshot files that were refused at a start, by reason");
        let refused_files = counters(registry, refused, "reason", REFUSED_FILES);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let generation =
            gauge("snapshot_generation", "Generation of the rules that phones are answered from; -1 without");
        let from_disk = gauge("snapshot_from_disk", "1 while the rules come from the node's own disk");
        let refused =
            gauge("snapshot_refused", "1 while the store's newest rules are refused and the last good ones used");
        let database_up =
            gauge("database_up", "1 when the Central Management store answered the last time and can be used");
        let files_wanted = gauge("update_files_wanted", "Update files that the pool's rules need");
        let files_held = gauge("update_files_held", "Update files of those that this node holds and offers");
        let age = Gauge::default();
        let help = "Since the Central Management store last confirmed the rules; +Inf without rules";
        registry.register_with_unit("snapshot_age", help, Unit::Seconds, age.clone());
        Self { loads, files, refused_files, generation, age, from_disk, refused, database_up, files_wanted, files_held }
    }

    /// Counts an attempt to learn the rules.
    pub fn load(&self, load: Load) {
        self.loads[load as usize].inc();
    }

    /// Counts a snapshot that is on disk.
    pub fn kept(&self) {
        self.files[0].inc();
    }

    /// Counts a failure to write one.
    pub fn not_kept(&self) {
        self.files[1].inc();
    }

    /// Counts a file that was refused.
    pub fn refused_file(&self, reason: &RefusedReason) {
        let index = match reason {
            RefusedReason::Unreadable(_) => 0,
            RefusedReason::Unsound(SnapshotFileError::NewerFormat { .. }) => 2,
            RefusedReason::Unsound(SnapshotFileError::Absurd(_)) => 3,
            RefusedReason::Unsound(_) => 1,
            RefusedReason::OtherPool { .. } => 4,
        };
        self.refused_files[index].inc();
    }

    /// Sets what is true now.
    pub fn set(&self, snapshot: Option<&Snapshot>, standing: &Standing, now: Timestamp) {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (wanted, held) = snapshot.map_or((0, 0), Snapshot::files_needed_and_held);
        self.generation.set(snapshot.map_or(-1, |snapshot| snapshot.rules.generation()));
        let age = standing.confirmed_at.map(|at| now.duration_since(at).as_secs_f64().max(0.0));
        self.age.set(age.unwrap_or(f64::INFINITY));
        self.from_disk.set(i64::from(standing.source == Source::Disk));
        self.refused.set(i64::from(standing.refused.is_some()));
        self.database_up.set(i64::from(standing.database == DatabaseState::Answers));
        self.files_wanted.set(signed(wanted));
        self.files_held.set(signed(held));
    }
}
