//! Sites and pools.

use super::events::Event;
use super::rows::{maybe, parsed};
use super::transaction::{Change, Transaction};
use super::{Database, StoreError};
use crate::test_device::Scope;
use crate::topology::{Pool, PoolFqdn, PoolUrls, PublicUrl};
use serde_json::{Value, json};
use tokio_postgres::{Client, Row};

/// Who changes the store when a node starts.
const NODE_ACTOR: &str = "ucupdates";

const SITE_ID: &str = "
    select id
    from sites
    where folded(name) = folded($1)";

const POOLS: &str = "
    select pool.*, site.name as site
    from pools pool
    join sites site on site.id = pool.site_id
    where $1::text[] is null or pool.fqdn = any($1)
    order by pool.fqdn";

const ADD_SITE: &str = "
    insert into sites (name)
    values ($1)
    on conflict do nothing";

const ADD_POOL: &str = "
    insert into pools
        (site_id, fqdn, service_id, internal_update_url, external_update_url, internal_files_url, external_files_url)
    select id, $2, $3, $4, $5, $6, $7
    from sites
    where folded(name) = folded($1)
    on conflict (fqdn) do nothing";

const SET_URLS: &str = "
    update pools
    set internal_update_url = $2, external_update_url = $3, internal_files_url = $4, external_files_url = $5
    where fqdn = $1";

const LOCK_POOL: &str = "
    select pool.*, site.name as site
    from pools pool
    join sites site on site.id = pool.site_id
    where pool.fqdn = $1
    for update of pool";

impl Database {
    /// All pools, by FQDN.
    pub async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        self.within("pools", async {
            let rows = self.client().await?.query(POOLS, &[&None::<Vec<&str>>]).await?;
            rows.iter().map(pool).collect()
        })
        .await
    }

    /// The pools of these names, in this order; all of them are there.
    pub async fn pools_named(&self, fqdns: &[PoolFqdn]) -> Result<Vec<Pool>, StoreError> {
        self.within("pools", async {
            let found = pools_named(&*self.client().await?, fqdns).await?;
            Ok(found.into_iter().map(|(pool, _)| pool).collect())
        })
        .await
    }

    /// Makes the site and the pool if they are missing, and fills in URLs that are not set yet: what an administrator
    /// set stays. The answer is the pool as stored.
    pub async fn ensure_pool(&self, wanted: &Pool) -> Result<Pool, StoreError> {
        self.within("making the pool", async {
            let mut change = Change::begin(self, NODE_ACTOR).await?;
            if add_pool(&mut change, wanted).await? {
                change.commit().await?;
                return Ok(wanted.clone());
            }
            let before = lock_pool(&change, &wanted.fqdn).await?;
            let filled = |set: &Option<PublicUrl>, new: &Option<PublicUrl>| set.clone().or_else(|| new.clone());
            let (set, new) = (&before.urls, &wanted.urls);
            let urls = PoolUrls {
                internal_update: filled(&set.internal_update, &new.internal_update),
                external_update: filled(&set.external_update, &new.external_update),
                internal_files: filled(&set.internal_files, &new.internal_files),
                external_files: filled(&set.external_files, &new.external_files),
            };
            set_urls(&mut change, &before, &urls).await?;
            change.commit().await?;
            Ok(Pool { urls, ..before })
        })
        .await
    }

    /// Makes a pool, and its site if that is missing.
    pub async fn create_pool(&self, pool: &Pool, actor: &str) -> Result<(), StoreError> {
        self.within("making a pool", async {
            let mut change = Change::begin(self, actor).await?;
            if !add_pool(&mut change, pool).await? {
                change.roll_back().await?;
                return Err(StoreError::AlreadyExists(format!("pool {}", pool.fqdn)));
            }
            change.commit().await
        })
        .await
    }

    /// Sets all four URLs of a pool.
    pub async fn set_pool_urls(&self, fqdn: &PoolFqdn, urls: &PoolUrls, actor: &str) -> Result<(), StoreError> {
        self.within("setting a pool's URLs", async {
            let mut change = Change::begin(self, actor).await?;
            let before = lock_pool(&change, fqdn).await?;
            set_urls(&mut change, &before, urls).await?;
            change.commit().await
        })
        .await
    }
}

/// The pools with their ids, in the order of `fqdns`; all of them are there, and there is one at least.
pub(super) async fn pools_named(client: &Client, fqdns: &[PoolFqdn]) -> Result<Vec<(Pool, i64)>, StoreError> {
    if fqdns.is_empty() {
        return Err(StoreError::Refused("no pool is named".to_owned()));
    }
    let names: Vec<&str> = fqdns.iter().map(PoolFqdn::as_str).collect();
    let rows = client.query(POOLS, &[&Some(names)]).await?;
    let mut found: Vec<(Pool, i64)> = Vec::new();
    for fqdn in fqdns {
        let row = rows.iter().find(|row| row.try_get("fqdn").is_ok_and(|name: &str| name == fqdn.as_str()));
        let row = row.ok_or_else(|| no_pool(fqdn))?;
        if !found.iter().any(|(pool, _)| pool.fqdn == *fqdn) {
            found.push((pool(row)?, row.try_get("id")?));
        }
    }
    Ok(found)
}

/// The pool with its id.
pub(super) async fn pool_named(transaction: &Transaction, fqdn: &PoolFqdn) -> Result<(Pool, i64), StoreError> {
    pools_named(transaction, std::slice::from_ref(fqdn)).await?.pop().ok_or_else(|| no_pool(fqdn))
}

/// The id of a scope's site; 0 for the global scope.
pub(super) async fn scope_id(client: &Client, scope: &Scope) -> Result<i64, StoreError> {
    let Scope::Site(site) = scope else { return Ok(0) };
    match client.query_opt(SITE_ID, &[&site.as_str()]).await? {
        Some(row) => Ok(row.try_get("id")?),
        None => Err(StoreError::NotFound(format!("site {site}, which no pool is in (see `ucupdates pool list`),"))),
    }
}

async fn add_pool(change: &mut Change, pool: &Pool) -> Result<bool, StoreError> {
    if change.execute(ADD_SITE, &[&pool.site.as_str()]).await? > 0 {
        let object = format!("site {}", pool.site);
        change.record(Event { action: "create", object, before: None, after: Some(json!({})) });
    }
    let (fqdn, [one, two, three, four]) = (pool.fqdn.as_str(), url_columns(&pool.urls));
    let added = change
        .execute(ADD_POOL, &[&pool.site.as_str(), &fqdn, &pool.service_id.as_str(), &one, &two, &three, &four])
        .await
        .map_err(|error| match StoreError::constraint(&error) {
            Some("pools_service_id_unique") => {
                let text = format!("another pool has the service id {}: each pool needs its own", pool.service_id);
                StoreError::Refused(text)
            }
            _ => error.into(),
        })?;
    if added > 0 {
        let after = Some(json!({
            "site": pool.site.as_str(),
            "service_id": pool.service_id.as_str(),
            "urls": urls_json(&pool.urls),
        }));
        change.record(Event { action: "create", object: format!("pool {fqdn}"), before: None, after });
    }
    Ok(added > 0)
}

async fn lock_pool(change: &Change, fqdn: &PoolFqdn) -> Result<Pool, StoreError> {
    let row = change.query_opt(LOCK_POOL, &[&fqdn.as_str()]).await?;
    pool(&row.ok_or_else(|| no_pool(fqdn))?)
}

async fn set_urls(change: &mut Change, before: &Pool, urls: &PoolUrls) -> Result<(), StoreError> {
    if before.urls == *urls {
        return Ok(());
    }
    let [one, two, three, four] = url_columns(urls);
    change.execute(SET_URLS, &[&before.fqdn.as_str(), &one, &two, &three, &four]).await?;
    change.record(Event {
        action: "set",
        object: format!("pool {}", before.fqdn),
        before: Some(urls_json(&before.urls)),
        after: Some(urls_json(urls)),
    });
    Ok(())
}

pub(super) fn no_pool(fqdn: &PoolFqdn) -> StoreError {
    StoreError::NotFound(format!("pool {fqdn}"))
}

fn url_columns(urls: &PoolUrls) -> [Option<&str>; 4] {
    let PoolUrls { internal_update, external_update, internal_files, external_files } = urls;
    [internal_update, external_update, internal_files, external_files].map(|url| url.as_ref().map(PublicUrl::as_str))
}

fn urls_json(urls: &PoolUrls) -> Value {
    let [internal_update, external_update, internal_files, external_files] = url_columns(urls);
    json!({
        "internal_update_url": internal_update,
        "external_update_url": external_update,
        "internal_files_url": internal_files,
        "external_files_url": external_files,
    })
}

/// A row of `pools` with the name of its site.
pub(super) fn pool(row: &Row) -> Result<Pool, StoreError> {
    Ok(Pool {
        fqdn: parsed(row, "fqdn")?,
        site: parsed(row, "site")?,
        service_id: parsed(row, "service_id")?,
        urls: PoolUrls {
            internal_update: maybe(row, "internal_update_url")?,
            external_update: maybe(row, "external_update_url")?,
            internal_files: maybe(row, "internal_files_url")?,
            external_files: maybe(row, "external_files_url")?,
        },
    })
}
