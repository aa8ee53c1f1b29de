//! This node's place in the Central Management store: what must be so before the store's rules are used or its
//! administrators let in. Looked at when the node starts, again whenever the store comes back, and before each request of an
//! administrator while the last answer was none or a wrong one.

use schema::store::{Database, Node, ReportedState, Reporter, StoreError};
use schema::topology::Pool;
use tokio_util::sync::CancellationToken;

/// The node, its pool, and the store that knows both.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The Central Management store.
    pub database: Database,
    /// The pool, as configured.
    pub pool: Pool,
    /// The node, as it reports.
    pub reporter: Reporter,
    /// Cancelled when the node was told to stop.
    pub draining: CancellationToken,
}

/// Why the store may not be used by this node.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pool is registered with another folder or site: this node would look for files elsewhere.
    #[error(
        "[pool] says service_id {} and site {}, but {} is registered with {} and {}: mend the configuration",
        .configured.service_id, .configured.site, .registered.fqdn, .registered.service_id, .registered.site
    )]
    OtherPlace {
        /// What the configuration says.
        configured: Box<Pool>,
        /// What the store says.
        registered: Box<Pool>,
    },
    /// Another node that lives has this one's name: each would take the other's place.
    #[error(
        "another node of {} is called {} and lives (it reported {} s ago, from another data folder): give each node a name of \
         its own ([node] name), or stop the other one",
        .other.pool, .other.name, .other.heartbeat_age_s
    )]
    NameTaken {
        /// As the store has it.
        other: Box<Node>,
    },
}

impl Membership {
    /// Looks whether the store is one that this node may use, and reports the node.
    pub async fn join(&self) -> Result<(), MembershipError> {
        self.check().await?;
        self.report().await
    }

    /// Looks whether the store has this program's schema, makes the pool known on the first time, and sees that it is
    /// registered as configured.
    pub async fn check(&self) -> Result<(), MembershipError> {
        self.database.check_version().await?;
        let registered = self.database.ensure_pool(&self.pool).await?;
        self.check_place(&registered)
    }

    /// Whether the pool is registered as configured.
    pub(super) fn check_place(&self, registered: &Pool) -> Result<(), MembershipError> {
        if registered.service_id == self.pool.service_id && registered.site == self.pool.site {
            return Ok(());
        }
        let (configured, registered) = (Box::new(self.pool.clone()), Box::new(registered.clone()));
        Err(MembershipError::OtherPlace { configured, registered })
    }

    /// A sign of life.
    pub async fn report(&self) -> Result<(), MembershipError> {
        let draining = self.draining.is_cancelled();
        self.say(if draining { ReportedState::Draining } else { ReportedState::Serving }).await
    }

    /// Says how the node stands.
    pub async fn say(&self, state: ReportedState) -> Result<(), MembershipError> {
        match self.database.report_node(&self.reporter, state).await? {
            None => Ok(()),
            Some(other) => Err(MembershipError::NameTaken { other: Box::new(other) }),
        }
    }
}
