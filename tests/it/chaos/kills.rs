//! Kill -9 of any node at random instants, again and again, while packages are imported and approved and every node fetches
//! them. Whatever was killed: no file is torn, in no replica and not in the store; no phone gets other bytes than those that
//! were imported; nothing is offered without its bytes. 60 kills here, in two lanes; `tests/chaos.sh kills` is the long form.

use super::trial::setting;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::balancer::Vip;
use tests::pool::{ChaosPool, Kept, MODELS, NODES, all_have_what_they_shall_have, image_offered};
use tests::program::kill_now;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Kills of a lane.
const KILLS: u64 = 30;

/// A kill comes at most so long after an import began: it takes about as long until all have fetched it.
const LATEST_MS: u64 = 1500;

/// Phones that download all the time.
const PHONES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_imports_and_transfers_tear_nothing_1() {
    lane(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_imports_and_transfers_tear_nothing_2() {
    lane(2).await;
}

async fn lane(number: u64) {
    let mut random = Random::new(number);
    let mut pool = ChaosPool::start(Kept::InFolder).await;
    let (stop, wrong): (_, Arc<Mutex<Vec<String>>>) = (CancellationToken::new(), Arc::default());
    let phones = phones(&pool, &stop, &wrong);
    let (mut looked, mut acknowledged) = (HashSet::new(), 0);
    let kills = setting("UCUPDATES_CHAOS_KILLS", KILLS);
    for _ in 0..kills {
        let (victim, importer) = (random.node(), random.node());
        let package = pool.make_package();
        let importing = async {
            let imported = pool.nodes()[importer].import("kill.cab", package.bytes).await.is_ok();
            for model in MODELS {
                // Its node may be gone, and then the pending version waits for the next approval.
                let _ = pool.nodes()[importer].approve(model).await;
            }
            imported
        };
        let killing = async {
            tokio::time::sleep(Duration::from_millis(random.below(LATEST_MS))).await;
            kill_now(&pool.nodes()[victim].process);
        };
        let (imported, ()) = tokio::join!(importing, killing);
        acknowledged += u64::from(imported);
        pool.balanced.nodes[victim].process.end().await;
        nothing_is_torn(&pool, victim, &mut looked);
        pool.balanced.nodes[victim] = pool.nodes()[victim].program.start().await;
        for model in MODELS {
            image_offered(&pool.nodes()[victim].phone_by_balancer(), model, &pool.sent).await.unwrap();
        }
    }
    stop.cancel();
    let downloads: usize = phones.join_all().await.into_iter().sum();
    println!(
        "kills {kills}, imports acknowledged {acknowledged}, downloads compared {downloads}, files hashed {}",
        looked.len()
    );
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
    assert!(acknowledged > 0 && downloads > 0, "nothing happened");
    pool.balanced.wait_for_servers(NODES).await;
    pool.publish(0).await;
    (0..NODES).for_each(|node| nothing_is_torn(&pool, node, &mut looked));
    all_have_what_they_shall_have(&pool.balanced).await;
}

/// Phones that ask by way of the balancer, and download what they are told of; what they get whole must be right. How much
/// that was. What a killed node did not send is no matter here.
fn phones(pool: &ChaosPool, stop: &CancellationToken, wrong: &Arc<Mutex<Vec<String>>>) -> JoinSet<usize> {
    let mut phones = JoinSet::new();
    for number in 0..PHONES {
        let (phone, sent) = (pool.balanced.phone(Vip::InternalHttp), pool.sent.clone());
        let (stop, wrong) = (stop.clone(), Arc::clone(wrong));
        phones.spawn(async move {
            let mut downloads = 0;
            while !stop.is_cancelled() {
                match image_offered(&phone, MODELS[number % MODELS.len()], &sent).await {
                    Ok(got) => downloads += usize::from(got),
                    Err(text) if text.starts_with("wrong") => wrong.lock().unwrap().push(text),
                    Err(_) => {}
                }
                stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
            }
            downloads
        });
    }
    phones
}

/// Every file that has its name has its bytes: in the store, and in a node's replica. Those that were looked at before and
/// have not changed since are not read again.
fn nothing_is_torn(pool: &ChaosPool, node: usize, looked: &mut HashSet<(PathBuf, u64, i64)>) {
    let mut read_new = |path: &Path| {
        let found = path.metadata().ok()?;
        let new = looked.insert((path.to_owned(), found.ino(), found.mtime_nsec()));
        new.then(|| hex::encode(Sha256::digest(std::fs::read(path).unwrap())))
    };
    let sent: BTreeMap<String, String> = pool.sent.all();
    let store = pool.balanced.folder.path().join("store/1-WebServices-1/DeviceUpdateStore");
    for path in files_below(&store) {
        let name = path.strip_prefix(&store).unwrap().to_str().unwrap();
        let expected = sent.get(name).unwrap_or_else(|| panic!("{name} was never sent"));
        assert!(read_new(&path).is_none_or(|digest| digest == *expected), "{name} is torn in the store");
    }
    let replica = pool.nodes()[node].program.path("data/replica");
    for path in files_below(&replica).into_iter().filter(|path| !path.starts_with(replica.join(".incoming"))) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(read_new(&path).is_none_or(|digest| digest == name), "{name} is torn in a replica");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Numbers that look random and come again with the same seed.
struct Random(u64);

impl Random {
    fn new(lane: u64) -> Self {
        Self((setting("UCUPDATES_TEST_SEED", 1) * 1000 + lane).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn node(&mut self) -> usize {
        usize::try_from(self.below(NODES as u64)).unwrap()
    }
}
