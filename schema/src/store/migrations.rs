//! Bringing the schema to this program's version, by one node at a time, and whether a schema of another version may be used:
//! a newer one may, while it says that this program still works with it (decision 0023).

use super::{Database, StoreError};
use deadpool_postgres::Object;
use refinery::Runner;
use std::sync::LazyLock;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

/// What `migrate` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version before; 0 for an empty database.
    pub from: u32,
    /// Schema version now. Newer than this program when a newer one migrated, and this one still works with it.
    pub to: u32,
}

/// The schema that a database has.
#[derive(Debug, Clone, Copy)]
struct Found {
    version: u32,
    /// The schema version of the oldest program that works with it.
    oldest_program: u32,
}

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Held for the session while a node migrates.
const LOCK_KEY: i64 = 0x7563_7570_0001;

const LOCK: &str = "select pg_advisory_lock($1)";

const HAS_TABLES: &str = "
    select to_regclass('refinery_schema_history') is not null, to_regclass('schema_compatibility') is not null";

const VERSION: &str = "
    select coalesce(max(version), 0)::bigint
    from refinery_schema_history";

const OLDEST_PROGRAM: &str = "
    select oldest_program
    from schema_compatibility";

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
            let found = found(&client).await?;
            let (from, to) = (found.version, *KNOWN);
            if from > to {
                check_found(found)?;
                return Ok(Migrated { from, to: from });
            }
            embedded::migrations::runner().run_async(&mut *client).await.map_err(StoreError::corrupt)?;
            Ok(Migrated { from, to })
        };
        self.watched(limit, "migrating", Box::pin(migrating)).await
    }

    /// Fails with `NewerDatabase` or `OlderDatabase` unless this program works with the schema.
    pub async fn check_version(&self) -> Result<(), StoreError> {
        let found = self
            .within("schema version", async {
                let client = self.client().await?;
                found(&client).await
            })
            .await?;
        check_found(found)
    }
}

/// Fails unless this program works with the schema that the row's `schema_version` and `oldest_program` tell of: for
/// statements that ask for them beside what they are about, so that a store which was migrated under a living connection is
/// not used.
pub(super) fn check_version_in(row: &Row) -> Result<(), StoreError> {
    let version: i64 = row.try_get("schema_version")?;
    let oldest_program: i32 = row.try_get("oldest_program")?;
    let number = |number: i64| u32::try_from(number).map_err(StoreError::corrupt);
    check_found(Found { version: number(version)?, oldest_program: number(oldest_program.into())? })
}

/// The result of such a statement. A database that is too old lacks the tables which it names: then that is the error.
pub(super) async fn asked_with_version<T>(
    client: &Client,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, StoreError> {
    match result {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            check_found(found(client).await?)?;
            Err(error.into())
        }
        result => Ok(result?),
    }
}

static KNOWN: LazyLock<u32> = LazyLock::new(|| known_version(&embedded::migrations::runner()));

fn check_found(found: Found) -> Result<(), StoreError> {
    check(found, *KNOWN)
}

fn check(found: Found, known: u32) -> Result<(), StoreError> {
    let Found { version: found, oldest_program } = found;
    if found < known {
        return Err(StoreError::OlderDatabase { found, known });
    }
    if found > known && oldest_program > known {
        return Err(StoreError::NewerDatabase { found, oldest_program, known });
    }
    Ok(())
}

fn known_version(runner: &Runner) -> u32 {
    let versions = runner.get_migrations().iter().map(refinery::Migration::version);
    versions.max().map_or(0, |version| u32::try_from(version).unwrap_or_default())
}

async fn found(client: &Client) -> Result<Found, StoreError> {
    let tables = client.query_one(HAS_TABLES, &[]).await?;
    if !tables.try_get::<_, bool>(0)? {
        return Ok(Found { version: 0, oldest_program: 0 });
    }
    let version: i64 = client.query_one(VERSION, &[]).await?.try_get(0)?;
    let version = u32::try_from(version).map_err(StoreError::corrupt)?;
    // Before there was a table for it, a program worked with its own version only.
    if !tables.try_get::<_, bool>(1)? {
        return Ok(Found { version, oldest_program: version });
    }
    let oldest: i32 = client.query_one(OLDEST_PROGRAM, &[]).await?.try_get(0)?;
    Ok(Found { version, oldest_program: u32::try_from(oldest).map_err(StoreError::corrupt)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_works_with_its_own_schema_and_with_newer_ones_that_say_so() {
        let said = |version, oldest_program, known| match check(Found { version, oldest_program }, known) {
            Ok(()) => "works",
            Err(StoreError::OlderDatabase { .. }) => "older",
            Err(StoreError::NewerDatabase { .. }) => "newer",
            Err(_) => "other",
        };
        for (version, oldest_program, known, expected) in [
            (0, 0, 3, "older"),
            (2, 2, 3, "older"),
            (3, 2, 3, "works"),
            (3, 3, 3, "works"),
            (4, 3, 3, "works"),
            (9, 2, 3, "works"),
            (4, 4, 3, "newer"),
            (9, 4, 3, "newer"),
        ] {
            assert_eq!(said(version, oldest_program, known), expected, "{version} {oldest_program} {known}");
        }
    }
}
