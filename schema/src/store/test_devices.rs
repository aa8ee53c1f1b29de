//! Test devices, listed globally and by site (rows C13 to C16, T01 to T08).

use super::events::Event;
use super::rows::{parsed, scope};
use super::transaction::Change;
use super::{Database, StoreError, snapshot, topology};
use crate::rule_set::LIMITS;
use crate::test_device::{Scope, TestDevice, TestDeviceIdentity, TestIdentifier};
use serde_json::{Value, json};
use tokio_postgres::Row;

/// All, those of a scope, or one: what is null is not asked for.
const LIST: &str = "
    select site.name as site, device.name, device.identifier_type, device.identifier
    from test_devices device
    left join sites site on site.id = device.site_id
    where ($1::bigint is null or coalesce(device.site_id, 0) = $1)
        and ($2::text is null or folded(device.name) = folded($2))
    order by device.site_id is not null, folded(site.name), folded(device.name)";

const ADD: &str = "
    insert into test_devices (site_id, name, identifier_type, identifier)
    values (nullif($1::bigint, 0), $2, $3, $4)";

const SET: &str = "
    update test_devices
    set identifier_type = $3, identifier = $4
    where coalesce(site_id, 0) = $1 and folded(name) = folded($2)";

/// Those that a node of the scope's site knows with those of no site; of the scope of all sites, where they are most.
const COUNT: &str = "
    with counts as (
        select site_id, count(*) as number
        from test_devices
        group by site_id)
    select (
        coalesce((select number from counts where site_id is null), 0)
        + coalesce((select max(number) from counts where site_id is not null and $1::bigint in (0, site_id)), 0))::bigint";

/// One, or all of a scope.
const REMOVE: &str = "
    delete from test_devices
    where coalesce(site_id, 0) = $1 and ($2::text is null or folded(name) = folded($2))";

impl Database {
    /// All test devices, by scope and name.
    pub async fn test_devices(&self) -> Result<Vec<TestDevice>, StoreError> {
        self.within("test devices", async {
            let rows = self.client().await?.query(LIST, &[&None::<i64>, &None::<&str>]).await?;
            rows.iter().map(device).collect()
        })
        .await
    }

    /// The test devices of one scope, by name.
    pub async fn test_devices_of(&self, scope: &Scope) -> Result<Vec<TestDevice>, StoreError> {
        self.within("test devices", async {
            let client = self.client().await?;
            let rows = client.query(LIST, &[&topology::scope_id(&client, scope).await?, &None::<&str>]).await?;
            rows.iter().map(device).collect()
        })
        .await
    }

    /// One test device.
    pub async fn test_device(&self, identity: &TestDeviceIdentity) -> Result<TestDevice, StoreError> {
        self.within("a test device", async {
            let client = self.client().await?;
            let scope_id = topology::scope_id(&client, &identity.scope).await?;
            let row = client.query_opt(LIST, &[&scope_id, &Some(identity.name.as_str())]).await?;
            device(&row.ok_or_else(|| no_device(identity))?)
        })
        .await
    }

    /// Lists a test device.
    pub async fn create_test_device(&self, device: &TestDevice, actor: &str) -> Result<(), StoreError> {
        self.within("listing a test device", async {
            let TestDevice { identity, identifier } = device;
            let mut change = Change::begin(self, actor).await?;
            let scope_id = topology::scope_id(&change, &identity.scope).await?;
            let (name, of_type, value) = (identity.name.as_str(), identifier.type_name(), identifier.value());
            change.execute(ADD, &[&scope_id, &name, &of_type, &value]).await.map_err(|error| {
                match StoreError::constraint(&error) {
                    Some("test_devices_name_unique") => StoreError::AlreadyExists(words(identity)),
                    _ => error.into(),
                }
            })?;
            let count: i64 = change.query_one(COUNT, &[&scope_id]).await?.try_get(0)?;
            snapshot::check_room(count, LIMITS.test_devices, "test devices of a site and of all sites")?;
            let after = Some(identifier_json(identifier));
            change.record(Event { action: "create", object: words(identity), before: None, after });
            change.commit().await
        })
        .await
    }

    /// Changes what a test device is recognised by.
    pub async fn set_test_device(
        &self,
        identity: &TestDeviceIdentity,
        identifier: &TestIdentifier,
        actor: &str,
    ) -> Result<(), StoreError> {
        self.within("changing a test device", async {
            let mut change = Change::begin(self, actor).await?;
            let scope_id = topology::scope_id(&change, &identity.scope).await?;
            let name = identity.name.as_str();
            let row = change.query_opt(LIST, &[&scope_id, &Some(name)]).await?;
            let before = device(&row.ok_or_else(|| no_device(identity))?)?;
            if before.identifier != *identifier {
                change.execute(SET, &[&scope_id, &name, &identifier.type_name(), &identifier.value()]).await?;
                change.record(Event {
                    action: "set",
                    object: words(identity),
                    before: Some(identifier_json(&before.identifier)),
                    after: Some(identifier_json(identifier)),
                });
            }
            change.commit().await
        })
        .await
    }

    /// Removes one test device.
    pub async fn remove_test_device(&self, identity: &TestDeviceIdentity, actor: &str) -> Result<(), StoreError> {
        match self.remove(&identity.scope, Some(identity.name.as_str()), actor).await?[..] {
            [] => Err(no_device(identity)),
            _ => Ok(()),
        }
    }

    /// Removes all test devices of a scope; the answer is what they were.
    pub async fn remove_test_devices(&self, scope: &Scope, actor: &str) -> Result<Vec<TestDevice>, StoreError> {
        self.remove(scope, None, actor).await
    }

    async fn remove(&self, scope: &Scope, name: Option<&str>, actor: &str) -> Result<Vec<TestDevice>, StoreError> {
        self.within("removing test devices", async {
            let mut change = Change::begin(self, actor).await?;
            let scope_id = topology::scope_id(&change, scope).await?;
            let rows = change.query(LIST, &[&scope_id, &name]).await?;
            let devices: Vec<TestDevice> = rows.iter().map(device).collect::<Result<_, _>>()?;
            change.execute(REMOVE, &[&scope_id, &name]).await?;
            for TestDevice { identity, identifier } in &devices {
                let before = Some(identifier_json(identifier));
                change.record(Event { action: "remove", object: words(identity), before, after: None });
            }
            change.commit().await?;
            Ok(devices)
        })
        .await
    }
}

fn device(row: &Row) -> Result<TestDevice, StoreError> {
    let (of_type, value) = (row.try_get("identifier_type")?, row.try_get("identifier")?);
    Ok(TestDevice {
        identity: TestDeviceIdentity { scope: scope(row)?, name: parsed(row, "name")? },
        identifier: TestIdentifier::parse(of_type, value).map_err(StoreError::corrupt)?,
    })
}

fn identifier_json(identifier: &TestIdentifier) -> Value {
    json!({ "identifier_type": identifier.type_name(), "identifier": identifier.value() })
}

fn words(identity: &TestDeviceIdentity) -> String {
    format!("test device {identity}")
}

fn no_device(identity: &TestDeviceIdentity) -> StoreError {
    StoreError::NotFound(words(identity))
}
