//! What a node answers from: the rule set of its pool, and which state of the store it is as of.

use super::migrations::{asked_with_version, check_version_in};
use super::rows::{device_key, digest, updates, versions};
use super::transaction::{Isolation, Transaction};
use super::{Database, StoreError, configuration, packages, stepping_stones, topology};
use crate::rule_set::{self, LIMITS, RuleSet, RuleSetParts, StoreMark};
use crate::test_device::TestIdentifier;
use crate::topology::{Pool, PoolFqdn};

const MARK: &str = "
    select value, last_event, last_event_hash,
        (select coalesce(max(version), 0)::bigint from refinery_schema_history) as schema_version,
        (select oldest_program from schema_compatibility) as oldest_program
    from generation";

const HOLDS_EVENT: &str = "
    select exists (
        select
        from admin_events
        where number = $1 and hash = $2)";

/// In the order of the limits.
const COUNTS: &str = "
    select array[
        (select count(*) from device_update_rules where pool_id = $1),
        (select count(*) from updates where pool_id = $1),
        (select count(*) from update_files where pool_id = $1),
        (select count(*) from stepping_stones),
        (
            select count(*)
            from test_devices device
            left join sites site on site.id = device.site_id
            where device.site_id is null or folded(site.name) = folded($2)),
        (select count(*) from accounts)]";

const RULES: &str = "
    select target.*, rule.approved_version, rule.pending_version, rule.restore_version
    from device_update_rules rule
    join update_targets target on target.id = rule.target_id
    where rule.pool_id = $1";

const UPDATES_OF_POOL: &str = "
    select id
    from updates
    where pool_id = $1";

const TEST_DEVICES: &str = "
    select device.identifier_type, device.identifier
    from test_devices device
    left join sites site on site.id = device.site_id
    where device.site_id is null or folded(site.name) = folded($1)";

const ACCOUNTS: &str = "
    select name, password_hash
    from accounts";

impl Database {
    /// The state that the store is in. Fails with `NewerDatabase` or `OlderDatabase` unless this program
    /// works with the schema.
    pub async fn mark(&self) -> Result<StoreMark, StoreError> {
        self.within("generation", async {
            let client = self.client().await?;
            let asked = client.query_one(MARK, &[]).await;
            mark(&asked_with_version(&client, asked).await?)
        })
        .await
    }

    /// Whether the store was once in the state of the mark: one that was set up anew, or put back from a backup that is
    /// older, was not.
    pub async fn continues(&self, mark: &StoreMark) -> Result<bool, StoreError> {
        if mark.last_event == 0 {
            return Ok(true);
        }
        let hash: &[u8] = mark.last_event_hash.as_bytes();
        self.within("history", async {
            Ok(self.client().await?.query_one(HOLDS_EVENT, &[&mark.last_event, &hash]).await?.try_get(0)?)
        })
        .await
    }

    /// The snapshot that the nodes of a pool answer from, as of one generation.
    pub async fn load_rule_set(&self, pool: &PoolFqdn) -> Result<RuleSet, StoreError> {
        let limit = self.settings.load_timeout;
        let parts = async {
            let transaction = Transaction::begin(self, Isolation::Snapshot).await?;
            transaction.batch_execute(&format!("set local statement_timeout = {}", limit.as_millis())).await?;
            let parts = parts(&transaction, pool).await?;
            transaction.roll_back().await?;
            Ok(parts)
        };
        Ok(RuleSet::new(self.watched(limit, "loading the rules", Box::pin(parts)).await?)?)
    }
}

async fn parts(transaction: &Transaction, pool: &PoolFqdn) -> Result<RuleSetParts, StoreError> {
    let mark = mark(&transaction.query_one(MARK, &[]).await?)?;
    let (pool, pool_id) = topology::pool_named(transaction, pool).await?;
    // Before the rows: what is too much to be used is too much to be read.
    let counts: Vec<i64> = transaction.query_one(COUNTS, &[&pool_id, &pool.site.as_str()]).await?.try_get(0)?;
    let count = |index: usize| counts.get(index).map_or(0, |count| usize::try_from(*count).unwrap_or(usize::MAX));
    rule_set::check_counts(std::array::from_fn(count))?;
    let rules = transaction.query(RULES, &[&pool_id]).await?;
    let ids = transaction.query(UPDATES_OF_POOL, &[&pool_id]).await?;
    let ids: Vec<i64> = ids.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let stored = transaction.query(packages::UPDATES, &[&ids]).await?;
    let stones = transaction.query(stepping_stones::LIST, &[]).await?;
    let site = pool.site.as_str();
    let test_devices = transaction.query(TEST_DEVICES, &[&site]).await?;
    let configured = transaction.query_one(configuration::EFFECTIVE, &[&site]).await?;
    let accounts = transaction.query(ACCOUNTS, &[]).await?;
    let identifier = |row: &tokio_postgres::Row| {
        let (of_type, value) = (row.try_get("identifier_type")?, row.try_get("identifier")?);
        TestIdentifier::parse(of_type, value).map_err(StoreError::corrupt)
    };
    let account = |row: &tokio_postgres::Row| {
        let name: String = row.try_get("name")?;
        Ok::<_, StoreError>((name.to_lowercase(), row.try_get("password_hash")?))
    };
    Ok(RuleSetParts {
        mark,
        pool,
        rules: rules.iter().map(|row| Ok((device_key(row)?, versions(row)?))).collect::<Result<_, StoreError>>()?,
        updates: updates(&stored, |_| Ok(()))?.into_iter().map(|((), update)| update).collect(),
        stepping_stones: stones.iter().map(stepping_stones::stepping_stone).collect::<Result<_, _>>()?,
        test_devices: test_devices.iter().map(identifier).collect::<Result<_, StoreError>>()?,
        configuration: configuration::configuration(&configured)?,
        accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
    })
}

/// Refuses a change after which nodes could not use the rules any more, because there are too many of something. To be asked
/// after the statement that adds, in its transaction.
pub(super) fn check_room(count: i64, limit: usize, what: &str) -> Result<(), StoreError> {
    if usize::try_from(count).is_ok_and(|count| count <= limit) {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "there may be {limit} {what} at most, and this would be more: nothing was changed"
    )))
}

/// The same for what an import adds to a pool.
pub(super) async fn check_room_of_pool(transaction: &Transaction, pool: &Pool, id: i64) -> Result<(), StoreError> {
    let counts: Vec<i64> = transaction.query_one(COUNTS, &[&id, &pool.site.as_str()]).await?.try_get(0)?;
    let limits = [("rules", LIMITS.rules), ("updates", LIMITS.updates), ("files", LIMITS.files)];
    for (count, (what, limit)) in counts.into_iter().zip(limits) {
        check_room(count, limit, &format!("{what} of the pool {}", pool.fqdn))?;
    }
    Ok(())
}

fn mark(row: &tokio_postgres::Row) -> Result<StoreMark, StoreError> {
    check_version_in(row)?;
    Ok(StoreMark {
        generation: row.try_get("value")?,
        last_event: row.try_get("last_event")?,
        last_event_hash: digest(row, "last_event_hash")?,
    })
}
