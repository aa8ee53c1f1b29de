//! The state of the phone plane: the rule snapshot, the local replica, the local spools. Nothing here may hold, or
//! lead to, a pool of database connections or the shared store (DESIGN: the phone plane's independence), but for the wish
//! that a file be read through.

use crate::audit_log::AuditLog;
use crate::downloads::Downloads;
use crate::metrics::Metrics;
use crate::phone_auth::PhoneAuth;
use crate::update::CheckLimits;
use crate::wire::capture::Capture;
use crate::wire::dialect::Dialect;
use arc_swap::ArcSwapOption;
use schema::rule_set::{RuleSet, Servable};
use std::net::IpAddr;
use std::sync::Arc;
use sync::clock::Clock;
use sync::plan::{Need, wanted};
use sync::read_through::ReadThrough;
use sync::replica::Replica;

/// What a node knows and holds at one moment; replaced as a whole.
#[derive(Debug)]
pub struct Snapshot {
    /// The rules of the pool.
    pub rules: Arc<RuleSet>,
    /// Which of their files this node holds.
    pub servable: Arc<Servable>,
}

impl Snapshot {
    /// How many files the rules need, and how many of those this node holds.
    pub fn files_needed_and_held(&self) -> (usize, usize) {
        let wanted = wanted(&self.rules);
        let needed = || wanted.iter().filter(|wanted| wanted.need != Need::None);
        (needed().count(), needed().filter(|wanted| self.servable.holds_file(&wanted.file)).count())
    }
}

/// Whether a request came through an internal or an external listener (PROTOCOL.md 2: never by a header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// An internal listener: anonymous requests are answered.
    Inside,
    /// An external listener: authentication is required.
    Outside,
}

/// The address of the phone: the connection's peer, or what a listed peer says by PROXY protocol v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneAddress(pub IpAddr);

/// Everything that a phone's request may reach.
pub struct PhonePlane {
    /// None until the first snapshot is loaded: checks are then answered with no update, reason `no_data`.
    pub snapshot: ArcSwapOption<Snapshot>,
    /// This node's own copies of update files: served from here.
    pub replica: Arc<Replica>,
    /// For files that it does not hold.
    pub read_through: ReadThrough,
    /// Element names and layout of requests and responses.
    pub dialect: Dialect,
    /// Keeps what could not be read, when switched on.
    pub capture: Option<Capture>,
    /// The request audit log.
    pub audit_log: AuditLog,
    /// Checks the credentials of phones outside.
    pub phone_auth: PhoneAuth,
    /// What downloads may cost.
    pub downloads: Downloads,
    /// What update requests may cost.
    pub checks: CheckLimits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl PhonePlane {
    /// Answers phones from these rules, and from what is held now. Either half may change while the other does: both take
    /// what the other was last.
    pub fn put_rules(&self, rules: &Arc<RuleSet>) {
        self.snapshot.rcu(|_| Some(Arc::new(Snapshot { rules: Arc::clone(rules), servable: self.replica.servable() })));
    }

    /// Answers phones from what is held now, if there are rules.
    pub fn put_held(&self) {
        self.snapshot.rcu(|snapshot| {
            let rules = Arc::clone(&snapshot.as_ref()?.rules);
            Some(Arc::new(Snapshot { rules, servable: self.replica.servable() }))
        });
    }
}
