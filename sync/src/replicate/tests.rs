//! The loop against a real folder as the store: what it fetches, what it refuses, and what it goes on with.

use super::*;
use crate::clock::SystemClock;
use schema::device::{DeviceKey, Name};
use schema::package::{FileRole, Update, UpdateTarget};
use schema::replica::Amount;
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSetParts, SteppingStone, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::{NodeName, Pool, PoolFqdn, PoolUrls, SiteName};
use schema::version::FirmwareVersion;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::path::PathBuf;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn service() -> ServiceId {
    ServiceId::parse("1-WebServices-1").unwrap()
}

fn content(number: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 31 + at / 1021) % 251).unwrap() ^ number).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// An update with an image of these bytes for the model.
fn update(model: &str, bytes: &[u8]) -> Update {
    let (device_type, locale, update_type) = (name("UCPhone"), name("ENU"), name("CPE"));
    let (brand, model, revision) = (name("Polycom"), name(model), name("A"));
    let target = UpdateTarget::Device(DeviceKey { device_type, brand, model, revision, locale, update_type });
    let version = FirmwareVersion::new(1, 0, 0, 0);
    let file = UpdateFile {
        name: name("CPE.nbt"),
        role: FileRole::Image,
        digest: digest(bytes),
        size_bytes: bytes.len() as u64,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: target.store_path(version, &name("CPE.nbt")),
    };
    Update::new(target, version, vec![file]).unwrap()
}

/// The rules of a pool in which these updates are approved, and those only stored.
fn rules(generation: i64, approved: &[Update], stored: &[Update]) -> Arc<RuleSet> {
    let rule = |update: &Update| match update.target() {
        UpdateTarget::Device(key) => (key.clone(), RuleVersions::new(Some(update.version()), None, None).unwrap()),
        UpdateTarget::Interim { .. } => unreachable!("updates here are for devices"),
    };
    let pool = Pool {
        fqdn: PoolFqdn::parse("pool01.demo.local").unwrap(),
        site: SiteName::parse("Redmond").unwrap(),
        service_id: service(),
        urls: PoolUrls::default(),
    };
    let parts = RuleSetParts {
        mark: StoreMark { generation, ..StoreMark::NOTHING },
        pool,
        rules: approved.iter().map(rule).collect(),
        updates: approved.iter().chain(stored).cloned().collect(),
        stepping_stones: vec![SteppingStone::of_the_original()],
        test_devices: vec![],
        configuration: DeviceUpdateConfiguration::default(),
        accounts: vec![],
    };
    Arc::new(RuleSet::new(parts).unwrap())
}

/// A loop that runs until it is dropped.
struct Bench {
    folder: TempDir,
    replica: Arc<Replica>,
    rules: watch::Sender<Option<Arc<RuleSet>>>,
    replication: Replication,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    fn new(change: impl FnOnce(&mut ReplicateSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self::on(folder, change)
    }

    fn on(folder: TempDir, change: impl FnOnce(&mut ReplicateSettings)) -> Self {
        let replica = Arc::new(Replica::open(&folder.path().join("replica")).unwrap());
        let blobs = Blobs::open_folder(&folder.path().join("store"), &NodeName::parse("node1").unwrap()).unwrap();
        let mut settings = ReplicateSettings {
            most_bytes: None,
            reserve_bytes: 0,
            most_transfers: 4,
            most_bytes_per_s: 0,
            poll_interval: Duration::from_millis(50),
        };
        change(&mut settings);
        let (rules, stop) = (watch::Sender::default(), CancellationToken::new());
        let clock = Arc::new(SystemClock);
        let (replicator, replication) =
            Replicator::new(Arc::clone(&replica), (blobs, service()), rules.subscribe(), settings, clock);
        tokio::spawn(replicator.scrub().run(Duration::from_millis(100), stop.clone()));
        tokio::spawn(replicator.run(stop.clone()));
        Self { folder, replica, rules, replication, stop }
    }

    fn store(&self, update: &Update, bytes: &[u8]) -> PathBuf {
        let path =
            self.folder.path().join("store/1-WebServices-1/DeviceUpdateStore").join(update.image().path.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    async fn until(&self, condition: impl FnMut(&Arc<ReplicaState>) -> bool) -> Arc<ReplicaState> {
        let mut state = self.replication.state.clone();
        let reached = tokio::time::timeout(PATIENCE, state.wait_for(condition)).await;
        Arc::clone(&reached.unwrap_or_else(|_| panic!("still {:?}", self.replication.state.borrow())).unwrap())
    }

    fn held(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        self.replica.open_file(&digest(bytes), bytes.len() as u64).ok()?.read_to_end(&mut found).unwrap();
        Some(found)
    }

    fn part(&self, bytes: &[u8]) -> PathBuf {
        self.folder.path().join("replica/.incoming").join(format!("{}.part", digest(bytes)))
    }

    async fn read(&self, update: &Update) -> Result<crate::read_through::Arriving, NotNow> {
        let file = Arc::new(update.image().clone());
        self.replication.read_through.read(&self.replica, &file, PATIENCE).await
    }
}

#[tokio::test]
async fn what_rules_need_is_fetched_and_what_they_only_name_is_not() {
    let bench = Bench::new(|_| {});
    let [one, two] = [content(1, 3_000_000), content(2, 10)];
    let (needed, named) = (update("CX600", &one), update("CX700", &two));
    bench.store(&needed, &one);
    bench.store(&named, &two);
    assert!(!bench.replication.state.borrow().ready);
    bench.rules.send_replace(Some(rules(7, std::slice::from_ref(&needed), std::slice::from_ref(&named))));
    let state = bench.until(|state| state.settled).await;
    assert_eq!(
        (state.generation, state.needed, state.held),
        (Some(7), state.held, Amount { files: 1, bytes: 3_000_000 })
    );
    assert!(state.ready && state.lacking.is_empty() && bench.held(&one).unwrap() == one);
    assert_eq!(bench.held(&two), None);
    // A phone asks for the other.
    bench.read(&named).await.unwrap().verified().await.unwrap();
    assert!(bench.held(&two).unwrap() == two);
    assert_eq!(bench.replication.counts.fetched_bytes(), 3_000_010);
}

#[tokio::test]
async fn a_file_with_other_bytes_is_never_held_and_both_digests_are_told() {
    let bench = Bench::new(|_| {});
    let (right, wrong) = (content(1, 100_000), content(2, 100_000));
    let update = update("CX600", &right);
    for (bytes, told) in [(&wrong[..], digest(&wrong).to_string()), (&right[..99_999], "99999".to_owned())] {
        bench.store(&update, bytes);
        bench.rules.send_replace(Some(rules(1, std::slice::from_ref(&update), &[])));
        let state = bench.until(|state| state.failed.first().is_some_and(|failed| failed.told.contains(&told))).await;
        let failed = &state.failed[0];
        assert_eq!((failed.reason.as_str(), failed.path.as_str()), ("wrong_bytes", update.image().path.as_str()));
        assert!(failed.told.contains(&digest(&right).to_string()), "{}", failed.told);
        assert!(state.ready, "waiting does not mend it");
        assert_eq!(bench.held(&right), None);
        assert!(!bench.part(&right).exists());
        // Nobody asks again at once, a phone neither.
        assert!(matches!(bench.read(&update).await, Err(NotNow::Failed(_))));
        // Rules that do not want it forget it.
        bench.rules.send_replace(Some(rules(2, &[], &[])));
        bench.until(|state| state.generation == Some(2)).await;
    }
}

#[tokio::test]
async fn a_store_that_lost_a_file_gives_it_when_it_is_back() {
    let bench = Bench::new(|_| {});
    let bytes = content(1, 1000);
    let update = update("CX600", &bytes);
    bench.rules.send_replace(Some(rules(1, std::slice::from_ref(&update), &[])));
    let state = bench.until(|state| state.failed_files == 1).await;
    assert_eq!(
        (state.failed[0].reason.as_str(), &state.lacking[..]),
        ("missing", &[update.image().path.to_string()][..])
    );
    bench.store(&update, &bytes);
    bench.until(|state| state.settled && state.held.files == 1).await;
}

#[tokio::test]
async fn a_broken_transfer_is_gone_on_with_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("replica/.incoming")).unwrap();
    std::fs::create_dir(folder.path().join("store")).unwrap();
    let bytes = content(1, 3_000_000);
    let update = update("CX600", &bytes);
    let part = folder.path().join("replica/.incoming").join(format!("{}.part", digest(&bytes)));
    std::fs::write(&part, &bytes[..2_500_000]).unwrap();
    let bench = Bench::on(folder, |_| {});
    bench.store(&update, &bytes);
    bench.rules.send_replace(Some(rules(1, std::slice::from_ref(&update), &[])));
    bench.until(|state| state.held.files == 1).await;
    assert_eq!(bench.replication.counts.fetched_bytes(), 500_000);
    assert!(bench.held(&bytes).unwrap() == bytes && !bench.part(&bytes).exists());
}

#[tokio::test]
async fn a_damaged_part_is_thrown_away_and_the_file_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("replica/.incoming")).unwrap();
    std::fs::create_dir(folder.path().join("store")).unwrap();
    let bytes = content(1, 1_000_000);
    let update = update("CX600", &bytes);
    let part = folder.path().join("replica/.incoming").join(format!("{}.part", digest(&bytes)));
    std::fs::write(&part, vec![0; 400_000]).unwrap();
    let bench = Bench::on(folder, |_| {});
    bench.store(&update, &bytes);
    bench.rules.send_replace(Some(rules(1, std::slice::from_ref(&update), &[])));
    bench.until(|state| state.held.files == 1).await;
    assert!(bench.held(&bytes).unwrap() == bytes);
    assert_eq!(bench.replication.counts.fetched_bytes(), 600_000 + 1_000_000);
}

#[tokio::test]
async fn many_that_wait_for_one_file_are_one_read_and_none_ends_before_it_is_verified() {
    let bench = Bench::new(|_| {});
    let bytes = content(1, 2_000_000);
    let update = update("CX600", &bytes);
    bench.store(&update, &bytes);
    bench.rules.send_replace(Some(rules(1, &[], std::slice::from_ref(&update))));
    bench.until(|state| state.settled).await;
    let readers = futures_util::future::join_all((0..200).map(|_| async {
        let mut arriving = bench.read(&update).await.unwrap();
        arriving.verified().await.unwrap();
        arriving.file.metadata().unwrap().len()
    }));
    assert!(readers.await.iter().all(|length| *length == 2_000_000));
    assert_eq!((bench.replication.counts.fetched_bytes(), bench.replication.counts.read_throughs()), (2_000_000, 1));
    let wrong = self::update("CX700", &content(3, 500_000));
    bench.store(&wrong, &content(4, 500_000));
    bench.rules.send_replace(Some(rules(2, &[], &[update, wrong.clone()])));
    bench.until(|state| state.generation == Some(2)).await;
    if let Ok(mut arriving) = bench.read(&wrong).await {
        arriving.verified().await.unwrap_err();
    }
    assert_eq!(bench.held(&content(3, 500_000)), None);
}

#[tokio::test]
async fn what_does_not_fit_the_budget_is_named_and_what_nobody_needs_makes_room() {
    let bench = Bench::new(|settings| settings.most_bytes = Some(250_000));
    let files: Vec<Vec<u8>> = (1..=3).map(|number| content(number, 100_000)).collect();
    let updates: Vec<Update> =
        files.iter().zip(["CX500", "CX600", "CX700"]).map(|(bytes, model)| update(model, bytes)).collect();
    for (update, bytes) in updates.iter().zip(&files) {
        bench.store(update, bytes);
    }
    bench.rules.send_replace(Some(rules(1, &updates, &[])));
    let state = bench.until(|state| state.settled && state.held.files == 2).await;
    assert_eq!((state.failed_files, state.failed[0].reason.as_str()), (1, "no_room"));
    let late = updates.iter().position(|update| update.image().path.as_str() == state.lacking[0]).unwrap();
    assert!(matches!(bench.read(&updates[late]).await, Err(NotNow::NoRoom)));
    // One of the others is not needed any more.
    let other = (late + 1) % 3;
    let needed: Vec<Update> = updates.iter().filter(|update| **update != updates[other]).cloned().collect();
    bench.rules.send_replace(Some(rules(2, &needed, std::slice::from_ref(&updates[other]))));
    bench.until(|state| state.generation == Some(2) && state.held.files == 2 && state.settled).await;
    assert!(bench.held(&files[late]).is_some() && bench.held(&files[other]).is_none());
    assert_eq!(bench.replication.counts.evicted_files(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_keeps_an_empty_node_from_being_ready_but_not_one_that_holds_something() {
    let bench = Bench::new(|_| {});
    let [one, two] = [content(1, 1000), content(2, 1000)];
    let updates = [update("CX500", &one), update("CX600", &two)];
    let stored = bench.store(&updates[0], &one);
    bench.store(&updates[1], &two);
    // A file where the store wants a folder: everything below fails, and is not merely missing.
    let root = bench.folder.path().join("store/1-WebServices-1");
    let aside = bench.folder.path().join("aside");
    let away = |path: &std::path::Path| {
        std::fs::rename(&root, &aside).unwrap();
        std::fs::write(path, "").unwrap();
    };
    away(&root);
    bench.rules.send_replace(Some(rules(1, &updates, &[])));
    let state = bench.until(|state| state.failed_files == 2 || state.lacking.len() == 2).await;
    assert!(!state.ready, "{state:?}");
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    bench.until(|state| state.ready && state.held.files == 2).await;
    assert!(stored.exists());
}

#[tokio::test]
async fn a_damaged_file_is_dropped_and_fetched_again_and_one_that_the_store_lost_is_put_back() {
    let bench = Bench::new(|_| {});
    let bytes = content(1, 1_500_000);
    let update = update("CX600", &bytes);
    let stored = bench.store(&update, &bytes);
    bench.rules.send_replace(Some(rules(1, std::slice::from_ref(&update), &[])));
    bench.until(|state| state.held.files == 1).await;
    let mut flipped = bytes.clone();
    flipped[1_000_000] ^= 1;
    std::fs::write(bench.replica.path(&digest(&bytes)), &flipped).unwrap();
    let counts = Arc::clone(&bench.replication.counts);
    let until = async |condition: &dyn Fn() -> bool| {
        let waited = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap();
    };
    until(&|| counts.damaged_files() == 1 && bench.held(&bytes).is_some_and(|held| held == bytes)).await;
    std::fs::remove_file(&stored).unwrap();
    until(&|| counts.given_back_files() == 1).await;
    assert!(std::fs::read(&stored).unwrap() == bytes);
    // What nobody needs is not brought back.
    bench.rules.send_replace(Some(rules(2, &[], std::slice::from_ref(&update))));
    bench.until(|state| state.generation == Some(2)).await;
    std::fs::remove_file(&stored).unwrap();
    let rounds = counts.scrub_rounds();
    until(&|| counts.scrub_rounds() > rounds + 2).await;
    assert!(!stored.exists());
}
