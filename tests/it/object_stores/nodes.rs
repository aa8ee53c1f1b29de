//! A whole node on a bucket.

use super::LARGE_BYTES;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tests::database::wait_until;
use tests::gcab::{image, package};
use tests::node::{TestNode, set, until};
use tests::phone::Phone;
use tests::program::{Program, kill_now};
use tests::s3::S3Server;
use tests::seaweed::SeaweedFs;

const FOLDER: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

fn cabinet(folder: &Path, size_bytes: usize) -> PathBuf {
    let [image, catalog] = [image(1, size_bytes), image(99, 700)];
    let paths = ["CPE.nbt", "CPE.cat"].map(|file| format!("{FOLDER}/{file}"));
    package(folder, "UCUpdates.cab", "2008-12-16 04:43:58", &[(&paths[0], &image), (&paths[1], &catalog)])
}

/// The files below a folder, without those that s3s-fs keeps for itself.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

const CHECK: &str = "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress>\
    <SerialNumber>1</SerialNumber><Vendor>Polycom</Vendor><Model>CX600</Model><Revision>A</Revision><Locale>ENU</Locale>\
    <Modules><Module><FileName>cpe.nbt</FileName><Version>4.0.1.1</Version></Module></Modules></Request>";

async fn faults(node: &TestNode) -> String {
    node.cli(&["status"]).await.out
}

async fn wait_for_faults(node: &TestNode, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = faults(node).await;
        if wanted(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "{told}");
    }
}

/// Imports into the bucket and approves, as another node of the pool, which is gone then.
async fn import_elsewhere(node: &TestNode, server: &S3Server) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let other = Program::of_pool(&node.db, &folder, "node2", |config| server.configure(config)).start().await;
    let cab = cabinet(folder.path(), LARGE_BYTES);
    other.cli(&["import", cab.to_str().unwrap()]).await.ok();
    other.cli(&["rule", "approve", "--all"]).await.ok();
    other.process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_what_another_put_into_the_bucket_keeps_its_logs_there_and_clears_both() {
    let server = S3Server::start().await;
    let node = TestNode::start_with(|config| {
        set(config, "database.poll_interval_ms", 500);
        server.configure(config);
    })
    .await;
    import_elsewhere(&node, &server).await;
    let stored = ["CPE.cat", "CPE.nbt"].map(|name| format!("1-WebServices-1/DeviceUpdateStore/{FOLDER}/{name}"));
    assert_eq!(kept(&server), stored);
    assert!(std::fs::read(server.folder().join(&stored[1])).unwrap() == image(1, LARGE_BYTES));

    let checks = update_is_got(&node, &server, &stored[1]).await;
    let gone = logs_are_shipped(&node, &server, checks).await;
    cleared(&node, &server, "2026-01-08T23:59:59Z", &["logs", "--days-back", "3"], &[]).await;
    cleared(&node, &server, "2026-01-09T00:00:01Z", &["logs", "--days-back", "3"], &gone).await;
    cleared(&node, &server, "2026-01-09T00:00:01Z", &["files"], &[]).await;
    node.cli(&["rule", "remove", "--all"]).await.ok();
    cleared(&node, &server, "2026-01-09T00:00:01Z", &["files"], &stored).await;
}

/// A phone asks until it is offered the file, and gets it from the node's own copy. How often it asked.
async fn update_is_got(node: &TestNode, server: &S3Server, stored: &str) -> usize {
    let phone = Phone::new(node.addresses.internal_http[0]);
    let mut checks = 0;
    wait_until("the node has replicated", async || {
        checks += 1;
        phone.post("/RequestHandler/ucdevice.upx", CHECK).await.unwrap().text().contains(FOLDER)
    })
    .await;
    let reads = server.seen.reads(stored);
    let file = phone.get(&format!("/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt")).await.unwrap();
    assert!(file.status == 200 && file.body == image(1, LARGE_BYTES), "{}", file.status);
    assert_eq!(server.seen.reads(stored), reads, "it is read again");
    checks
}

/// Every line about the phone reaches the bucket. The names of the logs.
async fn logs_are_shipped(node: &TestNode, server: &S3Server, checks: usize) -> [String; 2] {
    let logs = [
        ("audit", "Audit/ImageUpdates/RequestHandlerAuditLog_node1_20260105.log"),
        ("access", "Access/node1/u_ex260105.log"),
    ]
    .map(|(kind, name)| (kind, format!("1-WebServices-1/DeviceUpdateLogs/Server/{name}")));
    node.audit_lines(checks).await;
    let spool = node.folder.path().join("data/spool");
    let on_disk = |kind: &str| {
        let file = files(&spool.join(kind)).pop().map(|name| spool.join(kind).join(name));
        file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
    };
    until(|| on_disk("access").contains("CPE.nbt")).await;
    node.clock.set("2026-01-05T12:05:01Z");
    for (kind, name) in &logs {
        let text = on_disk(kind);
        assert!(text.matches("\"CX600\"").count() == checks || *kind == "access", "{text}");
        until(|| std::fs::read_to_string(server.folder().join(name)).is_ok_and(|shipped| shipped == text)).await;
    }
    logs.map(|(_, name)| name)
}

/// Update files and logs in the bucket, without what a node tries the store out with.
fn kept(server: &S3Server) -> Vec<String> {
    files(&server.folder()).into_iter().filter(|name| name.starts_with("1-WebServices-1/DeviceUpdate")).collect()
}

/// Clears at this time: of all that is in the bucket, these are gone then and nothing else.
async fn cleared(node: &TestNode, server: &S3Server, now: &str, what: &[&str], gone: &[String]) {
    node.clock.set(now);
    let before = kept(server);
    node.cli(&[&["clear"], what].concat()).await.ok();
    let left: Vec<_> = before.into_iter().filter(|name| !gone.contains(name)).collect();
    assert_eq!(kept(server), left, "{what:?} at {now}");
    assert!(!gone.is_empty() || !left.is_empty(), "there was nothing to clear");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_everything_in_seaweedfs() {
    let Some(server) = SeaweedFs::start().await else { return };
    let node = TestNode::start_with(|config| server.configure(config)).await;
    let cab = cabinet(node.folder.path(), LARGE_BYTES);
    for _ in 0..2 {
        let said = node.cli(&["import", cab.to_str().unwrap()]).await;
        assert_eq!(said.code, 0, "{said:?}");
    }
    node.cli(&["rule", "remove", "--all"]).await.ok();
    let cleared = node.cli(&["clear", "files"]).await.ok();
    assert!(cleared.contains("CPE.nbt"), "{cleared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lies_about_conditional_puts_is_refused_until_it_is_honest() {
    let server = S3Server::start().await;
    server.faults.forgets_put_conditions.store(true, Ordering::SeqCst);
    let node = TestNode::start_with(|config| server.configure(config)).await;
    let cab = cabinet(node.folder.path(), 50_000);
    let cab = cab.to_str().unwrap();
    for (put, copy, what) in [(true, false, "took a new file"), (false, true, "took a file that was moved")] {
        server.faults.forgets_put_conditions.store(put, Ordering::SeqCst);
        server.faults.forgets_copy_conditions.store(copy, Ordering::SeqCst);
        wait_for_faults(&node, |told| told.contains("cannot be trusted") && told.contains(what)).await;
        let said = node.cli(&["import", cab]).await;
        let (told, place) = ("cannot be trusted", format!("s3://phones/pools/one at http://{}", server.address));
        assert!(said.code == 1 && said.err.contains(told) && said.err.contains(&place), "{said:?}");
        assert_eq!(files(&server.folder()), [""; 0]);
    }
    server.faults.forgets_copy_conditions.store(false, Ordering::SeqCst);
    wait_for_faults(&node, |told| !told.contains("cannot be trusted")).await;
    node.cli(&["import", cab]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_while_its_bucket_is_down_and_imports_when_it_is_back() {
    let server = S3Server::start().await;
    let credentials = server.credentials_file();
    let address = server.address;
    let stopped = server.stop();
    let node = TestNode::start_with(|config| tests::s3::configure(config, address, &credentials)).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    assert_eq!(phone.post("/RequestHandler/ucdevice.upx", CHECK).await.unwrap().status, 200);
    wait_for_faults(&node, |told| told.contains("phones are served") && told.contains("s3://phones/pools/one")).await;
    let cab = cabinet(node.folder.path(), 50_000);
    let cab = cab.to_str().unwrap();
    let asked = Instant::now();
    let said = node.cli(&["import", cab]).await;
    assert!(said.code == 1 && said.err.contains("the file store"), "{said:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let _server = stopped.restart().await;
    wait_for_faults(&node, |told| !told.contains("phones are served")).await;
    node.cli(&["import", cab]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_folder_is_missing_says_so_until_it_is_there() {
    let node = TestNode::start_with(|config| {
        let folder = config["store"]["folder"].as_str().unwrap().replace("/store", "/later");
        set(config, "store.folder", folder);
    })
    .await;
    let told = wait_for_faults(&node, |told| told.contains("mount the share")).await;
    assert!(told.contains("/later"), "{told}");
    let cab = cabinet(node.folder.path(), 50_000);
    let cab = cab.to_str().unwrap();
    let said = node.cli(&["import", cab]).await;
    assert!(said.code == 1 && said.err.contains("mount the share"), "{said:?}");
    let later = node.folder.path().join("later");
    assert!(!later.exists());
    std::fs::create_dir(later).unwrap();
    wait_for_faults(&node, |told| !told.contains("mount the share")).await;
    node.cli(&["import", cab]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_in_the_middle_of_a_large_file_leaves_nothing_to_be_seen() {
    let server = S3Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let cab = std::fs::read(cabinet(folder.path(), LARGE_BYTES)).unwrap();
    let program = Program::new(folder, Vec::new(), |config| server.configure(config)).await;
    let mut serving = program.start().await;
    server.faults.holds_pieces.store(true, Ordering::SeqCst);
    let import = serving.import("UCUpdates.cab", cab.clone());
    let killed = async {
        wait_until("a piece is held", async || server.faults.held.load(Ordering::SeqCst) > 0).await;
        kill_now(&serving.process);
    };
    let (imported, ()) = tokio::join!(import, killed);
    assert!(imported.is_err(), "{imported:?}");
    server.faults.holds_pieces.store(false, Ordering::SeqCst);
    let seen: Vec<_> = files(&server.folder()).into_iter().filter(|name| name.ends_with("CPE.nbt")).collect();
    assert_eq!(seen, [""; 0]);
    serving.restart().await;
    serving.import("UCUpdates.cab", cab).await.unwrap();
    let held = files(&server.folder()).into_iter().find(|name| name.ends_with("CPE.nbt")).unwrap();
    assert_eq!(std::fs::read(server.folder().join(held)).unwrap(), image(1, LARGE_BYTES));
}
