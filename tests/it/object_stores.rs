//! The shared file store in a folder, in s3s-fs and in SeaweedFS: the same behaviour, by the same checks; then a whole node
//! on a bucket, and what it says of a store that lies, is down, or is missing.

mod nodes;

use schema::package::{Digest, StorePath};
use schema::topology::{NodeName, ServiceId};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::Duration;
use sync::blobs::{BlobError, Blobs, BucketSettings, StoreAddress};
use tempfile::TempDir;
use tests::s3::{BUCKET, PREFIX, S3Server};
use tests::seaweed::SeaweedFs;

const LIMIT: Duration = Duration::from_secs(60);

/// More than goes in by one request, and no multiple of a piece.
const LARGE_BYTES: usize = (20 << 20) + 12_345;

fn service() -> ServiceId {
    ServiceId::parse("1-WebServices-1").unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn update_path(name: &str) -> StorePath {
    StorePath::parse(&format!("UCPhone/LG-Nortel/IP 8540/A/ENU/3.5.6907.0/CPE/{name}")).unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

fn open(address: &str, settings: &BucketSettings) -> Blobs {
    Blobs::open(&StoreAddress::parse(address).unwrap(), settings, &node("node1")).unwrap()
}

async fn names(blobs: &Blobs) -> Vec<(String, u64)> {
    let files = blobs.update_files(&service()).await.unwrap();
    files.into_iter().map(|file| (file.store_path().unwrap().to_string(), file.size_bytes)).collect()
}

/// Whether two who put the same name at one moment are told apart. s3s-fs looks first and writes then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtOnce {
    Yes,
    No,
}

/// What every store must do.
async fn check(blobs: &Blobs, at_once: AtOnce) {
    let folder = tempfile::tempdir().unwrap();
    blobs.look(&service(), LIMIT).await.unwrap();
    blobs.look(&service(), LIMIT).await.unwrap();
    let large: Vec<u8> = (0..LARGE_BYTES).map(|place| u8::try_from(place % 251).unwrap()).collect();
    for (name, bytes) in [("CPE.cat", &b"small"[..]), ("CPE.nbt", &large)] {
        check_file(blobs, &folder, &update_path(name), bytes, at_once).await;
    }
    let expected = [("CPE.cat", 5), ("CPE.nbt", LARGE_BYTES as u64)];
    assert_eq!(names(blobs).await, expected.map(|(name, size)| (update_path(name).to_string(), size)));
    check_logs(blobs).await;
    for _ in 0..2 {
        blobs.delete_update_file(&service(), &update_path("CPE.nbt")).await.unwrap();
    }
    assert_eq!(names(blobs).await, [(update_path("CPE.cat").to_string(), 5)]);
    let later = jiff::Timestamp::now() + Duration::from_secs(25 * 3600);
    assert_eq!(blobs.sweep(&service(), later).await.unwrap(), 0, "nothing staged is left");
}

/// Created once and never changed.
async fn check_file(blobs: &Blobs, folder: &TempDir, path: &StorePath, bytes: &[u8], at_once: AtOnce) {
    let mut changed = bytes.to_vec();
    changed[0] ^= 1;
    let files = [("one", bytes), ("other", &changed)].map(|(name, bytes)| {
        let source = folder.path().join(name);
        std::fs::write(&source, bytes).unwrap();
        (source, digest(bytes))
    });
    let (service, [one, other]) = (service(), &files);
    let put = |(source, digest): &(PathBuf, Digest)| {
        let (source, digest, service) = (source.clone(), *digest, &service);
        async move { blobs.put_update_file(service, path, &source, digest).await }
    };
    let swapped = (one.0.clone(), other.1);
    assert!(matches!(put(&swapped).await, Err(BlobError::Changed { .. })));
    let (first, second) = match at_once {
        AtOnce::Yes => tokio::join!(put(one), put(other)),
        AtOnce::No => (put(one).await, put(other).await),
    };
    let (won, lost, refused) = if first.is_ok() { (one, other, second) } else { (other, one, first) };
    for refused in [refused, put(lost).await] {
        assert!(matches!(&refused, Err(BlobError::Conflict { held, .. }) if *held == won.1), "{refused:?}");
    }
    put(won).await.unwrap();
}

async fn check_logs(blobs: &Blobs) {
    let name = "RequestHandlerAuditLog_node1_20090306.log";
    for text in ["one", "one two"] {
        blobs.put_audit_log(&service(), name, text.into()).await.unwrap();
        assert_eq!(blobs.audit_log(&service(), name).await.unwrap().unwrap(), text);
    }
    assert_eq!(blobs.audit_log(&service(), "other.log").await.unwrap(), None);
    let logs = blobs.logs(&service()).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].path, format!("DeviceUpdateLogs/Server/Audit/ImageUpdates/{name}"));
    let age = jiff::Timestamp::now().duration_since(logs[0].modified);
    assert!(age.unsigned_abs() < Duration::from_secs(600), "{age:?}");
    blobs.delete_log(&service(), &logs[0]).await.unwrap();
    assert_eq!(blobs.logs(&service()).await.unwrap(), []);
}

#[tokio::test]
async fn a_folder_does_what_every_store_must() {
    let folder = tempfile::tempdir().unwrap();
    check(&open(&format!("file://{}", folder.path().display()), &BucketSettings::default()), AtOnce::Yes).await;
}

#[tokio::test]
async fn s3s_fs_does_what_every_store_must() {
    let server = S3Server::start().await;
    check(&open(&format!("s3://{BUCKET}/{PREFIX}"), &server.settings()), AtOnce::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_does_what_every_store_must() {
    let Some(server) = SeaweedFs::start().await else { return };
    check(&open(&server.url("pools/one"), &server.settings()), AtOnce::Yes).await;
    check(&open(&server.url(""), &server.settings()), AtOnce::Yes).await;
}

#[tokio::test]
async fn a_bucket_is_swept_of_what_this_node_left_at_once_and_of_what_others_left_when_it_is_old() {
    let server = S3Server::start().await;
    let blobs = open(&format!("s3://{BUCKET}/{PREFIX}"), &server.settings());
    for node in ["node1", "node2"] {
        let folder = server.folder().join("1-WebServices-1/.incoming").join(node);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("4f1c8e2a-1"), b"half").unwrap();
    }
    let now = jiff::Timestamp::now();
    assert_eq!(blobs.sweep(&service(), now).await.unwrap(), 1);
    assert_eq!(blobs.sweep(&service(), now).await.unwrap(), 0);
    assert_eq!(blobs.sweep(&service(), now + Duration::from_secs(25 * 3600)).await.unwrap(), 1);
}
