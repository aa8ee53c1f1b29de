//! Imports: what stands before one, the lock that it holds, and the one transaction that announces it. What happens to
//! each update is planned by `schema::import`; blobs are the importer's.

use super::events::Event;
use super::import_rows as rows;
use super::transaction::{Change, Isolation, Transaction};
use super::{Database, StoreError, snapshot, topology, within};
use crate::import::{self, AlreadyThere, ImportOutcome, ImportRecord, ImportRefusal, StagedPackage};
use crate::package::{Digest, Update};
use crate::rule::RuleAction;
use crate::topology::{Pool, PoolFqdn};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Held by an import, and by the clearing of files: of both, one at a time runs in all pools.
pub(super) const LOCK_KEY: i64 = 0x7563_7570_0002;

const TRY_LOCK: &str = "select pg_try_advisory_xact_lock($1)";

/// How often the lock is tried for. Not waited for in the server: on a connection that waits, nobody sees whether it hangs.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// An import that holds the lock: no other import, and no clearing of files, runs meanwhile on any node.
/// Dropped without a commit, nothing has changed.
pub struct ImportTransaction {
    transaction: Transaction,
    database: Database,
    pools: Vec<Pool>,
    pool_ids: Vec<i64>,
}

impl fmt::Debug for ImportTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportTransaction").field("pools", &self.pools).finish_non_exhaustive()
    }
}

impl Database {
    /// Begins an import to these pools; waits a while for another one to end, then refuses.
    pub async fn begin_import(&self, pools: &[PoolFqdn]) -> Result<ImportTransaction, StoreError> {
        let begin = async {
            let transaction = Transaction::begin(self, Isolation::ReadCommitted).await?;
            let limit_ms = self.settings.import_timeout.as_millis();
            transaction.batch_execute(&format!("set local statement_timeout = {limit_ms}")).await?;
            Ok(transaction)
        };
        let transaction = self.within("beginning an import", begin).await?;
        self.take_import_lock(&transaction, TRY_LOCK).await?;
        self.within("beginning an import", async {
            let (pools, pool_ids) = topology::pools_named(&transaction, pools).await?.into_iter().unzip();
            Ok(ImportTransaction { transaction, database: self.clone(), pools, pool_ids })
        })
        .await
    }

    /// Takes the import lock by a statement that tries for it; waits a while for whoever holds it, then refuses.
    pub(super) async fn take_import_lock(&self, client: &Client, try_lock: &str) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            let taken = self.within("waiting for another import", async {
                Ok(client.query_one(try_lock, &[&LOCK_KEY]).await?.try_get(0)?)
            });
            if taken.await? {
                return Ok(());
            }
            if began.elapsed() >= self.settings.import_wait {
                let text = "another import, or a clearing of files, is running; try again when it is done";
                return Err(StoreError::Refused(text.to_owned()));
            }
            tokio::time::sleep(TRY_INTERVAL).await;
        }
    }

    /// What an import would do now, without a lock (dry run).
    pub async fn preview_import(
        &self,
        pools: &[PoolFqdn],
        updates: &[Update],
    ) -> Result<Vec<ImportRecord>, StoreError> {
        self.within("previewing an import", async {
            let transaction = Transaction::begin(self, Isolation::Snapshot).await?;
            let (pools, pool_ids): (Vec<Pool>, Vec<i64>) =
                topology::pools_named(&transaction, pools).await?.into_iter().unzip();
            let standing = rows::standing(&transaction, &pool_ids, updates, rows::Rules::Read).await?;
            transaction.roll_back().await?;
            Ok(import::plan(&fqdns(&pools), updates, &standing))
        })
        .await
    }
}

fn fqdns(pools: &[Pool]) -> Vec<PoolFqdn> {
    pools.iter().map(|pool| pool.fqdn.clone()).collect()
}

impl ImportTransaction {
    /// The pools imported to, in the order given.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// What the import of these updates would do now. The files of those with `needs_files` are to be stored, then
    /// `commit` called. What it says of files, and which updates it refuses, holds until the end of the transaction;
    /// an administrator may act on a rule meanwhile.
    pub async fn plan(&mut self, updates: &[Update]) -> Result<Vec<ImportRecord>, StoreError> {
        let limit = self.database.settings.operation_timeout;
        within(limit, "planning an import", self.records(updates, rows::Rules::Read)).await
    }

    async fn records(&self, updates: &[Update], rules: rows::Rules) -> Result<Vec<ImportRecord>, StoreError> {
        let standing = rows::standing(&self.transaction, &self.pool_ids, updates, rules).await?;
        Ok(import::plan(&fqdns(&self.pools), updates, &standing))
    }

    /// Writes package, updates, files and rules of everything that is not refused, and announces it. The records are
    /// what was done. When nothing changes, nothing is written at all.
    pub async fn commit(self, package: &StagedPackage, actor: &str) -> Result<Vec<ImportRecord>, StoreError> {
        let database = self.database.clone();
        let limit = database.settings.import_timeout;
        database.watched(limit, "announcing an import", Box::pin(self.write(package, actor))).await
    }

    async fn write(self, package: &StagedPackage, actor: &str) -> Result<Vec<ImportRecord>, StoreError> {
        // Targets first, so that rules that are made meanwhile cannot be missed: without import there are none.
        let target_ids = rows::ensure_targets(&self.transaction, &package.updates).await?;
        let records = self.records(&package.updates, rows::Rules::Lock).await?;
        let pool_id = |record: &ImportRecord| -> Option<i64> {
            let index = self.pools.iter().position(|pool| pool.fqdn == record.pool)?;
            Some(self.pool_ids[index])
        };
        let mut stored = Vec::new();
        // The last version of a package that holds several for the same devices is the one that is pending.
        let mut pending = BTreeMap::new();
        for record in &records {
            let Some(pool_id) = pool_id(record) else { continue };
            let target_id = target_ids[record.index];
            if record.needs_files {
                stored.push((pool_id, target_id, &package.updates[record.index]));
            }
            let announced = matches!(record.outcome, ImportOutcome::Created | ImportOutcome::Replaced { .. });
            if announced && matches!(record.target, crate::package::UpdateTarget::Device(_)) {
                pending.insert((pool_id, target_id), record.version.to_string());
            }
        }
        let pools: Vec<(&Pool, i64)> = self.pools.iter().zip(self.pool_ids.iter().copied()).collect();
        let mut change = Change::of(self.transaction, actor);
        if stored.is_empty() && pending.is_empty() {
            change.roll_back().await?;
            return Ok(records);
        }
        rows::write_package(&change, package, actor).await?;
        rows::write_updates(&change, &package.digest, &stored).await?;
        rows::write_pending(&change, &pending).await?;
        for (pool, id) in pools {
            snapshot::check_room_of_pool(&change, pool, id).await?;
        }
        let new: HashSet<Digest> =
            stored.iter().flat_map(|(_, _, update)| update.files()).map(|file| file.digest).collect();
        for catalog in package.catalogs.iter().filter(|catalog| new.contains(&catalog.file)) {
            rows::write_catalog(&change, catalog).await?;
        }
        change.record(Event {
            action: "import",
            object: format!("package {}", package.name),
            before: None,
            after: Some(json!({
                "digest": package.digest.to_string(),
                "size_bytes": package.size_bytes,
                "updates": records.iter().map(record_json).collect::<Vec<_>>(),
            })),
        });
        change.commit().await?;
        Ok(records)
    }
}

fn record_json(record: &ImportRecord) -> Value {
    let (outcome, detail) = match &record.outcome {
        ImportOutcome::Created => ("created", None),
        ImportOutcome::Replaced { pending } => ("replaced", pending.map(|version| version.to_string())),
        ImportOutcome::Unchanged(why) => ("unchanged", Some(AlreadyThere::to_string(why))),
        ImportOutcome::Refused(why) => ("refused", Some(ImportRefusal::to_string(why))),
    };
    json!({
        "pool": record.pool.as_str(),
        "target": record.target.to_string(),
        "version": record.version.to_string(),
        "outcome": outcome,
        "detail": detail,
    })
}

/// The refusal of [`RuleAction::Import`] where it has no package.
pub(super) fn not_without_package(action: RuleAction) -> Result<(), StoreError> {
    match action {
        RuleAction::Import(_) => Err(StoreError::Refused("a version comes with a package: import one".to_owned())),
        _ => Ok(()),
    }
}
