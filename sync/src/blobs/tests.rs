//! The store on a local folder: what is created, refused, swept, and what a full or a hung one says.

use super::*;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

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

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("unmounted");
    let blobs = blobs(&root);
    let source = folder.path().join("source");
    std::fs::write(&source, b"image").unwrap();
    let path = StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap();
    let errors = [
        blobs.put_update_file(&service(), &path, &source, digest(b"image")).await.unwrap_err(),
        blobs.look(&service(), LIMIT).await.unwrap_err(),
        blobs.audit_log(&service(), "x.log").await.unwrap_err(),
        blobs.update_files(&service()).await.unwrap_err(),
        blobs.sweep(&service(), Timestamp::now()).await.unwrap_err(),
        blobs.delete_update_file(&service(), &path).await.unwrap_err(),
    ];
    for error in errors.map(|error| error.to_string()) {
        assert!(error.contains("unmounted: mount the share"), "{error}");
    }
    assert!(!root.exists());
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
    assert_eq!(std::fs::read(blobs.update_folder(&service()).unwrap().join(path.as_str())).unwrap(), b"image");
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
    put(&before, "-2");
    put(&before, "");
    put(&after, "");
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

/// A server that takes connections and never answers, as one does that is stopped.
#[tokio::test]
async fn a_store_that_hangs_is_an_error_in_time_and_costs_a_bounded_number_of_threads() {
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n").unwrap();
    let settings = BucketSettings {
        endpoint: Some(format!("http://{}", hung.local_addr().unwrap())),
        credentials_file: Some(credentials),
        allow_http: true,
        ..BucketSettings::default()
    };
    let mut blobs = Blobs::open(&StoreAddress::parse("s3://phones").unwrap(), &settings, &node("node1")).unwrap();
    blobs.steps.limits.long_step = std::time::Duration::from_millis(20);
    for _ in 0..20 {
        let error = blobs.audit_log(&service(), "hung.log").await.unwrap_err().to_string();
        assert!(error.contains("hung.log") && error.contains("is the share hung?"), "{error}");
    }
    let error = blobs.look(&service(), std::time::Duration::from_millis(20)).await.unwrap_err().to_string();
    assert!(error.contains("s3://phones at http://127.0.0.1") && error.contains("no answer within"), "{error}");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 100, "{threads} threads");
}

#[tokio::test]
async fn a_folder_is_tried_out_and_nothing_stays_of_the_trial() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    blobs.look(&service(), LIMIT).await.unwrap();
    blobs.look(&service(), LIMIT).await.unwrap();
    assert_eq!(staged(folder.path()), [""; 0]);
}

/// Whoever can write into the store plants a link wherever a node reads, writes, lists, deletes or sweeps.
#[tokio::test]
async fn no_symbolic_link_leads_out_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (store_in(folder.path()), folder.path().join("outside"));
    let secret = outside.join("ENU/CPE.nbt");
    std::fs::create_dir_all(secret.parent().unwrap()).unwrap();
    std::fs::write(&secret, b"image").unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, b"image").unwrap();
    let path = StorePath::parse("OCInterim/ENU/CPE.nbt").unwrap();
    let pool = root.join("1-WebServices-1");
    let links =
        ["DeviceUpdateStore/OCInterim/ENU/CPE.nbt", "DeviceUpdateStore/OCInterim/ENU", "DeviceUpdateStore/OCInterim"];
    let targets = [secret.clone(), outside.join("ENU"), outside.clone()];
    for (link, target) in links.into_iter().zip(targets) {
        let link = pool.join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        let blobs = blobs(&root);
        let refused =
            blobs.put_update_file(&service(), &path, &source, digest(b"image")).await.unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
        assert_eq!(blobs.update_files(&service()).await.unwrap(), [], "{}", link.display());
        let _ = blobs.delete_update_file(&service(), &path).await;
        assert_eq!(std::fs::read(&secret).unwrap(), b"image", "{}", link.display());
        std::fs::remove_dir_all(&pool).unwrap();
    }
    let [logs, staging] = ["DeviceUpdateLogs", ".incoming"].map(|name| pool.join(name));
    for link in [&logs, &staging] {
        std::fs::create_dir_all(&pool).unwrap();
        std::os::unix::fs::symlink(&outside, link).unwrap();
        let blobs = blobs(&root);
        assert!(blobs.put_audit_log(&service(), "x.log", "x".into()).await.is_err());
        assert!(link == &staging || blobs.logs(&service()).await.is_err());
        let later = Timestamp::now() + std::time::Duration::from_secs(25 * 3600);
        assert!(link == &logs || blobs.sweep(&service(), later).await.is_err());
        assert_eq!(walk(&outside), ["ENU/CPE.nbt"], "{}", link.display());
        std::fs::remove_dir_all(&pool).unwrap();
    }
}
