//! Kill -9 of the real program at random instants, during its start, imports, approvals, checks, captures and audit
//! shipping; after each restart everything that was promised holds. Seeded, in lanes that run beside one another: 100
//! kills in all. `UCUPDATES_TEST_KILLS=1000` makes every lane kill so many times, for a longer run by hand, and
//! `UCUPDATES_TEST_SEED` begins elsewhere.

mod after;
mod lane;

pub(crate) use after::replica_is_whole;

use lane::Lane;
use std::time::Duration;
use tests::program::Program;

/// Kills of each of the three lanes under load: 102 in all.
const KILLS: u64 = 34;

/// Kills of first starts.
const FIRST_STARTS: u64 = 10;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Numbers that look random and come again with the same seed.
struct Random(u64);

impl Random {
    fn new(lane: u64) -> Self {
        Self((from_environment("UCUPDATES_TEST_SEED", 1) * 1000 + lane).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

async fn kill_under_load(number: u64) {
    let kills = from_environment("UCUPDATES_TEST_KILLS", KILLS);
    let mut random = Random::new(number);
    let mut lane = Lane::new(number).await;
    for _ in 0..kills {
        // A start has its own instants; most of what can break comes later.
        match random.below(5) {
            0 => lane.kill_in_the_start(Duration::from_millis(random.below(300))).await,
            _ => lane.kill_at_work(Duration::from_millis(random.below(2500))).await,
        }
    }
    lane.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_promised_is_lost_by_kills_1() {
    kill_under_load(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_promised_is_lost_by_kills_2() {
    kill_under_load(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_promised_is_lost_by_kills_3() {
    kill_under_load(3).await;
}

/// The first start makes keys and certificates; phones keep the authority that they saw first.
#[tokio::test]
async fn first_starts_that_are_killed_leave_no_half_made_certificates() {
    let program = Program::new(tempfile::tempdir().unwrap(), Vec::new(), |_| {}).await;
    let (data, authority) = (program.path("data"), program.path("data/tls/ca.pem"));
    let mut random = Random::new(9);
    let mut first_seen: Option<Vec<u8>> = None;
    for kill in 0..from_environment("UCUPDATES_TEST_KILLS", FIRST_STARTS) {
        let process = program.spawn();
        tokio::time::sleep(Duration::from_millis(random.below(700))).await;
        process.kill().await;
        let seen = std::fs::read(&authority).ok();
        if first_seen.is_some() {
            assert_eq!(seen, first_seen, "a new authority locks phones out");
        }
        match kill % 3 {
            // Names of the certificates change: they are made anew, with the same authority.
            0 if seen.is_some() => std::fs::remove_file(data.join("tls/rsa.pem")).unwrap_or_default(),
            1 if seen.is_none() => std::fs::remove_dir_all(&data).unwrap_or_default(),
            _ => {}
        }
        first_seen = std::fs::read(&authority).ok();
    }
    let serving = program.start().await;
    assert!(serving.is_well().await, "{:?}", serving.ready().await);
    after::no_litter(&program).await;
    serving.process.stop().await;
}

#[tokio::test]
async fn a_second_process_on_the_data_folder_of_a_node_is_refused_by_name() {
    let program = Program::new(tempfile::tempdir().unwrap(), Vec::new(), |_| {}).await;
    let serving = program.start().await;
    let first = format!("another ucupdates (process {}) runs on the data folder", serving.process.id());
    let mut second = program.spawn();
    assert_eq!(second.end().await, 1);
    assert!(second.said().contains(&first), "{}", second.said());
    let mut standard = tokio::process::Command::new(tests::binary::path());
    standard.arg("standard").arg("--data").arg(program.path("data"));
    let standard = tests::binary::Said::from(standard.output().await.unwrap());
    assert!(standard.code == 1 && standard.err.contains(&first), "{standard:?}");
    assert_eq!(serving.ready().await.0, 200);
    serving.process.stop().await;
}
