//! Clear-CsDeviceUpdateFile: rows go first, blobs after, under the import lock, so that a crash at any point leaves
//! blobs that no row names, and never a row without its blob.

use super::events::Event;
use super::rows::updates;
use super::transaction::Change;
use super::{Database, DryRun, StoreError, import, packages, topology, within};
use crate::package::{Update, UpdateFile};
use crate::topology::PoolFqdn;
use deadpool_postgres::{ClientWrapper, Object};
use serde_json::json;
use std::fmt;
use std::time::Duration;

/// Files whose rows are gone. Holds the import lock, so that no import brings them back while the caller deletes the
/// blobs: a crash in between leaves blobs that no row names, never a row without its blob.
pub struct ClearedFiles {
    updates: Vec<Update>,
    /// The session that holds the lock, out of the pool: dropping it closes it, and the server gives the lock back.
    lock: Option<ClientWrapper>,
    limit: Duration,
}

impl fmt::Debug for ClearedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearedFiles").field("updates", &self.updates).finish_non_exhaustive()
    }
}

const TRY_LOCK: &str = "select pg_try_advisory_lock($1)";

const UNLOCK: &str = "select pg_advisory_unlock($1)";

/// The session idles, with the lock, while files are deleted. A server of version 13 knows no limit for that.
const NO_IDLE_LIMIT: &str = "
    select set_config(name, '0', false)
    from pg_settings
    where name = 'idle_session_timeout'";

/// Interim builds have no rule; what a stepping stone leads over is kept, be it stored as an interim build or as an
/// ordinary update.
const UNUSED: &str = "
    select held.id
    from updates held
    join update_targets target on target.id = held.target_id
    where held.pool_id = $1
        and not exists (
            select
            from device_update_rules rule
            where rule.pool_id = held.pool_id
                and rule.target_id = held.target_id
                and held.version in (rule.approved_version, rule.pending_version, rule.restore_version))
        and not exists (
            select
            from stepping_stones stone
            where stone.via = held.version
                and folded(stone.device_type) = folded(target.device_type)
                and (stone.brand is null or target.brand is null or folded(stone.brand) = folded(target.brand))
                and (stone.model is null or target.model is null or folded(stone.model) = folded(target.model)))";

/// Their files go with them.
const DELETE: &str = "
    delete from updates
    where id = any($1)";

/// What a catalog lists goes with the last file that is this catalog.
const DELETE_CATALOGS: &str = "
    delete from catalog_digests listed
    where not exists (
        select
        from update_files file
        where file.digest = listed.catalog)";

/// So that a name gets a new spelling when it is imported anew.
const DELETE_TARGETS: &str = "
    delete from update_targets target
    where not exists (select from updates held where held.target_id = target.id)
        and not exists (select from device_update_rules rule where rule.target_id = target.id)";

impl Database {
    /// An administrator deletes logs older than so many days: said before it is done, because log files are no rows.
    pub async fn record_log_clearing(&self, pool: &PoolFqdn, days_back: u32, actor: &str) -> Result<(), StoreError> {
        self.within("recording that logs are cleared", async {
            let mut change = Change::begin(self, actor).await?;
            change.record(Event {
                action: "clear logs",
                object: format!("pool {pool}"),
                before: None,
                after: Some(json!({ "days_back": days_back })),
            });
            change.commit().await
        })
        .await
    }

    /// Deletes the rows of the pool's updates that no rule refers to and no stepping stone needs
    /// (Clear-CsDeviceUpdateFile).
    pub async fn clear_files(&self, pool: &PoolFqdn, actor: &str, dry_run: DryRun) -> Result<ClearedFiles, StoreError> {
        let limit = self.settings.operation_timeout;
        let lock = match dry_run {
            DryRun::Yes => None,
            DryRun::No => Some(self.locked().await?),
        };
        let updates = within(limit, "clearing files", self.clear_rows(pool, actor, dry_run)).await?;
        Ok(ClearedFiles { updates, lock, limit })
    }

    /// A session that holds the import lock.
    async fn locked(&self) -> Result<ClientWrapper, StoreError> {
        let taking = async {
            let client = Object::take(self.client().await?);
            client.batch_execute(NO_IDLE_LIMIT).await?;
            Ok(client)
        };
        let client = self.within("clearing files", taking).await?;
        self.take_import_lock(&client, TRY_LOCK).await?;
        Ok(client)
    }

    async fn clear_rows(&self, pool: &PoolFqdn, actor: &str, dry_run: DryRun) -> Result<Vec<Update>, StoreError> {
        let mut change = Change::begin(self, actor).await?;
        let (_, pool_id) = topology::pool_named(&change, pool).await?;
        let rows = change.query(UNUSED, &[&pool_id]).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let rows = change.query(packages::UPDATES, &[&ids]).await?;
        let cleared: Vec<Update> = updates(&rows, |_| Ok(()))?.into_iter().map(|((), update)| update).collect();
        if dry_run == DryRun::Yes || cleared.is_empty() {
            change.roll_back().await?;
            return Ok(cleared);
        }
        change.execute(DELETE, &[&ids]).await?;
        change.execute(DELETE_CATALOGS, &[]).await?;
        change.execute(DELETE_TARGETS, &[]).await?;
        let names: Vec<String> = cleared.iter().map(|one| format!("{} {}", one.target(), one.version())).collect();
        let before = Some(json!({ "updates": names }));
        change.record(Event { action: "clear files", object: format!("pool {pool}"), before, after: None });
        change.commit().await?;
        Ok(cleared)
    }
}

impl ClearedFiles {
    /// The updates that are gone (on a dry run: would be).
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// Their files: the blobs to delete.
    pub fn files(&self) -> impl Iterator<Item = &UpdateFile> {
        self.updates.iter().flat_map(Update::files)
    }

    /// Whether the session still holds the import lock: a server that was restarted has given it to whoever asks.
    pub async fn prove_lock(&self) -> Result<(), StoreError> {
        let Some(client) = &self.lock else { return Ok(()) };
        let lost = |source| StoreError::Unavailable {
            reason: "the import lock was lost: the server was restarted, or ended the connection".to_owned(),
            source: Some(source),
        };
        within(self.limit, "proving the import lock", async {
            client.simple_query("select 1").await.map(|_| ()).map_err(lost)
        })
        .await
    }

    /// The blobs are deleted: imports may run again. Dropping does the same by way of closing the connection.
    pub async fn release(self) -> Result<(), StoreError> {
        let Some(client) = &self.lock else { return Ok(()) };
        within(self.limit, "giving the import lock back", async {
            client.execute(UNLOCK, &[&import::LOCK_KEY]).await?;
            Ok(())
        })
        .await
    }
}
