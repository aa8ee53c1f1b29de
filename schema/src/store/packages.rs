//! Reading what was imported: packages, and stored updates with their files.

use super::rows::{digest, size_bytes};
use super::{Database, StoreError};
use crate::package::Digest;
use jiff::Timestamp;

/// An imported package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// The name it was uploaded under.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Who imported it first.
    pub imported_by: String,
    /// When.
    pub imported_at: Timestamp,
}

/// The updates with these ids, a row for each of their files, for `rows::updates`.
pub(super) const UPDATES: &str = "
    select held.id as update_id, held.version, pool.fqdn, target.*,
        file.name, file.role, file.digest, file.size_bytes, file.time_stamp, file.path
    from updates held
    join pools pool on pool.id = held.pool_id
    join update_targets target on target.id = held.target_id
    left join update_files file on file.update_id = held.id
    where held.id = any($1)
    order by held.id, file.role <> 'image', file.role <> 'signature', file.path";

const PACKAGES: &str = "
    select digest, name, size_bytes, imported_by, imported_at
    from packages
    order by imported_at desc, digest
    limit $1";

impl Database {
    /// The packages imported last, newest first.
    pub async fn packages(&self, limit: u32) -> Result<Vec<Package>, StoreError> {
        self.within("packages", async {
            let rows = self.client().await?.query(PACKAGES, &[&i64::from(limit)]).await?;
            let package = |row: &tokio_postgres::Row| {
                Ok(Package {
                    digest: digest(row, "digest")?,
                    name: row.try_get("name")?,
                    size_bytes: size_bytes(row)?,
                    imported_by: row.try_get("imported_by")?,
                    imported_at: row.try_get("imported_at")?,
                })
            };
            rows.iter().map(package).collect()
        })
        .await
    }
}
