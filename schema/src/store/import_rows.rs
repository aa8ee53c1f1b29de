//! The statements of an import, for all its pools and updates at once.

use super::rows::{TargetColumns, device_key, parsed, role_word, updates, versions};
use super::transaction::Transaction;
use super::{StoreError, packages};
use crate::import::{StagedPackage, Standing};
use crate::package::{Catalog, Digest, Update};
use jiff::civil::DateTime;
use std::collections::{BTreeMap, HashMap};

/// Whether rules are locked against other changes until the end of the transaction.
#[derive(Clone, Copy)]
pub(super) enum Rules {
    /// An administrator may act on them meanwhile.
    Read,
    /// Nobody may.
    Lock,
}

const TARGET_IDS: &str = "
    select wanted.place, target.id
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        with ordinality as wanted (device_type, brand, model, revision, locale, update_type, place)
    join update_targets target
        on folded(target.device_type) = folded(wanted.device_type)
        and folded(coalesce(target.brand, '')) = folded(coalesce(wanted.brand, ''))
        and folded(coalesce(target.model, '')) = folded(coalesce(wanted.model, ''))
        and folded(coalesce(target.revision, '')) = folded(coalesce(wanted.revision, ''))
        and folded(target.locale) = folded(wanted.locale)
        and folded(target.update_type) = folded(wanted.update_type)";

/// The ids of the updates' targets, by the updates' places; targets that are new have none.
async fn target_ids(transaction: &Transaction, updates: &[Update]) -> Result<HashMap<usize, i64>, StoreError> {
    let of = TargetColumns::new(updates.iter().map(Update::target));
    let rows = transaction
        .query(TARGET_IDS, &[&of.device_types, &of.brands, &of.models, &of.revisions, &of.locales, &of.update_types])
        .await?;
    let mut ids = HashMap::new();
    for row in rows {
        let place = usize::try_from(row.try_get::<_, i64>("place")?).map_err(StoreError::corrupt)?;
        ids.insert(place - 1, row.try_get("id")?);
    }
    Ok(ids)
}

const ADD_TARGETS: &str = "
    insert into update_targets (kind, device_type, brand, model, revision, locale, update_type)
    select *
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    on conflict do nothing";

/// The ids of the updates' targets, in the updates' order; targets that are new are made.
pub(super) async fn ensure_targets(transaction: &Transaction, updates: &[Update]) -> Result<Vec<i64>, StoreError> {
    let of = TargetColumns::new(updates.iter().map(Update::target));
    transaction
        .execute(
            ADD_TARGETS,
            &[&of.kinds, &of.device_types, &of.brands, &of.models, &of.revisions, &of.locales, &of.update_types],
        )
        .await?;
    let ids = target_ids(transaction, updates).await?;
    let id = |place| ids.get(&place).copied().ok_or_else(|| StoreError::corrupt("a target that was made is missing"));
    (0..updates.len()).map(id).collect()
}

const STANDING: &str = "
    select held.id
    from unnest($1::bigint[], $2::text[]) as wanted (target_id, version)
    join updates held on held.target_id = wanted.target_id and held.version = wanted.version
    union
    select file.update_id
    from update_files file
    where file.pool_id = any($3) and folded(file.path) = any($4)";

const RULES: &str = "
    select pool.fqdn, target.*, rule.approved_version, rule.pending_version, rule.restore_version
    from device_update_rules rule
    join pools pool on pool.id = rule.pool_id
    join update_targets target on target.id = rule.target_id
    where rule.pool_id = any($1) and rule.target_id = any($2)
    order by rule.id";

const RULES_LOCKED: &str = "
    select pool.fqdn, target.*, rule.approved_version, rule.pending_version, rule.restore_version
    from device_update_rules rule
    join pools pool on pool.id = rule.pool_id
    join update_targets target on target.id = rule.target_id
    where rule.pool_id = any($1) and rule.target_id = any($2)
    order by rule.id
    for update of rule";

/// All that the updates could meet in these pools.
pub(super) async fn standing(
    transaction: &Transaction,
    pool_ids: &[i64],
    offered: &[Update],
    rules: Rules,
) -> Result<Standing, StoreError> {
    let target_ids = target_ids(transaction, offered).await?;
    let known = || offered.iter().enumerate().filter_map(|(place, update)| Some((*target_ids.get(&place)?, update)));
    let targets: Vec<i64> = known().map(|(id, _)| id).collect();
    let offered_versions: Vec<String> = known().map(|(_, update)| update.version().to_string()).collect();
    let paths: Vec<String> = offered.iter().flat_map(Update::files).map(|file| file.path.folded()).collect();
    let rows = transaction.query(STANDING, &[&targets, &offered_versions, &pool_ids, &paths]).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let held = transaction.query(packages::UPDATES, &[&ids]).await?;
    let text = match rules {
        Rules::Read => RULES,
        Rules::Lock => RULES_LOCKED,
    };
    let mut standing = Standing { updates: updates(&held, |row| parsed(row, "fqdn"))?, rules: Vec::new() };
    for row in transaction.query(text, &[&pool_ids, &targets]).await? {
        standing.rules.push((parsed(&row, "fqdn")?, device_key(&row)?, versions(&row)?));
    }
    Ok(standing)
}

const ADD_PACKAGE: &str = "
    insert into packages (digest, name, size_bytes, imported_by)
    values ($1, $2, $3, $4)
    on conflict (digest) do nothing";

pub(super) async fn write_package(
    transaction: &Transaction,
    package: &StagedPackage,
    actor: &str,
) -> Result<(), StoreError> {
    let size_bytes = i64::try_from(package.size_bytes).map_err(StoreError::corrupt)?;
    let digest = package.digest.as_bytes().as_slice();
    transaction.execute(ADD_PACKAGE, &[&digest, &package.name, &size_bytes, &actor]).await?;
    Ok(())
}

const ADD_UPDATES: &str = "
    insert into updates (pool_id, target_id, version, package_digest)
    select pool_id, target_id, version, $4
    from unnest($1::bigint[], $2::bigint[], $3::text[]) as new (pool_id, target_id, version)
    returning id, pool_id, target_id, version";

const ADD_FILES: &str = "
    insert into update_files (update_id, pool_id, name, role, digest, size_bytes, time_stamp, path)
    select *
    from unnest(
        $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::timestamp[], $8::text[])";

/// Writes updates (pool, target, update) and their files.
pub(super) async fn write_updates(
    transaction: &Transaction,
    package: &Digest,
    new: &[(i64, i64, &Update)],
) -> Result<(), StoreError> {
    let pools: Vec<i64> = new.iter().map(|(pool_id, _, _)| *pool_id).collect();
    let targets: Vec<i64> = new.iter().map(|(_, target_id, _)| *target_id).collect();
    let versions: Vec<String> = new.iter().map(|(_, _, update)| update.version().to_string()).collect();
    let rows = transaction.query(ADD_UPDATES, &[&pools, &targets, &versions, &package.as_bytes().as_slice()]).await?;
    let mut ids: HashMap<(i64, i64, String), i64> = HashMap::new();
    for row in rows {
        ids.insert((row.try_get("pool_id")?, row.try_get("target_id")?, row.try_get("version")?), row.try_get("id")?);
    }
    let mut files = FileColumns::default();
    for ((pool_id, target_id, update), version) in new.iter().zip(versions) {
        let id = ids.get(&(*pool_id, *target_id, version)).copied();
        files.add(id.ok_or_else(|| StoreError::corrupt("an update that was written is missing"))?, *pool_id, update)?;
    }
    transaction
        .execute(
            ADD_FILES,
            &[
                &files.updates,
                &files.pools,
                &files.names,
                &files.roles,
                &files.digests,
                &files.sizes_bytes,
                &files.time_stamps,
                &files.paths,
            ],
        )
        .await?;
    Ok(())
}

const ADD_CATALOG: &str = "
    insert into catalog_digests (catalog, place, algorithm, value)
    select $1, new.place, new.algorithm, new.value
    from unnest($2::text[], $3::bytea[]) with ordinality as new (algorithm, value, place)
    on conflict do nothing";

/// Writes what a security catalog lists.
pub(super) async fn write_catalog(transaction: &Transaction, catalog: &Catalog) -> Result<(), StoreError> {
    let algorithms: Vec<&str> = catalog.digests.iter().map(|digest| digest.algorithm.as_str()).collect();
    let values: Vec<&[u8]> = catalog.digests.iter().map(|digest| digest.value.as_slice()).collect();
    transaction.execute(ADD_CATALOG, &[&catalog.file.as_bytes().as_slice(), &algorithms, &values]).await?;
    Ok(())
}

/// Files as the arrays that `unnest` takes.
#[derive(Default)]
struct FileColumns<'a> {
    updates: Vec<i64>,
    pools: Vec<i64>,
    names: Vec<&'a str>,
    roles: Vec<&'static str>,
    digests: Vec<&'a [u8]>,
    sizes_bytes: Vec<i64>,
    time_stamps: Vec<DateTime>,
    paths: Vec<&'a str>,
}

impl<'a> FileColumns<'a> {
    fn add(&mut self, update_id: i64, pool_id: i64, update: &'a Update) -> Result<(), StoreError> {
        for file in update.files() {
            self.updates.push(update_id);
            self.pools.push(pool_id);
            self.names.push(file.name.as_str());
            self.roles.push(role_word(file.role));
            self.digests.push(file.digest.as_bytes());
            self.sizes_bytes.push(i64::try_from(file.size_bytes).map_err(StoreError::corrupt)?);
            self.time_stamps.push(file.time_stamp);
            self.paths.push(file.path.as_str());
        }
        Ok(())
    }
}

const SET_PENDING: &str = "
    insert into device_update_rules (pool_id, target_id, pending_version)
    select *
    from unnest($1::bigint[], $2::bigint[], $3::text[])
    on conflict (pool_id, target_id) do update
    set pending_version = excluded.pending_version";

/// Sets the pending version of the rules of (pool, target); rules that are missing are made.
pub(super) async fn write_pending(
    transaction: &Transaction,
    pending: &BTreeMap<(i64, i64), String>,
) -> Result<(), StoreError> {
    let (pools, targets): (Vec<i64>, Vec<i64>) = pending.keys().copied().unzip();
    let versions: Vec<&String> = pending.values().collect();
    transaction.execute(SET_PENDING, &[&pools, &targets, &versions]).await?;
    Ok(())
}
