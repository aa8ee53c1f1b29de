//! What the node does by itself: its reports to the Central Management store, the daily clean-up of logs; and what an
//! administrator must see coming: certificates that expire, disks that fill up.

use super::counters;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// One label.
type Label = [(&'static str, &'static str); 1];

/// How something ended that can only be done or fail; in the order of `OUTCOMES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Not done.
    Failed,
}

const OUTCOMES: [&str; 2] = ["done", "failed"];

/// A folder whose disk is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskFolder {
    /// The node's own.
    Data,
    /// The shared file store.
    Store,
}

impl DiskFolder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Store => "store",
        }
    }
}

/// A certificate of the listeners, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// For phones that know it.
    Ecdsa,
    /// For those that don't.
    Rsa,
}

impl KeyKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

/// What the node does by itself.
#[derive(Debug)]
pub struct UpkeepMetrics {
    reports: [Counter; OUTCOMES.len()],
    clean_ups: [Counter; OUTCOMES.len()],
    cleaned_files: Counter,
    cleaned: Counter,
    expiry: Family<Label, Gauge>,
    disk_free: Family<Label, Gauge>,
    disk_size: Family<Label, Gauge>,
}

impl UpkeepMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Reports of this node to the Central Management store that it is there";
        let reports = counters(registry, ("node_reports", help), "outcome", OUTCOMES);
        let help = "Daily clean-ups of old logs";
        let clean_ups = counters(registry, ("log_cleanups", help), "outcome", OUTCOMES);
        let (cleaned_files, cleaned) = (Counter::default(), Counter::default());
        let help = "Log files that daily clean-ups deleted";
        registry.register("log_cleanup_files", help, cleaned_files.clone());
        let help = "Bytes of the log files that daily clean-ups deleted";
        registry.register_with_unit("log_cleanup", help, Unit::Bytes, cleaned.clone());
        let mut gauges = |name, help, unit| {
            let family = Family::<Label, Gauge>::default();
            registry.register_with_unit(name, help, unit, family.clone());
            family
        };
        let help = "When the listeners' certificate expires, in seconds since 1970, by the kind of its key";
        let expiry = gauges("certificate_expiry_timestamp", help, Unit::Seconds);
        let help =
            "Bytes that the node may still write to the disk of a folder; absent while the folder does not answer";
        let disk_free = gauges("disk_free", help, Unit::Bytes);
        let disk_size = gauges("disk_size", "Bytes that the disk of a folder has", Unit::Bytes);
        Self { reports, clean_ups, cleaned_files, cleaned, expiry, disk_free, disk_size }
    }

    /// Counts a report to the Central Management store.
    pub fn reported(&self, outcome: Outcome) {
        self.reports[outcome as usize].inc();
    }

    /// Counts a daily clean-up that went through.
    pub fn cleaned_up(&self, files: usize, size_bytes: u64) {
        self.clean_ups[Outcome::Done as usize].inc();
        self.cleaned_files.inc_by(files as u64);
        self.cleaned.inc_by(size_bytes);
    }

    /// Counts a daily clean-up that did not.
    pub fn clean_up_failed(&self) {
        self.clean_ups[Outcome::Failed as usize].inc();
    }

    /// Sets when the certificate of this kind expires; none when there is none.
    pub fn certificate(&self, kind: KeyKind, expires_s: Option<i64>) {
        show(&self.expiry, [("key", kind.as_str())], expires_s);
    }

    /// Sets what is free on a folder's disk, and how large that is; none when nobody knows.
    pub fn disk(&self, folder: DiskFolder, free_and_size: Option<(u64, u64)>) {
        let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let label = [("folder", folder.as_str())];
        show(&self.disk_free, label, free_and_size.map(|(free, _)| bytes(free)));
        show(&self.disk_size, label, free_and_size.map(|(_, size)| bytes(size)));
    }
}

/// A value that nobody knows is absent: zero would be a lie that sets off alarms.
fn show(family: &Family<Label, Gauge>, label: Label, value: Option<i64>) {
    match value {
        Some(value) => {
            family.get_or_create(&label).set(value);
        }
        None => {
            family.remove(&label);
        }
    }
}
