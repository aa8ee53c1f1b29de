//! The Central Management store: all SQL of the project. One function is one statement or one transaction, takes and
//! returns domain types, and ends in a limited time whatever the server does. Decisions are not made here.

mod accounts;
mod budget;
mod clear;
mod configuration;
mod connection;
mod error;
mod events;
mod import;
mod import_rows;
mod listen;
mod migrations;
mod nodes;
mod packages;
mod replicas;
mod rows;
mod rules;
mod settings;
mod snapshot;
mod stepping_stones;
mod test_devices;
mod ticket_keys;
mod tokens;
mod topology;
mod transaction;

pub use accounts::Account;
pub use budget::{end_budget, within_budget, within_rest_of_budget};
pub use clear::ClearedFiles;
pub use error::StoreError;
pub use events::{AdminEvent, ChainVerdict};
pub use import::ImportTransaction;
pub use migrations::Migrated;
pub use nodes::{Node, NodeState, ReportedState, Reporter};
pub use packages::Package;
pub use replicas::{NodeReplica, ToldReplica};
pub use rules::ActedRule;
pub use settings::{DatabaseSettings, check_url};
pub use ticket_keys::{TicketKey, TicketKeySchedule};
pub use tokens::ApiToken;

use connection::Connector;
use deadpool_postgres::{Pool as Connections, PoolError, TimeoutType, Timeouts};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether a change is made, or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Nothing changes; the answer is what would happen.
    Yes,
    /// The change is made.
    No,
}

/// The channel on which changes are announced; what is sent is the generation.
const CHANNEL: &str = "ucupdates_generation";

/// How often work that may take long is accompanied by the question whether the server still answers.
const WATCH_INTERVAL: Duration = Duration::from_millis(300);

/// The Central Management store. Clones share one pool of connections.
#[derive(Clone)]
pub struct Database {
    settings: Arc<DatabaseSettings>,
    connector: Connector,
    connections: Connections,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Database {
    /// A pool of connections to the server; the first one is opened when it is needed. Fails on wrong settings only.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(settings)?;
        let connections = connector.pool(settings)?;
        Ok(Self { settings: Arc::new(settings.clone()), connector, connections })
    }

    /// Whether the server answers. A pool whose connections are all at work says nothing of the server: each of them has a
    /// limit of its own.
    async fn ping(&self) -> Result<(), StoreError> {
        self.within("a sign of life", async {
            let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.connections.timeouts() };
            match self.connections.timeout_get(&at_once).await {
                Err(PoolError::Timeout(TimeoutType::Wait)) => Ok(()),
                client => Ok(client.map_err(connection::pool_error)?.batch_execute("").await?),
            }
        })
        .await
    }

    /// A connection of the pool that has just answered.
    async fn client(&self) -> Result<deadpool_postgres::Client, StoreError> {
        self.connections.get().await.map_err(connection::pool_error)
    }

    /// The result of `work`, or that it took longer than an operation may: a hung server answers nothing at all, so
    /// that no timeout of its own fires.
    async fn within<T>(&self, what: &str, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        within(self.settings.operation_timeout, what, work).await
    }

    /// The result of work that may rightly take as long as `limit`, but is given up as soon as the server does not answer
    /// a question on another connection either.
    async fn watched<T>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let silent = async {
            loop {
                tokio::time::sleep(WATCH_INTERVAL).await;
                if let Err(error @ StoreError::Unavailable { .. }) = self.ping().await {
                    return error;
                }
            }
        };
        tokio::select! {
            done = within(limit, what, work) => done,
            error = silent => Err(error),
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let work = Box::pin(tokio::time::timeout(budget::left(limit), work));
    budget::spend(work).await.unwrap_or_else(|_| Err(StoreError::timeout(what)))
}
