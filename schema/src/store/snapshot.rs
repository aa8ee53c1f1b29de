//! What a node answers from: the generation, and the rule set as of it.

use super::rows::{device_key, updates, versions};
use super::transaction::{Isolation, Transaction};
use super::{Database, StoreError, configuration, packages, stepping_stones, topology};
use crate::rule_set::{RuleSet, RuleSetParts};
use crate::test_device::TestIdentifier;
use crate::topology::PoolFqdn;

const GENERATION: &str = "
    select value
    from generation";

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
    /// Counts the changes of the store.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        self.within("generation", async {
            Ok(self.client().await?.query_one(GENERATION, &[]).await?.try_get("value")?)
        })
        .await
    }

    /// The snapshot that the nodes of a pool answer from, as of one generation.
    pub async fn load_rule_set(&self, pool: &PoolFqdn) -> Result<RuleSet, StoreError> {
        self.within("loading the rules", async {
            let transaction = Transaction::begin(self, Isolation::Snapshot).await?;
            let parts = parts(&transaction, pool).await?;
            transaction.roll_back().await?;
            Ok(RuleSet::new(parts))
        })
        .await
    }
}

async fn parts(transaction: &Transaction, pool: &PoolFqdn) -> Result<RuleSetParts, StoreError> {
    let generation = transaction.query_one(GENERATION, &[]).await?.try_get("value")?;
    let (pool, pool_id) = topology::pool_named(transaction, pool).await?;
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
        generation,
        pool,
        rules: rules.iter().map(|row| Ok((device_key(row)?, versions(row)?))).collect::<Result<_, StoreError>>()?,
        updates: updates(&stored, |_| Ok(()))?.into_iter().map(|((), update)| update).collect(),
        stepping_stones: stones.iter().map(stepping_stones::stepping_stone).collect::<Result<_, _>>()?,
        test_devices: test_devices.iter().map(identifier).collect::<Result<_, StoreError>>()?,
        configuration: configuration::configuration(&configured)?,
        accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
    })
}
