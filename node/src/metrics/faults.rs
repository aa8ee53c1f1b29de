//! What is wrong with the node now that a person has to mend: a closed list of faults, each with the sentence that says
//! what to do. Whoever meets a fault says that it stands, and when it is over; `status` and a metric tell of it, and `/ready` of
//! those that are of the node itself.
//! Phones are answered meanwhile: nothing here decides that.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Lines of the request audit log cannot be written to the data folder.
    AuditNotWritten,
    /// Audit files cannot be taken to the store.
    AuditNotShipped,
    /// Lines of the access log cannot be written to the data folder.
    AccessNotWritten,
    /// Access files cannot be taken to the store.
    AccessNotShipped,
    /// The data folder has less free than the reserve.
    DataFolderFull,
    /// The store has less free than the reserve.
    StoreFull,
    /// The store does not answer, or is not there.
    StoreSilent,
    /// The store does not keep what must be kept.
    StoreUntrustworthy,
    /// Standard error takes no lines of the node's own log.
    LogNotWritten,
    /// Packages in the drop folder cannot be imported now.
    DropFolderWaits,
}

const ALL: [Fault; 10] = [
    Fault::AuditNotWritten,
    Fault::AuditNotShipped,
    Fault::AccessNotWritten,
    Fault::AccessNotShipped,
    Fault::DataFolderFull,
    Fault::StoreFull,
    Fault::StoreSilent,
    Fault::StoreUntrustworthy,
    Fault::LogNotWritten,
    Fault::DropFolderWaits,
];

impl Fault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AuditNotWritten => "audit_not_written",
            Self::AuditNotShipped => "audit_not_shipped",
            Self::AccessNotWritten => "access_not_written",
            Self::AccessNotShipped => "access_not_shipped",
            Self::DataFolderFull => "data_folder_full",
            Self::StoreFull => "store_full",
            Self::StoreSilent => "store_silent",
            Self::StoreUntrustworthy => "store_untrustworthy",
            Self::LogNotWritten => "log_not_written",
            Self::DropFolderWaits => "drop_folder_waits",
        }
    }

    /// Whether it is of the node itself, and so told in `/ready`; the others are of what administrators do.
    const fn is_of_the_node(self) -> bool {
        !matches!(self, Self::DropFolderWaits)
    }
}

/// The faults that stand.
#[derive(Debug)]
pub struct Faults {
    standing: Mutex<BTreeMap<Fault, String>>,
    shown: [Gauge; ALL.len()],
}

impl Faults {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        registry.register("fault", "1 while this is wrong with the node; /ready says it in words", family.clone());
        let shown = ALL.map(|fault| family.get_or_create_owned(&[("fault", fault.as_str())]));
        Self { standing: Mutex::default(), shown }
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<Fault, String>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault stands; the sentence replaces the one before. Whether it is new, for who tells the log of it once.
    pub fn stands(&self, fault: Fault, sentence: impl Into<String>) -> bool {
        self.shown[fault as usize].set(1);
        self.standing().insert(fault, sentence.into()).is_none()
    }

    /// The fault is over, or never stood.
    pub fn is_over(&self, fault: Fault) {
        self.standing().remove(&fault);
        self.shown[fault as usize].set(0);
    }

    /// Whether it stands.
    pub fn is_standing(&self, fault: Fault) -> bool {
        self.standing().contains_key(&fault)
    }

    /// One sentence for each fault of the node itself that stands.
    pub fn sentences_of_the_node(&self) -> Vec<String> {
        let standing = self.standing();
        let of_the_node = standing.iter().filter(|(fault, _)| fault.is_of_the_node());
        of_the_node.map(|(_, sentence)| sentence.clone()).collect()
    }

    /// One sentence for each fault that stands.
    pub fn sentences(&self) -> Vec<String> {
        self.standing().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_until_it_is_over() {
        let mut registry = Registry::default();
        let faults = Faults::register(&mut registry);
        assert!(ALL.iter().enumerate().all(|(place, fault)| *fault as usize == place));
        assert!(faults.stands(Fault::StoreFull, "first"));
        assert!(!faults.stands(Fault::StoreFull, "the store is full"));
        faults.stands(Fault::AuditNotWritten, "lines wait");
        assert!(faults.is_standing(Fault::StoreFull) && !faults.is_standing(Fault::StoreSilent));
        assert_eq!(faults.sentences(), ["lines wait", "the store is full"]);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("fault{fault=\"store_full\"} 1") && text.contains("fault{fault=\"data_folder_full\"} 0"));
        faults.is_over(Fault::StoreFull);
        faults.stands(Fault::DropFolderWaits, "packages wait");
        assert_eq!(faults.sentences(), ["lines wait", "packages wait"]);
        assert_eq!(faults.sentences_of_the_node(), ["lines wait"]);
    }
}
