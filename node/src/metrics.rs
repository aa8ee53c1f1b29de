//! The numbers of a node that somebody graphs, in the text format of Prometheus and OpenMetrics. Each part of the node has
//! its own group, registered here; labels come from closed enums only, so that nothing a phone sends makes a series. One
//! value a node, not one a process: tests run many. Nothing is decided by a metric.

mod api;
mod closed_enum;
mod credentials;
mod downloads;
mod drop_folder;
mod faults;
mod imports;
mod listeners;
mod phones;
mod process;
mod replica;
mod request_logs;
mod runtime;
mod snapshot;
pub mod text;
mod unread;
mod upkeep;

pub use api::ApiMetrics;
pub(crate) use closed_enum::closed_enum;
pub use credentials::CredentialMetrics;
pub use downloads::DownloadMetrics;
pub use drop_folder::{DropEnd, DropFolderMetrics};
pub use faults::{Fault, Faults};
pub use imports::{ImportEnd, ImportMetrics};
pub use listeners::{ConnectionRefusal, ConnectionState, ListenerCounts, ListenerKind, ListenerMetrics};
pub use phones::PhoneMetrics;
pub use replica::ReplicaMetrics;
pub use request_logs::LogMetrics;
pub use snapshot::{Load, SnapshotMetrics};
pub use unread::{UnreadCause, UnreadMetrics};
pub use upkeep::{DiskFolder, KeyKind, Outcome, UpkeepMetrics};

use crate::request_log::Kind;
use process::Process;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use runtime::Runtime;

/// What stands before every name but those of the process, which are the same in every program that Prometheus watches.
const PREFIX: &str = "ucupdates";

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    /// Update requests.
    pub phones: PhoneMetrics,
    /// Requests that were not read.
    pub unread: UnreadMetrics,
    /// The credentials of phones outside.
    pub credentials: CredentialMetrics,
    /// The administrators' requests.
    pub api: ApiMetrics,
    /// Imports of packages.
    pub imports: ImportMetrics,
    /// The drop folder.
    pub drop_folder: DropFolderMetrics,
    /// What the node does by itself.
    pub upkeep: UpkeepMetrics,
    /// The request audit log.
    pub audit: LogMetrics,
    /// The access log.
    pub access: LogMetrics,
    /// What is wrong now.
    pub faults: Faults,
    /// The snapshot, and the store that it comes from.
    pub snapshots: SnapshotMetrics,
    /// The replica of update files.
    pub replica: ReplicaMetrics,
    /// Connections and requests of the listeners.
    pub listeners: ListenerMetrics,
    /// Downloads of update files.
    pub downloads: DownloadMetrics,
    registry: Registry,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let build = Family::<[(&'static str, &'static str); 1], ConstGauge>::new_with_constructor(one);
        drop(build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]));
        ours.register("build_info", "Always 1; the label is the version of the program", build);
        ours.register_collector(Box::new(Runtime));
        Self {
            phones: PhoneMetrics::register(ours),
            unread: UnreadMetrics::register(ours),
            credentials: CredentialMetrics::register(ours),
            api: ApiMetrics::register(ours),
            imports: ImportMetrics::register(ours),
            drop_folder: DropFolderMetrics::register(ours),
            upkeep: UpkeepMetrics::register(ours),
            audit: LogMetrics::register(ours, Kind::Audit),
            access: LogMetrics::register(ours, Kind::Access),
            faults: Faults::register(ours),
            snapshots: SnapshotMetrics::register(ours),
            replica: ReplicaMetrics::register(ours),
            listeners: ListenerMetrics::register(ours),
            downloads: DownloadMetrics::register(ours),
            registry,
        }
    }

    /// What a scrape gets, in the format of OpenMetrics; [`text::classic`] makes the older one of it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes all that is written to it");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a counter that has one label of a closed list: one series for each value, all there from the start, in the
/// order of the list, so that whoever counts looks nothing up.
pub(crate) fn counters<const N: usize>(
    registry: &mut Registry,
    (name, help): (&str, &str),
    label: &'static str,
    values: [&'static str; N],
) -> [Counter; N] {
    let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create_owned(&[(label, value)]))
}

fn one() -> ConstGauge {
    ConstGauge::new(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reason;
    use std::time::Duration;

    #[test]
    fn a_check_is_counted_by_its_reason_and_timed() {
        let metrics = Metrics::new();
        metrics.phones.check(Reason::Offered, Duration::from_micros(300));
        let text = metrics.text();
        for line in [
            "ucupdates_checks_total{reason=\"offered\"} 1",
            "ucupdates_checks_total{reason=\"no_rule\"} 0",
            "ucupdates_check_duration_seconds_bucket{le=\"0.0005\"} 1",
            "ucupdates_check_duration_seconds_bucket{le=\"0.00025\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
