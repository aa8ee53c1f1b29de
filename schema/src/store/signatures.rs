//! Signatures, to be moved to their modules with their bodies.
use super::{DatabaseSettings, StoreError};
use crate::import::{ImportRecord, StagedPackage};
use crate::package::{Digest, Update, UpdateFile, UpdateTarget};
use crate::rule::{Refusal, Rule, RuleAction, RuleId, RuleVersions};
use crate::rule_set::{RuleSet, SteppingStone};
use crate::settings::DeviceUpdateConfiguration;
use crate::test_device::{Scope, TestDevice, TestDeviceIdentity, TestIdentifier};
use crate::topology::{NodeName, Pool, PoolFqdn, PoolUrls, SiteName};
use crate::version::FirmwareVersion;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// The Central Management store. Clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct Database {}

/// Whether a change is made, or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Nothing changes; the answer is what would happen.
    Yes,
    /// The change is made.
    No,
}

/// What `migrate` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version before; 0 for an empty database.
    pub from: u32,
    /// Schema version now.
    pub to: u32,
}

/// A node, as it last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its pool.
    pub pool: PoolFqdn,
    /// Its name.
    pub name: NodeName,
    /// The version of its program.
    pub program_version: String,
    /// When it last reported.
    pub heartbeat_at: Timestamp,
}

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

/// What an action did to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActedRule {
    /// The rule before.
    pub before: Rule,
    /// Its versions now, or why the action was refused.
    pub result: Result<RuleVersions, Refusal>,
}

/// An account of phones outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, in the case it was made in.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token that an administrator's program identifies itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// The administrator it acts as.
    pub administrator: String,
    /// The token's name, unique for the administrator.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; never when not given.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who did what to what.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminEvent {
    /// Counts up from 1, without gaps.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done: `approve`, `import`, ...
    pub action: String,
    /// To what.
    pub object: String,
    /// How it was; none when it was not there.
    pub before: Option<serde_json::Value>,
    /// How it is now; none when it is gone.
    pub after: Option<serde_json::Value>,
}

/// Whether the chain of admin events is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainVerdict {
    /// Every event fits the one before it.
    Whole {
        /// How many events there are.
        events: u64,
    },
    /// The chain is broken.
    Broken {
        /// Events before the break, all whole.
        events: u64,
        /// The number of the first event that is missing, changed or does not fit the one before it.
        at: i64,
    },
}

/// An import that holds the lock: no other import, and no clearing of files, runs meanwhile on any node.
/// Dropped without a commit, nothing has changed.
#[derive(Debug)]
pub struct ImportTransaction {}

impl ImportTransaction {
    /// The pools imported to, in the order given.
    pub fn pools(&self) -> &[Pool] {
        todo!()
    }
    /// What the import of these updates would do now. The files of those with `needs_files` are to be stored, then
    /// `commit` called. What it says of bytes holds until the end of the transaction; an administrator may act on a rule meanwhile.
    pub async fn plan(&mut self, _updates: &[Update]) -> Result<Vec<ImportRecord>, StoreError> {
        todo!()
    }
    /// Writes package, updates, files and rules of everything that is not refused, and announces it. The records are
    /// what was done. When nothing changes, nothing is written at all.
    pub async fn commit(self, _package: &StagedPackage, _actor: &str) -> Result<Vec<ImportRecord>, StoreError> {
        todo!()
    }
}

/// Files whose rows are gone. Holds the import lock, so that no import brings them back while the caller deletes the
/// blobs: a crash in between leaves blobs that no row names, never a row without its blob.
#[derive(Debug)]
pub struct ClearedFiles {}

impl ClearedFiles {
    /// The updates that are gone (on a dry run: would be).
    pub fn updates(&self) -> &[Update] {
        todo!()
    }
    /// Their files: the blobs to delete.
    pub fn files(&self) -> impl Iterator<Item = &UpdateFile> {
        self.updates().iter().flat_map(Update::files)
    }
    /// The blobs are deleted: other imports may run. Dropping does the same by way of closing the connection.
    pub async fn release(self) -> Result<(), StoreError> {
        todo!()
    }
}

#[expect(unused_variables, clippy::unused_async, reason = "signatures only")]
impl Database {
    /// A pool of connections to the server; the first one is opened when it is needed. Fails on wrong settings only.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        todo!()
    }
    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Brings the schema to this program's version. Nodes that start together wait for one another.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        todo!()
    }
    /// Fails with `NewerDatabase` or `OlderDatabase` unless the schema is that of this program.
    pub async fn check_version(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Makes the site and the pool if they are missing, and fills in URLs that are not set yet. The answer is the pool as stored.
    pub async fn ensure_pool(&self, pool: &Pool) -> Result<Pool, StoreError> {
        todo!()
    }
    /// All sites, by name.
    pub async fn sites(&self) -> Result<Vec<SiteName>, StoreError> {
        todo!()
    }
    /// All pools, by FQDN.
    pub async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        todo!()
    }
    /// Makes a pool, and its site if that is missing.
    pub async fn create_pool(&self, pool: &Pool, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Sets all four URLs of a pool.
    pub async fn set_pool_urls(&self, fqdn: &PoolFqdn, urls: &PoolUrls, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// A node reports: it is there, with this program. Also its heartbeat.
    pub async fn register_node(&self, pool: &PoolFqdn, node: &NodeName, version: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// All nodes, by pool and name.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        todo!()
    }

    /// Begins an import to these pools; waits a while for another one to end, then refuses.
    pub async fn begin_import(&self, pools: &[PoolFqdn]) -> Result<ImportTransaction, StoreError> {
        todo!()
    }
    /// What an import would do, without a lock (dry run).
    pub async fn preview_import(
        &self,
        pools: &[PoolFqdn],
        updates: &[Update],
    ) -> Result<Vec<ImportRecord>, StoreError> {
        todo!()
    }
    /// The packages imported last, newest first.
    pub async fn packages(&self, limit: u32) -> Result<Vec<Package>, StoreError> {
        todo!()
    }
    /// The stored updates of this target and version, in any pool.
    pub async fn stored(
        &self,
        target: &UpdateTarget,
        version: FirmwareVersion,
    ) -> Result<Vec<(PoolFqdn, Update)>, StoreError> {
        todo!()
    }
    /// Deletes the rows of the pool's updates that no rule refers to and no stepping stone needs (Clear-CsDeviceUpdateFile).
    pub async fn clear_files(&self, pool: &PoolFqdn, actor: &str, dry_run: DryRun) -> Result<ClearedFiles, StoreError> {
        todo!()
    }

    /// All rules, by pool and key.
    pub async fn rules(&self) -> Result<Vec<Rule>, StoreError> {
        todo!()
    }
    /// Does `action` (not `Import`) to each rule, in the order of `ids`; refused ones stay as they are. An id that is not there fails the whole.
    pub async fn act(
        &self,
        ids: &[RuleId],
        action: RuleAction,
        actor: &str,
        dry_run: DryRun,
    ) -> Result<Vec<ActedRule>, StoreError> {
        todo!()
    }
    /// Removes rules for good; the answer is what they were. An id that is not there fails the whole.
    pub async fn remove_rules(&self, ids: &[RuleId], actor: &str, dry_run: DryRun) -> Result<Vec<Rule>, StoreError> {
        todo!()
    }

    /// All test devices, by scope and name.
    pub async fn test_devices(&self) -> Result<Vec<TestDevice>, StoreError> {
        todo!()
    }
    /// The test devices of one scope, by name.
    pub async fn test_devices_of(&self, scope: &Scope) -> Result<Vec<TestDevice>, StoreError> {
        todo!()
    }
    /// One test device.
    pub async fn test_device(&self, identity: &TestDeviceIdentity) -> Result<TestDevice, StoreError> {
        todo!()
    }
    /// Lists a test device.
    pub async fn create_test_device(&self, device: &TestDevice, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Changes what a test device is recognised by.
    pub async fn set_test_device(
        &self,
        identity: &TestDeviceIdentity,
        identifier: &TestIdentifier,
        actor: &str,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes one test device.
    pub async fn remove_test_device(&self, identity: &TestDeviceIdentity, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes all test devices of a scope; the answer is what they were.
    pub async fn remove_test_devices(&self, scope: &Scope, actor: &str) -> Result<Vec<TestDevice>, StoreError> {
        todo!()
    }

    /// The configurations, global first, then by site.
    pub async fn configurations(&self) -> Result<Vec<(Scope, DeviceUpdateConfiguration)>, StoreError> {
        todo!()
    }
    /// The configuration in force at a site: its own, else the global one.
    pub async fn effective_configuration(&self, site: &SiteName) -> Result<DeviceUpdateConfiguration, StoreError> {
        todo!()
    }
    /// Makes a site's configuration; a second one is refused (row G09).
    pub async fn create_configuration(
        &self,
        site: &SiteName,
        configuration: &DeviceUpdateConfiguration,
        actor: &str,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Sets all settings of a scope that has a configuration.
    pub async fn set_configuration(
        &self,
        scope: &Scope,
        configuration: &DeviceUpdateConfiguration,
        actor: &str,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Deletes a site's configuration; sets the global one back to its defaults (rows C10, G11).
    pub async fn remove_configuration(&self, scope: &Scope, actor: &str) -> Result<(), StoreError> {
        todo!()
    }

    /// All stepping stones.
    pub async fn stepping_stones(&self) -> Result<Vec<SteppingStone>, StoreError> {
        todo!()
    }
    /// Adds a stepping stone.
    pub async fn add_stepping_stone(&self, stone: &SteppingStone, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes a stepping stone.
    pub async fn remove_stepping_stone(&self, stone: &SteppingStone, actor: &str) -> Result<(), StoreError> {
        todo!()
    }

    /// Makes an account for phones outside, with the argon2 hash (PHC form) of its password.
    pub async fn create_account(&self, name: &str, password_hash: &str, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        todo!()
    }
    /// Sets an account's password hash.
    pub async fn set_account_password(&self, name: &str, password_hash: &str, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Removes an account.
    pub async fn remove_account(&self, name: &str, actor: &str) -> Result<(), StoreError> {
        todo!()
    }

    /// Makes a token of an administrator (who is made if missing) from the SHA-256 of its secret.
    pub async fn create_token(
        &self,
        administrator: &str,
        name: &str,
        digest: &Digest,
        expires_at: Option<Timestamp>,
        actor: &str,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// All tokens, by administrator and name.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        todo!()
    }
    /// Revokes a token for good.
    pub async fn revoke_token(&self, administrator: &str, name: &str, actor: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// The administrator whose valid token has this digest.
    pub async fn authenticate(&self, digest: &Digest) -> Result<Option<String>, StoreError> {
        todo!()
    }

    /// The newest admin events, newest first; those before the number `before` when it is given.
    pub async fn admin_events(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEvent>, StoreError> {
        todo!()
    }
    /// Checks the chain of all admin events.
    pub async fn verify_chain(&self) -> Result<ChainVerdict, StoreError> {
        todo!()
    }

    /// Counts the changes of the store.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        todo!()
    }
    /// The snapshot that the nodes of a pool answer from, as of one generation.
    pub async fn load_rule_set(&self, pool: &PoolFqdn) -> Result<RuleSet, StoreError> {
        todo!()
    }
    /// Listens for announcements until `cancel`: each marks `wake` as changed, and so does each new connection, because
    /// what is announced meanwhile is lost. Hints only, never the truth. Run it as a task of its own.
    pub async fn listen(&self, wake: tokio::sync::watch::Sender<()>, cancel: CancellationToken) {
        todo!()
    }
}
