//! The one way in for packages: receive, unpack, verify, store, announce. The API, the command line and whatever else
//! brings packages call `Importer`. Blobs first, rows second and in one transaction, so that a failure at any step leaves
//! nothing visible, and nothing referenced that is missing.

use crate::blobs::{BlobError, Blobs};
use crate::cabinet::Limits;
use crate::package::{PackageError, StagedUpdate, unpack};
use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use schema::import::{ImportOutcome, ImportRecord, StagedPackage};
use schema::package::{Digest, Update};
use schema::store::{Database, DryRun, StoreError};
use schema::topology::{Pool, PoolFqdn};
use sha2::{Digest as _, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// Brings packages into the pools.
#[derive(Debug, Clone)]
pub struct Importer {
    database: Database,
    blobs: Blobs,
    folder: PathBuf,
    limits: Limits,
}

/// A package that was received whole, in a file of its own that goes away with this value.
#[derive(Debug)]
pub struct ReceivedPackage {
    /// Holds the file and, later, what was unpacked from it.
    folder: tempfile::TempDir,
    /// The name it came under, for the records.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// What an import did, or would do.
#[derive(Debug)]
pub struct Imported {
    /// One for each pool and update.
    pub records: Vec<ImportRecord>,
    /// Paths in the package that belong to no update.
    pub ignored: Vec<String>,
}

/// The pools that an import is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolSelection {
    /// Every pool there is.
    All,
    /// These.
    Named(Vec<PoolFqdn>),
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The package is longer than the limit.
    #[error(
        "the package has more than {limit} bytes; the limit is most_bytes in [packages] of the node's configuration"
    )]
    TooLarge {
        /// Bytes that a package may have.
        limit: u64,
    },
    /// The sender stopped in the middle.
    #[error("the package was not received whole; send it again")]
    Interrupted(#[source] io::Error),
    /// The package is no package, or not a sound one.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The Central Management store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file store did not do its part.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The local disk, or the program, failed.
    #[error("the node could not unpack the package; its log says why")]
    Local(#[source] anyhow::Error),
}

impl Importer {
    /// An importer that receives and unpacks below `folder`, whose remains of an earlier run are deleted.
    pub fn new(database: Database, blobs: Blobs, folder: &Path, limits: Limits) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { database, blobs, folder: folder.to_owned(), limits })
    }

    /// Receives a package: streamed to disk and hashed on the way, never whole in memory.
    pub async fn receive<S, E>(&self, name: &str, body: S) -> Result<ReceivedPackage, ImportError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let folder = tempfile::tempdir_in(&self.folder).map_err(local("making a folder for the package"))?;
        let name = shown_name(name);
        let path = package_path(folder.path(), &name);
        tokio::fs::create_dir(folder.path().join(RECEIVED)).await.map_err(local("making a folder for the package"))?;
        let mut file = tokio::fs::File::create_new(&path).await.map_err(local("making the package's file"))?;
        let mut hasher = Sha256::new();
        let mut size_bytes = 0;
        let limit = self.limits.package_bytes;
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| ImportError::Interrupted(io::Error::other(error)))?;
            size_bytes += chunk.len() as u64;
            if size_bytes > limit {
                return Err(ImportError::TooLarge { limit });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(local("writing the package"))?;
        }
        file.flush().await.map_err(local("writing the package"))?;
        let digest = Digest::new(hasher.finalize().into());
        Ok(ReceivedPackage { folder, name, digest, size_bytes })
    }

    /// Imports a received package into the pools, or says what that would do.
    pub async fn import(
        &self,
        received: ReceivedPackage,
        pools: PoolSelection,
        actor: &str,
        dry_run: DryRun,
    ) -> Result<Imported, ImportError> {
        let pools = self.selected(pools).await?;
        let (received, staged) = self.unpack(received).await?;
        let updates: Vec<Update> = staged.updates.iter().map(|staged| staged.update.clone()).collect();
        let ignored = staged.ignored;
        let records = match dry_run {
            DryRun::Yes => self.database.preview_import(&pools, &updates).await?,
            DryRun::No => {
                let package = StagedPackage {
                    digest: received.digest,
                    name: received.name.clone(),
                    size_bytes: received.size_bytes,
                    updates,
                    catalogs: staged.catalogs,
                };
                self.publish(&pools, &package, &staged.updates, actor).await?
            }
        };
        // The staged files must live until here.
        drop(received);
        Ok(Imported { records, ignored })
    }

    async fn selected(&self, pools: PoolSelection) -> Result<Vec<PoolFqdn>, ImportError> {
        match pools {
            PoolSelection::Named(pools) => Ok(pools),
            PoolSelection::All => Ok(self.database.pools().await?.into_iter().map(|pool| pool.fqdn).collect()),
        }
    }

    /// Off the runtime's threads: inflating and hashing are work for the CPU.
    async fn unpack(
        &self,
        received: ReceivedPackage,
    ) -> Result<(ReceivedPackage, crate::package::StagedPackage), ImportError> {
        let limits = self.limits.clone();
        let work = move || {
            let staging = received.folder.path().join("files");
            std::fs::create_dir(&staging).map_err(local("making a folder for the package's files"))?;
            let staged = unpack(&package_path(received.folder.path(), &received.name), &staging, &limits)?;
            Ok((received, staged))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| ImportError::Local(error.into()))?
    }

    /// Holds the import lock from before the first blob to the rows: no other import or clean-up comes between. Files of
    /// updates that the pool has already are put too: that brings back one that somebody deleted by hand (row X28).
    async fn publish(
        &self,
        pools: &[PoolFqdn],
        package: &StagedPackage,
        staged: &[StagedUpdate],
        actor: &str,
    ) -> Result<Vec<ImportRecord>, ImportError> {
        let mut transaction = self.database.begin_import(pools).await?;
        let planned = transaction.plan(&package.updates).await?;
        let targets: Vec<Pool> = transaction.pools().to_vec();
        for record in planned.iter().filter(|record| !matches!(record.outcome, ImportOutcome::Refused(_))) {
            let Some(pool) = targets.iter().find(|pool| pool.fqdn == record.pool) else { continue };
            let staged = &staged[record.index];
            for (file, source) in staged.update.files().iter().zip(&staged.sources) {
                self.blobs.put_update_file(&pool.service_id, &file.path, source, file.digest).await?;
            }
        }
        Ok(transaction.commit(package, actor).await?)
    }
}

/// The folder of the package's own file.
const RECEIVED: &str = "received";

/// The file keeps its name, so that what is said of it names it.
fn package_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(RECEIVED).join(name)
}

fn local(doing: &'static str) -> impl FnOnce(io::Error) -> ImportError {
    move |error| ImportError::Local(anyhow::Error::new(error).context(doing))
}

/// Bytes of a package's name that are kept: every file system takes so many.
const NAME_LIMIT_BYTES: usize = 200;

/// The last segment of the name that the sender gave, without control characters.
fn shown_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut shown = String::new();
    for c in base.trim().chars().filter(|c| !c.is_control()) {
        if shown.len() + c.len_utf8() > NAME_LIMIT_BYTES {
            break;
        }
        shown.push(c);
    }
    if matches!(shown.as_str(), "" | "." | "..") { "package".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_keeps_only_the_last_part_of_its_name() {
        assert_eq!(shown_name("C:\\temp\\UCUpdates.cab"), "UCUpdates.cab");
        assert_eq!(shown_name("../../etc/UC\nUpdates.exe"), "UCUpdates.exe");
        assert_eq!(shown_name(" "), "package");
        assert_eq!(shown_name(".."), "package");
        assert_eq!(shown_name(&"a".repeat(500)).len(), NAME_LIMIT_BYTES);
        assert_eq!(shown_name(&"ä".repeat(500)).len(), NAME_LIMIT_BYTES);
    }
}
