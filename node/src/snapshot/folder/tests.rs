//! The folder on a real file system.

use super::*;
use crate::decide::world::World;
use std::os::unix::fs::MetadataExt as _;
use tempfile::TempDir;

struct Setting {
    _folder: TempDir,
    snapshots: SnapshotFolder,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-01-05T12:00:00Z";

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = SnapshotFolder::open(&folder.path().join("snapshots")).unwrap();
        Self { _folder: folder, snapshots }
    }

    /// Keeps rules that are told apart by their number.
    fn keep(&self, number: u32) -> PathBuf {
        let rules = World::new().max_log_file_size(4096 + number).build().0;
        self.snapshots.keep(at(NOW), &rules).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.snapshots.path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The number of the rules that are found, and why newer files are refused.
    fn newest(&self) -> (Option<u32>, Vec<String>) {
        let pool = World::new().build().0.pool().clone();
        let search = self.snapshots.newest(&pool, at(NOW)).unwrap();
        let number = search.found.map(|kept| kept.rules.configuration().max_log_file_size_bytes - 4096);
        (number, search.refused.iter().map(|refused| refused.reason.to_string()).collect())
    }
}

#[test]
fn the_last_three_are_kept_for_their_owner_alone() {
    let setting = Setting::new();
    assert_eq!(setting.newest(), (None, vec![]));
    for number in 1..=5 {
        setting.keep(number);
        assert_eq!(setting.newest(), (Some(number), vec![]));
    }
    assert_eq!(setting.names(), [3, 4, 5].map(|number| format!("rules-{number:010}.snapshot")));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&setting.snapshots.path), 0o700);
    assert_eq!(mode(&setting.snapshots.path.join("rules-0000000005.snapshot")), 0o600);
}

#[test]
fn an_older_one_is_taken_when_newer_ones_are_refused() {
    let setting = Setting::new();
    let [first, second, third] = [1, 2, 3].map(|number| setting.keep(number));
    let bytes = fs::read(&third).unwrap();
    fs::write(&third, &bytes[..bytes.len() / 2]).unwrap();
    let told = |found, reasons: &[&str]| (found, reasons.iter().map(|reason| (*reason).to_owned()).collect());
    let cut = "it is damaged: it has not the length that it says";
    assert_eq!(setting.newest(), told(Some(2), &[cut]));
    fs::remove_file(&second).unwrap();
    fs::create_dir(&second).unwrap();
    assert_eq!(setting.newest(), told(Some(1), &[cut, "it cannot be read: it is no file"]));
    fs::write(&first, "ucupdates-snapshot 2 0 0\n").unwrap();
    assert_eq!(setting.newest().0, None);
    // The next one stands above all of them.
    setting.keep(7);
    assert_eq!(setting.newest(), (Some(7), vec![]));
    let long = File::options().write(true).open(setting.keep(8)).unwrap();
    long.set_len(SIZE_LIMIT_BYTES + 1).unwrap();
    assert_eq!(setting.newest(), told(Some(7), &["it is longer than 268435456 bytes"]));
}

#[test]
fn that_of_another_pool_is_refused_by_name() {
    let setting = Setting::new();
    setting.keep(1);
    let pool = World::new().build().0.pool().clone();
    let refused = |pool: Pool| {
        let search = setting.snapshots.newest(&pool, at(NOW)).unwrap();
        assert!(search.found.is_none());
        search.refused[0].reason.to_string()
    };
    let expected =
        "it is of pool pool01.demo.local at site Redmond with service id 1-WebServices-1, and this node's is another";
    assert_eq!(refused(Pool { fqdn: PoolFqdn::parse("pool02.demo.local").unwrap(), ..pool.clone() }), expected);
    assert_eq!(refused(Pool { service_id: ServiceId::parse("2-WebServices-1").unwrap(), ..pool.clone() }), expected);
    assert_eq!(refused(Pool { site: SiteName::parse("Lisbon").unwrap(), ..pool }), expected);
}

#[test]
fn its_age_is_when_it_was_last_confirmed() {
    let setting = Setting::new();
    let path = setting.keep(1);
    let pool = World::new().build().0.pool().clone();
    let found = |now: &str| setting.snapshots.newest(&pool, at(now)).unwrap().found.unwrap();
    for (confirmed, now, expected) in [
        ("2026-01-05T12:30:00Z", "2026-01-05T13:00:00Z", "2026-01-05T12:30:00Z"),
        // Copied with a wrong time, or written under a clock that was wrong.
        ("2020-01-01T00:00:00Z", "2026-01-05T13:00:00Z", NOW),
        ("2030-01-01T00:00:00Z", "2026-01-05T13:00:00Z", "2026-01-05T13:00:00Z"),
    ] {
        confirm(&path, at(confirmed)).unwrap();
        assert_eq!(found(now).confirmed_at, at(expected));
    }
    assert_eq!(found("2026-01-05T13:00:00Z").taken_at, at(NOW));
}

#[test]
fn what_a_kill_left_is_swept_at_the_start() {
    let setting = Setting::new();
    setting.keep(1);
    fs::write(setting.snapshots.path.join(".new-a1b2c3"), "half").unwrap();
    assert_eq!(setting.newest(), (Some(1), vec![]));
    SnapshotFolder::open(&setting.snapshots.path).unwrap();
    assert_eq!(setting.names(), ["rules-0000000001.snapshot"]);
}
