//! The store on a local folder: what is created, refused, swept, and what a full or a hung one says.

use super::*;

fn service() -> ServiceId {
    ServiceId::parse("1-WebServices-1").unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn blobs(folder: &Path) -> Blobs {
    Blobs::open_folder(folder, &node("node1")).unwrap()
}

/// What lies in the staging folder, node by node.
fn staged(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for node in std::fs::read_dir(folder.join("1-WebServices-1/.incoming")).into_iter().flatten() {
        names.extend(std::fs::read_dir(node.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    names.sort();
    names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn store_in(folder: &Path) -> PathBuf {
    let store = folder.join("store");
    std::fs::create_dir(&store).unwrap();
    store
}

#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = Blobs::open_folder(&folder.path().join("unmounted"), &node("node1")).unwrap_err().to_string();
    assert!(error.contains("mount the share"), "{error}");
    assert!(!folder.path().join("unmounted").exists());
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

#[tokio::test]
async fn an_update_file_is_created_once_and_never_changed() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(&store_in(folder.path()));
    let path = StorePath::parse("UCPhone/LG-Nortel/IP 8540/A/ENU/3.5.6907.0/CPE/CPE.nbt").unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    std::fs::write(&first, b"image").unwrap();
    std::fs::write(&second, b"other").unwrap();
    blobs.put_update_file(&service(), &path, &first, digest(b"image")).await.unwrap();
    blobs.put_update_file(&service(), &path, &first, digest(b"image")).await.unwrap();
    let refused = blobs.put_update_file(&service(), &path, &second, digest(b"other")).await;
    assert!(matches!(refused, Err(BlobError::Conflict { held, .. }) if held == digest(b"image")), "{refused:?}");
    assert_eq!(std::fs::read(blobs.update_folder(&service()).join(path.as_str())).unwrap(), b"image");
    let listed = blobs.update_files(&service()).await.unwrap();
    assert_eq!(listed.iter().map(StoredFile::store_path).collect::<Vec<_>>(), [Some(path.clone())]);
    blobs.delete_update_file(&service(), &path).await.unwrap();
    blobs.delete_update_file(&service(), &path).await.unwrap();
    assert_eq!(blobs.update_files(&service()).await.unwrap(), []);
}

#[tokio::test]
async fn bytes_that_are_not_those_expected_are_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(&store_in(folder.path()));
    let source = folder.path().join("source");
    std::fs::write(&source, b"changed").unwrap();
    let path = StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap();
    let refused = blobs.put_update_file(&service(), &path, &source, digest(b"image")).await;
    assert!(matches!(refused, Err(BlobError::Changed { .. })), "{refused:?}");
    assert_eq!(blobs.update_files(&service()).await.unwrap(), []);
    assert!(staged(&folder.path().join("store")).is_empty());
}

#[tokio::test]
async fn logs_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let name = "RequestHandlerAuditLog_node1_20090306.log";
    for text in ["one", "one two"] {
        blobs.put_audit_log(&service(), name, Bytes::from(text)).await.unwrap();
    }
    assert_eq!(blobs.audit_log(&service(), name).await.unwrap().unwrap(), "one two");
    assert_eq!(blobs.audit_log(&service(), "other.log").await.unwrap(), None);
    let logs = blobs.logs(&service()).await.unwrap();
    assert_eq!(logs[0].path, format!("DeviceUpdateLogs/Server/Audit/ImageUpdates/{name}"));
    blobs.delete_log(&service(), &logs[0]).await.unwrap();
    assert_eq!(blobs.logs(&service()).await.unwrap(), []);
}

/// A kill in the middle leaves `name#1`, which object_store neither lists nor deletes.
#[tokio::test]
async fn a_start_sweeps_its_own_litter_at_once_and_that_of_others_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let before = blobs(folder.path());
    let after = blobs(folder.path());
    let put = |blobs: &Blobs, name: &str| {
        let path = folder.path().join(blobs.staging(&service()).as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path.with_file_name(format!("{}{name}", path.file_name().unwrap().to_string_lossy())), "x")
            .unwrap();
    };
    put(&before, "#1");
    put(&before, "");
    put(&after, "#1");
    put(&Blobs::open_folder(folder.path(), &node("node2")).unwrap(), "");
    let now = Timestamp::now();
    assert_eq!(after.sweep(&service(), now).await.unwrap(), 2);
    assert_eq!(staged(folder.path()).len(), 2, "what this process and another node are writing stays");
    let later = now + std::time::Duration::from_secs(25 * 3600);
    assert_eq!(after.sweep(&service(), later).await.unwrap(), 2, "what a hung share kept this process from deleting");
    assert_eq!(staged(folder.path()), [""; 0]);
}

#[tokio::test]
async fn nothing_is_staged_beside_what_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    blobs.put_audit_log(&service(), "RequestHandlerAuditLog_node1_20090306.log", "x".into()).await.unwrap();
    let names = walk(&folder.path().join("1-WebServices-1"));
    assert_eq!(names, ["DeviceUpdateLogs/Server/Audit/ImageUpdates/RequestHandlerAuditLog_node1_20090306.log"]);
}

fn walk(root: &Path) -> Vec<String> {
    let (mut folders, mut names) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => names.push(entry.strip_prefix(root).unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    names
}

/// A named pipe that nobody writes into hangs whoever opens it, as a file of a hung share does.
#[tokio::test]
async fn a_store_that_hangs_is_an_error_in_time_and_costs_a_bounded_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut blobs = blobs(folder.path());
    blobs.put_audit_log(&service(), "other.log", "x".into()).await.unwrap();
    blobs.steps.limits.long_step = std::time::Duration::from_millis(20);
    let pipe = folder.path().join(BlobKey::AuditLog("hung.log").path(&service()).as_ref());
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for _ in 0..20 {
        let error = blobs.audit_log(&service(), "hung.log").await.unwrap_err().to_string();
        assert!(error.contains("hung.log") && error.contains("is the share hung?"), "{error}");
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 100, "{threads} threads");
    // Whoever waits for a writer goes on when one comes.
    let writer = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().read(true).write(true).open(pipe));
    let writer = writer.await.unwrap().unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while blobs.audit_log(&service(), "other.log").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    drop(writer);
}
