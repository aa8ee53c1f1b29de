//! One import into a pool of three nodes: from the end of the upload until each of them holds every file, verified, beside
//! `cp` of the same files to three folders and `sha256sum` of the copies, one after the other in each round. Real nodes, a
//! real PostgreSQL, a store in a folder, all on one disk. Nothing is asserted and no gate times it.
//!
//! `cargo bench -p tests --bench replication` imports 300 MB in one file, and in ten; `-- ROUNDS MEGABYTES` changes that.
//!
//! held: until the last file has its name in the replica of the last node, which it gets when it is hashed and on disk.
//! told: until `GET /api/v1/replicas` says so of all. and sync: the peer's copies are on disk too, as ours are.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should stop")]

use futures_util::{StreamExt as _, stream};
use node::api::types::replicas::{ReplicaStateBody, ReplicasBody};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::database::TestDb;
use tests::gcab;
use tests::program::{Program, Serving, admit};

const NODES: usize = 3;

/// Bytes of the body that are handed over at a time.
const PIECE_BYTES: usize = 1 << 20;

/// How often is looked whether everything is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How often the API is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A package, and the files that it was made of.
struct Package {
    bytes: Vec<u8>,
    files: Vec<PathBuf>,
    digests: Vec<String>,
}

/// How long a round took.
#[derive(Clone, Copy)]
struct Times {
    held: Duration,
    told: Duration,
    copied: Duration,
    synced: Duration,
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(3);
    let megabytes = numbers.get(1).copied().unwrap_or(300);
    let (db, folder) = (TestDb::new().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        nodes.push(Program::of_pool(&db, &folder, &format!("node{number}"), |_| {}).start().await);
    }
    let mut seed = 0;
    for count in [1, 10] {
        let mut all = Vec::new();
        for _ in 0..rounds {
            seed += 1;
            all.push(round(&nodes, &folder, seed, count, megabytes * 1_000_000).await);
        }
        print(&format!("{megabytes} MB in {count}"), &all);
    }
}

async fn round(nodes: &[Serving], folder: &TempDir, seed: u64, count: usize, total_bytes: usize) -> Times {
    let package = package(folder.path(), seed, count, total_bytes / count);
    let (copied, synced) = copy_and_hash(folder.path(), &package.files);
    let (held, told) = import(nodes, package).await;
    std::fs::remove_dir_all(folder.path().join("packages")).unwrap();
    Times { held, told, copied, synced }
}

/// Packs so many new images with gcab.
fn package(folder: &Path, seed: u64, count: usize, image_bytes: usize) -> Package {
    let folder = folder.join("packages");
    std::fs::create_dir(&folder).unwrap();
    let paths: Vec<String> =
        (0..count).map(|number| format!("UCPhone/Bench/Phone{number}/A/ENU/4.0.7577.{seed}/CPE/CPE.nbt")).collect();
    let images: Vec<Vec<u8>> = (0..count as u64).map(|number| gcab::image(seed * 100 + number, image_bytes)).collect();
    let entries: Vec<_> = paths.iter().zip(&images).map(|(path, image)| (path.as_str(), image.as_slice())).collect();
    let packed = gcab::package(&folder, "bench.cab", "2008-12-16 04:43:58", &entries);
    Package {
        bytes: std::fs::read(packed).unwrap(),
        files: paths.iter().map(|path| folder.join("bench.cab.tree").join(path)).collect(),
        digests: images.iter().map(|image| hex::encode(Sha256::digest(image))).collect(),
    }
}

/// The peer: its time, and that until its copies are on disk.
fn copy_and_hash(folder: &Path, files: &[PathBuf]) -> (Duration, Duration) {
    let began = Instant::now();
    let copies: Vec<PathBuf> = (1..=NODES).map(|number| folder.join(format!("packages/copy{number}"))).collect();
    for copy in &copies {
        std::fs::create_dir(copy).unwrap();
        run(Command::new("cp").arg("--parents").args(files).arg(copy));
        let copied = files.iter().map(|file| copy.join(file.strip_prefix("/").unwrap()));
        run(Command::new("sha256sum").args(copied));
    }
    let copied = began.elapsed();
    run(Command::new("sync").arg("--file-system").arg(folder));
    (copied, began.elapsed())
}

fn run(command: &mut Command) {
    assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
}

/// Sends the package to the first node: how long it took from its last byte until all nodes held it, and told so.
async fn import(nodes: &[Serving], package: Package) -> (Duration, Duration) {
    let sent = Arc::new(Mutex::new(None));
    let pieces: Vec<Vec<u8>> = package.bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    let end = Arc::clone(&sent);
    let after_last = stream::once(async move {
        *end.lock().unwrap() = Some(Instant::now());
        Ok::<_, std::io::Error>(Vec::new())
    });
    let body = reqwest::Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok)).chain(after_last));
    let held = async {
        for digest in &package.digests {
            for node in nodes {
                let path = node.program.path("data/replica").join(&digest[..2]).join(digest);
                while !path.exists() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
        Instant::now()
    };
    let (card, held) = tokio::join!(nodes[0].import("bench.cab", body), held);
    assert_eq!(card.unwrap().rows.len(), package.digests.len());
    while !all_tell(&nodes[0]).await {
        tokio::time::sleep(ASK_EVERY).await;
    }
    let told = Instant::now();
    let sent = sent.lock().unwrap().unwrap();
    (held - sent, told - sent)
}

/// Whether every node has told that it holds what the newest rules need.
async fn all_tell(node: &Serving) -> bool {
    let replicas: ReplicasBody = serde_json::from_slice(&node.api("GET", "/replicas", b"").await.body).unwrap();
    replicas.nodes.len() == NODES
        && replicas.nodes.iter().all(|node| {
            let newest = |told: &&ReplicaStateBody| told.generation == Some(replicas.generation);
            node.replica.as_ref().filter(newest).is_some_and(|told| told.held_files == told.needed_files)
        })
}

fn print(what: &str, all: &[Times]) {
    let median = |time: fn(&Times) -> Duration| {
        let mut times: Vec<_> = all.iter().map(|times| time(times).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (held, told) = (median(|times| times.held), median(|times| times.told));
    let (copied, synced) = (median(|times| times.copied), median(|times| times.synced));
    println!(
        "{what:<14} held {held:.2} s, told {told:.2} s; cp and sha256sum {copied:.2} s ({:.2} x), and sync {synced:.2} s ({:.2} x)",
        held / copied,
        held / synced
    );
}
