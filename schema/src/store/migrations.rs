//! Bringing the schema to this program's version, by one node at a time.

use super::{Database, StoreError};
use deadpool_postgres::Object;
use refinery::Runner;
use std::sync::LazyLock;
use tokio_postgres::{Client, Row};

/// What `migrate` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version before; 0 for an empty database.
    pub from: u32,
    /// Schema version now.
    pub to: u32,
}

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Held for the session while a node migrates.
const LOCK_KEY: i64 = 0x7563_7570_0001;

const LOCK: &str = "select pg_advisory_lock($1)";

const HAS_HISTORY: &str = "select to_regclass('refinery_schema_history') is not null";

const VERSION: &str = "
    select coalesce(max(version), 0)::bigint
    from refinery_schema_history";

impl Database {
    /// Brings the schema to this program's version. Nodes that start together wait for one another.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        let limit = self.settings.migrate_timeout;
        let migrating = async {
            // Taken out of the pool, so that its end, good or bad, closes it and gives the lock back.
            let mut client = Object::take(self.client().await?);
            let limits = format!("set statement_timeout = 0; set lock_timeout = {}", limit.as_millis());
            client.batch_execute(&limits).await?;
            client.execute(LOCK, &[&LOCK_KEY]).await?;
            let from = found_version(&client).await?;
            let runner = runner()?;
            let to = known_version(&runner);
            if from > to {
                return Err(StoreError::NewerDatabase { found: from, known: to });
            }
            runner.run_async(&mut *client).await.map_err(StoreError::corrupt)?;
            Ok(Migrated { from, to })
        };
        self.watched(limit, "migrating", Box::pin(migrating)).await
    }

    /// Fails with `NewerDatabase` or `OlderDatabase` unless the schema is that of this program.
    pub async fn check_version(&self) -> Result<(), StoreError> {
        let found = self
            .within("schema version", async {
                let client = self.client().await?;
                found_version(&client).await
            })
            .await?;
        check_found(found)
    }
}

/// Fails unless the row's `schema_version` is this program's: for statements that ask for it beside what they are about, so
/// that a store which was migrated under a living connection is not used.
pub(super) fn check_version_in(row: &Row) -> Result<(), StoreError> {
    let found: i64 = row.try_get("schema_version")?;
    check_found(u32::try_from(found).map_err(StoreError::corrupt)?)
}

fn check_found(found: u32) -> Result<(), StoreError> {
    static KNOWN: LazyLock<u32> = LazyLock::new(|| known_version(&embedded::migrations::runner()));
    let known = *KNOWN;
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(StoreError::OlderDatabase { found, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(StoreError::NewerDatabase { found, known }),
    }
}

fn runner() -> Result<Runner, StoreError> {
    Ok(embedded::migrations::runner())
}

fn known_version(runner: &Runner) -> u32 {
    let versions = runner.get_migrations().iter().map(refinery::Migration::version);
    versions.max().map_or(0, |version| u32::try_from(version).unwrap_or_default())
}

async fn found_version(client: &Client) -> Result<u32, StoreError> {
    if !client.query_one(HAS_HISTORY, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let version: i64 = client.query_one(VERSION, &[]).await?.try_get(0)?;
    u32::try_from(version).map_err(StoreError::corrupt)
}
