//! Facts that the tests of the store put into it: pools, updates, packages, and rules made by importing them.

use schema::device::{DeviceKey, Name};
use schema::import::{ImportOutcome, ImportRecord, StagedPackage};
use schema::package::{Digest, FileRole, Update, UpdateFile, UpdateTarget};
use schema::rule::{Rule, RuleAction, RuleId};
use schema::store::{Database, DryRun};
use schema::topology::{Pool, PoolFqdn, PoolUrls};
use schema::version::FirmwareVersion;

/// Who does what no test looks at.
pub const ACTOR: &str = "ann";

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn version(text: &str) -> FirmwareVersion {
    FirmwareVersion::parse(text).unwrap()
}

pub fn fqdn(text: &str) -> PoolFqdn {
    PoolFqdn::parse(text).unwrap()
}

pub fn key(model: &str) -> DeviceKey {
    DeviceKey {
        device_type: name("UCPhone"),
        brand: name("Polycom"),
        model: name(model),
        revision: name("A"),
        locale: name("ENU"),
        update_type: name("CPE"),
    }
}

/// A pool `<name>.contoso.com` at the site Redmond.
pub fn pool(name: &str) -> Pool {
    Pool {
        fqdn: fqdn(&format!("{name}.contoso.com")),
        site: "Redmond".parse().unwrap(),
        service_id: format!("{name}-WebServices-1").parse().unwrap(),
        urls: PoolUrls::default(),
    }
}

/// An update of an image and its signature, whose bytes are named by `bytes`.
pub fn update_of(target: UpdateTarget, of_version: &str, bytes: u8) -> Update {
    let file = |file_name: &str, role, digest| UpdateFile {
        name: name(file_name),
        role,
        digest: Digest::new([digest; 32]),
        size_bytes: 5_000_000_000,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: target.store_path(version(of_version), &name(file_name)),
    };
    let files = vec![file("CPE.nbt", FileRole::Image, bytes), file("CPE.cat", FileRole::Signature, bytes ^ 0xff)];
    Update::new(target.clone(), version(of_version), files).unwrap()
}

pub fn update(model: &str, of_version: &str, bytes: u8) -> Update {
    update_of(UpdateTarget::Device(key(model)), of_version, bytes)
}

pub fn interim(of_version: &str, bytes: u8) -> Update {
    let target = UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
    update_of(target, of_version, bytes)
}

pub fn package(digest: u8, updates: &[Update]) -> StagedPackage {
    StagedPackage {
        digest: Digest::new([digest; 32]),
        name: "UCUpdates.cab".to_owned(),
        size_bytes: 1,
        updates: updates.to_vec(),
        catalogs: Vec::new(),
    }
}

/// A store with the pool `one.contoso.com`.
pub async fn with_pool(database: &Database) -> PoolFqdn {
    database.create_pool(&pool("one"), ACTOR).await.unwrap();
    fqdn("one.contoso.com")
}

pub async fn import(database: &Database, pools: &[PoolFqdn], updates: &[Update]) -> Vec<ImportRecord> {
    let transaction = database.begin_import(pools).await.unwrap();
    let digest = u8::try_from(updates.len()).unwrap();
    transaction.commit(&package(digest, updates), ACTOR).await.unwrap()
}

pub fn outcomes(records: &[ImportRecord]) -> Vec<ImportOutcome> {
    records.iter().map(|record| record.outcome.clone()).collect()
}

/// The one rule there is.
pub async fn only_rule(database: &Database) -> Rule {
    let [rule] = &database.rules().await.unwrap()[..] else { panic!("there is not exactly one rule") };
    rule.clone()
}

/// Does `action` to one rule and says what it has then: approved, pending, restore.
pub async fn act(database: &Database, id: RuleId, action: RuleAction) -> [Option<String>; 3] {
    let acted = database.act(&[id], action, ACTOR, DryRun::No).await.unwrap();
    let versions = acted[0].result.unwrap();
    [versions.approved(), versions.pending(), versions.restore()]
        .map(|version| version.map(|version| version.to_string()))
}
