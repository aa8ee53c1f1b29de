//! A node under load that is killed again and again, and the record of what it promised.

use super::after;
use schema::package::Digest;
use schema::settings::DeviceUpdateConfiguration;
use schema::test_device::Scope;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::cab::{CabBuilder, Packing};
use tests::gcab::image;
use tests::phone::Phone;
use tests::program::{Program, Serving};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Phones that ask at the same time.
const PHONES: u64 = 3;

/// What a phone does between two checks.
const PAUSE: Duration = Duration::from_millis(8);

/// A line is on local disk this long after the answer (DESIGN.md 4).
const WINDOW: Duration = Duration::from_secs(1);

/// Sizes of images: within a write, within a piece, over some pieces.
const IMAGE_BYTES: [usize; 4] = [700, 60_000, 300_000, 2_500_000];

/// A node, what it was asked, and what it promised.
pub(super) struct Lane {
    pub(super) program: Program,
    pub(super) record: Arc<Record>,
}

/// What was promised, and what may stand in the store.
#[derive(Default)]
pub(super) struct Record {
    /// Imports that were answered with success: their digests.
    pub(super) imported: Mutex<Vec<Digest>>,
    /// Models whose rule was approved, as the answer said.
    pub(super) approved: Mutex<Vec<String>>,
    /// Checks that were answered: serial number and moment.
    answered: Mutex<Vec<(String, Instant)>>,
    /// Serial numbers whose lines must be there: answered early enough before a kill.
    pub(super) promised: Mutex<Vec<String>>,
    /// Every file that was ever sent, by its path in the store.
    pub(super) files: Mutex<BTreeMap<String, Digest>>,
    /// How often a load began; numbers checks and packages.
    rounds: Mutex<u64>,
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

impl Lane {
    pub(super) async fn new(number: u64) -> Self {
        let program = Program::new(tempfile::tempdir().unwrap(), Vec::new(), |config| {
            tests::node::set(config, "phones.capture.enabled", true);
            tests::node::set(config, "node.name", format!("node{number}"));
            tests::node::set(config, "log.filter", "warn,node=info");
        })
        .await;
        let configuration = DeviceUpdateConfiguration {
            max_log_cache_limit_bytes: 4096,
            max_log_file_size_bytes: 20_000,
            ..DeviceUpdateConfiguration::default()
        };
        program.db.database().set_configuration(&Scope::Global, &configuration, "tester").await.unwrap();
        Self { program, record: Arc::default() }
    }

    /// Kills a start, whether it is ready by then or not.
    pub(super) async fn kill_in_the_start(&mut self, after: Duration) {
        let process = self.program.spawn();
        tokio::time::sleep(after).await;
        process.kill().await;
        after::nothing_is_torn(self);
    }

    /// Starts, checks all that was promised before, works, and kills.
    pub(super) async fn kill_at_work(&mut self, after: Duration) {
        let serving = Arc::new(self.program.start().await);
        after::all_is_there(self, &serving).await;
        let stop = CancellationToken::new();
        let stalls = Stalls::watch(&self.program.path("data/stall"), stop.clone());
        let mut work = self.work(&serving, &stop);
        tokio::time::sleep(after).await;
        let killed_at = Instant::now();
        let serving_again = Arc::clone(&serving);
        // From here on, what fails does so because of the kill; before, nothing may.
        stop.cancel();
        tests::program::kill_now(&serving_again.process);
        while let Some(done) = work.join_next().await {
            done.unwrap();
        }
        drop(serving_again);
        Arc::into_inner(serving).expect("all work has ended").process.kill().await;
        let window = WINDOW + stalls.longest();
        self.record.promise(|moment| moment + window < killed_at);
        after::nothing_is_torn(self);
    }

    /// After the last kill: starts once more, stops orderly, and counts every line.
    pub(super) async fn end(self) {
        let serving = self.program.start().await;
        after::all_is_there(&self, &serving).await;
        serving.process.stop().await;
        after::nothing_is_torn(&self);
        after::every_file_has_its_bytes(&self);
        after::every_line_is_there_once(&self);
        assert!(!self.record.imported.lock().unwrap().is_empty(), "no kill came after an import");
        assert!(!self.record.approved.lock().unwrap().is_empty(), "no kill came after an approval");
    }

    fn work(&self, serving: &Arc<Serving>, stop: &CancellationToken) -> JoinSet<()> {
        let round = {
            let mut rounds = self.record.rounds.lock().unwrap();
            *rounds += 1;
            *rounds
        };
        let mut work = JoinSet::new();
        for phone in 0..PHONES {
            let (record, stop, address) = (Arc::clone(&self.record), stop.clone(), serving.phones);
            work.spawn(async move { record.ask(Phone::new(address), &format!("R{round}P{phone}"), &stop).await });
        }
        let (record, serving, stop) = (Arc::clone(&self.record), Arc::clone(serving), stop.clone());
        work.spawn(async move { record.administer(&serving, round, &stop).await });
        work
    }
}

impl Record {
    /// Asks until the node is gone. Some requests cannot be read, and are captured.
    async fn ask(&self, phone: Phone, name: &str, stop: &CancellationToken) {
        for number in 0.. {
            if stop.is_cancelled() {
                return;
            }
            let serial = format!("{name}N{number}");
            let request = format!(
                "<Request><DeviceType>UCPhone</DeviceType><SerialNumber>{serial}</SerialNumber><Vendor>Demo</Vendor>\
                 <Model>M{number}</Model><Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
                 <Version>0.0.0.1</Version></Module></Request>"
            );
            let request = if number % 10 == 9 { "<Request>no end" } else { request.as_str() };
            let answer = match phone.post("/RequestHandler/ucdevice.upx", request).await {
                Ok(answer) => answer,
                Err(error) => return assert!(stop.is_cancelled(), "{error:?}"),
            };
            if number % 10 != 9 {
                assert_eq!(answer.status, 200);
                self.answered.lock().unwrap().push((serial, Instant::now()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Imports and approves until the node is gone.
    async fn administer(&self, serving: &Serving, round: u64, stop: &CancellationToken) {
        for number in 0..u64::MAX {
            if stop.is_cancelled() {
                return;
            }
            let model = format!("R{round}M{number}");
            let package = self.package(&model, round * 1000 + number);
            let package_digest = digest(&package);
            if let Err(refused) = serving.import("load.cab", package).await {
                return assert!(stop.is_cancelled(), "{refused:?}");
            }
            self.imported.lock().unwrap().push(package_digest);
            let report = match serving.approve(&model).await {
                Ok(report) => report,
                Err(error) => return assert!(stop.is_cancelled(), "{error:?}"),
            };
            assert!(report.results.iter().all(|result| result.after.is_some()), "{report:?}");
            self.approved.lock().unwrap().push(model);
        }
    }

    fn package(&self, model: &str, seed: u64) -> Vec<u8> {
        let size = IMAGE_BYTES[usize::try_from(seed % 4).unwrap()];
        let contents = [("CPE.nbt", image(seed, size)), ("CPE.cat", image(seed + 7, 900))];
        let packing = if seed.is_multiple_of(2) { Packing::Stored } else { Packing::MsZip };
        let mut cab = CabBuilder::new().folder(packing);
        for (name, bytes) in &contents {
            let path = format!("UCPhone/Demo/{model}/A/ENU/1.0.0.1/CPE/{name}");
            cab = cab.file(&path.replace('/', "\\"), bytes);
            self.files.lock().unwrap().insert(path, digest(bytes));
        }
        cab.build().bytes
    }

    /// Checks that were answered early enough are promised; the others of the killed process may be lost.
    fn promise(&self, early_enough: impl Fn(Instant) -> bool) {
        let answered = std::mem::take(&mut *self.answered.lock().unwrap());
        let promised = answered.into_iter().filter(|(_, moment)| early_enough(*moment)).map(|(serial, _)| serial);
        self.promised.lock().unwrap().extend(promised);
    }
}

/// How long this machine stood still: what the node cannot do faster than the machine is not its fault.
struct Stalls {
    longest: Arc<Mutex<Duration>>,
    watching: std::thread::JoinHandle<()>,
    stop: CancellationToken,
}

impl Stalls {
    /// Measures short waits and small synced writes beside the node's own.
    fn watch(file: &Path, stop: CancellationToken) -> Self {
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let (path, seen, stopped) = (PathBuf::from(file), Arc::clone(&longest), stop.clone());
        let watching = std::thread::spawn(move || {
            while !stopped.is_cancelled() {
                let began = Instant::now();
                std::thread::sleep(Duration::from_millis(10));
                let mut file = std::fs::File::create(&path).unwrap();
                file.write_all(b"x").unwrap();
                file.sync_data().unwrap();
                let took = began.elapsed();
                let mut seen = seen.lock().unwrap();
                *seen = took.max(*seen);
            }
            std::fs::remove_file(&path).unwrap();
        });
        Self { longest, watching, stop }
    }

    fn longest(self) -> Duration {
        self.stop.cancel();
        self.watching.join().unwrap();
        *self.longest.lock().unwrap()
    }
}
