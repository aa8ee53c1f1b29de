//! The one way in for packages: receive, unpack, verify, store, announce. The API, the command line and whatever else
//! brings packages call `Importer`. Blobs first, rows second and in one transaction, so that a failure at any step leaves
//! nothing visible, and nothing referenced that is missing.

use crate::blobs::{BlobError, Blobs};
use crate::cabinet::Limits;
use crate::disk::{self, Full, Place};
use crate::package::{PackageError, StagedUpdate, unpack};
use crate::replica::Replica;
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
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

/// Brings packages into the pools.
#[derive(Debug, Clone)]
pub struct Importer {
    database: Database,
    blobs: Blobs,
    folder: PathBuf,
    limits: Limits,
    reserve_bytes: u64,
    /// This node's own replica, and its pool.
    replica: Option<(Arc<Replica>, PoolFqdn)>,
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
    /// The data folder has no space left.
    #[error(transparent)]
    Full(#[from] Full),
    /// The local disk, or the program, failed.
    #[error("the node could not unpack the package; its log says why")]
    Local(#[source] anyhow::Error),
}

impl Importer {
    /// An importer that receives and unpacks below `folder`, whose remains of an earlier run are deleted. It keeps
    /// the reserve of `limits` free, there and in the store: what else the node writes must not fail because of a package.
    pub fn new(database: Database, blobs: Blobs, folder: &Path, limits: Limits) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
        }
        // Not on a full disk; it is made for the first package then.
        let _ = std::fs::create_dir_all(folder);
        let reserve_bytes = limits.reserve_bytes.unwrap_or_default();
        Ok(Self { database, blobs, folder: folder.to_owned(), limits, reserve_bytes, replica: None })
    }

    /// With the replica of this node, which takes the files of its own pool at once: they need not be read back from the
    /// store.
    pub fn with_replica(self, replica: Arc<Replica>, pool: PoolFqdn) -> Self {
        Self { replica: Some((replica, pool)), ..self }
    }

    /// Receives a package: streamed to disk and hashed on the way, never whole in memory. What is too long, or finds no
    /// room, is refused before it is sent when the sender says how long it is.
    pub async fn receive<S, E>(
        &self,
        name: &str,
        announced_bytes: Option<u64>,
        body: S,
    ) -> Result<ReceivedPackage, ImportError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limit = self.limits.package_bytes;
        let announced_bytes = announced_bytes.unwrap_or(0);
        if announced_bytes > limit {
            return Err(ImportError::TooLarge { limit });
        }
        let (data, reserve_bytes) = (self.folder.clone(), self.reserve_bytes);
        let work = move || {
            // The folder may have found no place when the node started.
            std::fs::create_dir_all(&data).and_then(|()| tempfile::tempdir_in(&data)).map(|folder| (folder, data))
        };
        let made = tokio::task::spawn_blocking(work).await.map_err(|error| ImportError::Local(error.into()))?;
        let making = "making a folder for the package";
        let (folder, data) = made.map_err(|error| self.local(making, announced_bytes)(error))?;
        disk::room(Place::DataFolder, &data, announced_bytes, reserve_bytes)?;
        let name = shown_name(name);
        let path = package_path(folder.path(), &name);
        let received = folder.path().join(RECEIVED);
        tokio::fs::create_dir(received).await.map_err(self.local(making, announced_bytes))?;
        let file = tokio::fs::File::create_new(&path).await;
        let mut file = file.map_err(self.local("making the package's file", announced_bytes))?;
        let mut hasher = Sha256::new();
        let mut size_bytes = 0;
        let mut looks_at = LOOK_BYTES;
        let mut body = std::pin::pin!(body);
        let writing = |size_bytes: u64| self.local("writing the package", size_bytes.max(announced_bytes));
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| ImportError::Interrupted(io::Error::other(error)))?;
            size_bytes += chunk.len() as u64;
            if size_bytes > limit {
                return Err(ImportError::TooLarge { limit });
            }
            if size_bytes >= looks_at {
                // Others write here too, and not every sender says how much will come.
                let rest_bytes = announced_bytes.saturating_sub(size_bytes);
                disk::room(Place::DataFolder, &data, rest_bytes, reserve_bytes)?;
                looks_at = size_bytes + LOOK_BYTES;
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(writing(size_bytes))?;
        }
        file.flush().await.map_err(writing(size_bytes))?;
        let digest = Digest::new(hasher.finalize().into());
        Ok(ReceivedPackage { folder, name, digest, size_bytes })
    }

    /// For `map_err`: a failure of the data folder's disk, which `needed_bytes` were to be written to.
    fn local(&self, doing: &'static str, needed_bytes: u64) -> impl FnOnce(io::Error) -> ImportError + use<'_> {
        move |error| match disk::is_full(&error) {
            true => Full::now(Place::DataFolder, &self.folder, needed_bytes).into(),
            false => ImportError::Local(anyhow::Error::new(error).context(doing)),
        }
    }

    /// Imports a received package into the pools, or says what that would do.
    pub async fn import(
        &self,
        received: ReceivedPackage,
        pools: PoolSelection,
        actor: &str,
        dry_run: DryRun,
    ) -> Result<Imported, ImportError> {
        let pools = self.selected(&pools).await?;
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

    /// The pools that are meant; all of them are there. To be asked before a package is received, too: it may be large.
    pub async fn selected(&self, pools: &PoolSelection) -> Result<Vec<PoolFqdn>, ImportError> {
        let pools = match pools {
            PoolSelection::Named(pools) => self.database.pools_named(pools).await?,
            PoolSelection::All => self.database.pools().await?,
        };
        Ok(pools.into_iter().map(|pool| pool.fqdn).collect())
    }

    /// Off the runtime's threads: inflating and hashing are work for the CPU.
    async fn unpack(
        &self,
        received: ReceivedPackage,
    ) -> Result<(ReceivedPackage, crate::package::StagedPackage), ImportError> {
        let (limits, data) = (self.limits.clone(), self.folder.clone());
        let work = move || {
            let staging = received.folder.path().join("files");
            let what = "making a folder for the package's files".to_owned();
            let made = std::fs::create_dir(&staging).map_err(|reason| PackageError::Io { what, reason });
            let package = package_path(received.folder.path(), &received.name);
            match made.and_then(|()| unpack(&package, &staging, &limits)) {
                Ok(staged) => Ok((received, staged)),
                Err(PackageError::NoRoom(full)) => Err(full.into()),
                // Somebody else took the room: at least as much is needed again as it has packed. What is free is looked
                // at while the half that fills the disk is still there.
                Err(error) if error.no_space() => Err(Full::now(Place::DataFolder, &data, received.size_bytes).into()),
                Err(error) => Err(error.into()),
            }
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
        let needed = planned.iter().filter(|record| record.needs_files);
        let needed = needed.flat_map(|record| staged[record.index].update.files()).map(|file| file.size_bytes);
        self.blobs.room(needed.fold(0, u64::saturating_add), self.reserve_bytes).await?;
        for record in planned.iter().filter(|record| !matches!(record.outcome, ImportOutcome::Refused(_))) {
            let Some(pool) = targets.iter().find(|pool| pool.fqdn == record.pool) else { continue };
            let staged = &staged[record.index];
            for (file, source) in staged.update.files().iter().zip(&staged.sources) {
                self.blobs.put_update_file(&pool.service_id, &file.path, source, file.digest).await?;
            }
        }
        let records = transaction.commit(package, actor).await?;
        self.adopt(&records, staged).await;
        Ok(records)
    }

    /// Gives this node's replica what was verified just now. What it does not take the replication loop fetches.
    async fn adopt(&self, records: &[ImportRecord], staged: &[StagedUpdate]) {
        let Some((replica, own_pool)) = &self.replica else { return };
        let taken =
            |record: &&ImportRecord| record.pool == *own_pool && !matches!(record.outcome, ImportOutcome::Refused(_));
        let updates = records.iter().filter(taken).filter_map(|record| staged.get(record.index));
        let files = updates.flat_map(|staged| staged.update.files().iter().zip(&staged.sources));
        let files: Vec<_> = files.map(|(file, source)| (source.clone(), file.digest, file.size_bytes)).collect();
        let (replica, data, reserve_bytes) = (Arc::clone(replica), self.folder.clone(), self.reserve_bytes);
        let adopting = move || {
            for (source, digest, size_bytes) in files {
                disk::room(Place::DataFolder, &data, 0, reserve_bytes)?;
                replica.adopt(&source, &digest, size_bytes)?;
            }
            anyhow::Ok(())
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(adopting).await {
            tracing::info!(error = format!("{error:#}"), "the replica takes an import's files from the store");
        }
    }
}

/// Bytes of a package that is received between two looks at what is free.
const LOOK_BYTES: u64 = 16 << 20;

/// The folder of the package's own file.
const RECEIVED: &str = "received";

/// The file keeps its name, so that what is said of it names it.
fn package_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(RECEIVED).join(name)
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
