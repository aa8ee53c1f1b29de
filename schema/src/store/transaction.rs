//! One transaction, and the change that an administrator makes in it: what is changed, the admin events that say so,
//! the next generation and its announcement are committed together or not at all.

use super::events::{self, Event};
use super::{Database, StoreError};
use deadpool_postgres::{Client, ClientWrapper, Object};
use std::ops::Deref;

/// An open transaction on a connection of its own. Dropped without an end, the connection is closed, which makes the
/// server roll back: a connection in an unknown state never goes back to the pool.
pub(super) struct Transaction(Option<Client>);

/// How a transaction sees the database.
#[derive(Clone, Copy)]
pub(super) enum Isolation {
    /// Each statement sees what is committed before it.
    ReadCommitted,
    /// All statements see one state; nothing can be written.
    Snapshot,
}

impl Transaction {
    pub async fn begin(database: &Database, isolation: Isolation) -> Result<Self, StoreError> {
        let transaction = Self(Some(database.client().await?));
        let begin = match isolation {
            Isolation::ReadCommitted => "begin isolation level read committed read write",
            Isolation::Snapshot => "begin isolation level repeatable read read only",
        };
        transaction.batch_execute(begin).await?;
        Ok(transaction)
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        self.end("commit").await
    }

    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &str) -> Result<(), StoreError> {
        self.batch_execute(how).await?;
        drop(self.0.take()); // back to the pool
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("the connection is given away only when the transaction is consumed")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

/// A change by an administrator, or by a node that starts.
pub(super) struct Change {
    transaction: Transaction,
    actor: String,
    events: Vec<Event>,
}

impl Change {
    pub async fn begin(database: &Database, actor: &str) -> Result<Self, StoreError> {
        Ok(Self::of(Transaction::begin(database, Isolation::ReadCommitted).await?, actor))
    }

    /// The change that `transaction`, which holds a lock already, turns out to be.
    pub fn of(transaction: Transaction, actor: &str) -> Self {
        Self { transaction, actor: actor.to_owned(), events: Vec::new() }
    }

    /// Says what is changed. To be called for everything that is.
    pub fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Writes the events, counts the change, announces it. A change without events changes nothing.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return self.transaction.roll_back().await;
        }
        events::write(&self.transaction, &self.actor, &self.events).await?;
        self.transaction.commit().await
    }

    /// Leaves everything as it was.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.transaction.roll_back().await
    }
}

impl Deref for Change {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}
