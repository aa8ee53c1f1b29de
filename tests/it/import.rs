//! Importing packages through the API and the command line: what becomes of rules, files and records, and what is left
//! when something fails.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::gcab::{image, package};
use tests::node::{POOL, TestNode, set};
use tests::phone::Phone;

const PACKED: &str = "2008-12-16 04:43:58";

const FOLDER: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

async fn json(node: &TestNode, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    serde_json::from_str(&node.cli(&arguments).await.ok()).unwrap()
}

fn package_of(node: &TestNode, name: &str, seed: u64) -> PathBuf {
    let [image, catalog] = [image(seed, 50_000), image(99, 700)];
    let paths = ["CPE.nbt", "CPE.cat"].map(|file| format!("{FOLDER}/{file}"));
    package(node.folder.path(), name, PACKED, &[(&paths[0], &image), (&paths[1], &catalog)])
}

fn outcomes(card: &Value) -> Vec<&str> {
    card["rows"].as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect()
}

fn stored_files(node: &TestNode) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path().display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&node.folder.path().join("store"), &mut found);
    found.sort();
    found
}

fn incoming(node: &TestNode) -> usize {
    std::fs::read_dir(node.folder.path().join("data/incoming")).unwrap().count()
}

#[tokio::test]
async fn a_package_is_pending_after_its_import_and_importing_it_twice_is_importing_it_once() {
    let node = TestNode::start().await;
    let path = package_of(&node, "UCUpdates.cab", 1);
    let path = path.to_str().unwrap();
    let card = json(&node, &["import", path, "--dry-run"]).await;
    assert_eq!((outcomes(&card), &card["dry_run"]), (vec!["created"], &Value::Bool(true)));
    assert_eq!(json(&node, &["rule", "list"]).await, Value::Array(vec![]));
    assert_eq!(stored_files(&node), Vec::<String>::new());

    assert_eq!(outcomes(&json(&node, &["import", path]).await), ["created"]);
    let rules = json(&node, &["rule", "list"]).await;
    assert_eq!(rules.as_array().unwrap().len(), 1);
    assert_eq!(rules[0]["pending_version"], "4.0.7577.4387");
    assert_eq!((&rules[0]["approved_version"], &rules[0]["restore_version"]), (&Value::Null, &Value::Null));
    let files = stored_files(&node);
    assert_eq!(files.len(), 2, "{files:?}");

    let again = json(&node, &["import", path]).await;
    assert_eq!(outcomes(&again), ["unchanged"]);
    assert!(again["rows"][0]["detail"].as_str().unwrap().contains("pending already"), "{again}");
    assert_eq!(json(&node, &["rule", "list"]).await, rules);
    assert_eq!(stored_files(&node), files);
    assert_eq!(incoming(&node), 0);
}

#[tokio::test]
async fn the_same_version_with_other_bytes_is_refused_with_both_digests() {
    let node = TestNode::start().await;
    node.cli(&["import", package_of(&node, "first.cab", 1).to_str().unwrap()]).await.ok();
    let files = stored_files(&node);
    let second = node.cli(&["import", package_of(&node, "second.cab", 5).to_str().unwrap(), "--json"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    let card: Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!(outcomes(&card), ["refused"]);
    let detail = card["rows"][0]["detail"].as_str().unwrap();
    let digest = |seed| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(image(seed, 50_000)));
    assert!(detail.contains(&digest(1)) && detail.contains(&digest(5)), "{detail}");
    assert_eq!(stored_files(&node), files);
}

#[tokio::test]
async fn a_package_of_several_devices_brings_a_rule_for_each_pool_and_device() {
    let node = TestNode::start().await;
    let new_pool = ["pool", "new", "pool02.demo.local", "--site", "Dublin", "--service-id", "2-WebServices-2"];
    node.cli(&new_pool).await.ok();
    let image = image(1, 9000);
    let paths =
        ["CX600", "CX700", "CX3000"].map(|model| format!("UCPhone/Polycom/{model}/A/ENU/4.0.7577.4387/CPE/CPE.nbt"));
    let entries = paths.each_ref().map(|path| (path.as_str(), image.as_slice()));
    let path = package(node.folder.path(), "several.cab", PACKED, &entries);
    let path = path.to_str().unwrap();
    let card = json(&node, &["import", path, "--pool", POOL]).await;
    assert_eq!(outcomes(&card), ["created"; 3]);
    let card = json(&node, &["import", path]).await;
    assert_eq!(outcomes(&card), ["unchanged", "unchanged", "unchanged", "created", "created", "created"]);
    assert_eq!(json(&node, &["rule", "list"]).await.as_array().unwrap().len(), 6);
    assert_eq!(json(&node, &["rule", "list", "--pool", "pool02*"]).await.as_array().unwrap().len(), 3);
    assert_eq!(stored_files(&node).len(), 6);
    let unknown = node.cli(&["import", path, "--pool", "pool03.demo.local"]).await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("pool03.demo.local"), "{unknown:?}");
}

#[tokio::test]
async fn a_wrong_package_gets_one_sentence_and_leaves_nothing() {
    let node = TestNode::start_with(|config| set(config, "packages.most_bytes", 100_000)).await;
    let nothing_known = package(node.folder.path(), "unknown.cab", PACKED, &[("readme.txt", b"hello")]);
    let long = node.file("long.cab", &image(1, 200_000));
    let cases = [
        (node.file("text.cab", b"hello, I am no cabinet, believe me, and long enough"), "cabinet"),
        (node.file("zip.cab", b"PK\x03\x04 and so on, as zip files have it, and some more"), "ZIP archive"),
        (node.file("empty.cab", b""), "empty"),
        (nothing_known, "updateInfo.xml"),
        (long, "most_bytes"),
    ];
    for (path, expected) in cases {
        let said = node.cli(&["import", path.to_str().unwrap()]).await;
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        assert!(said.err.contains(expected), "{said:?}");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(expected == "most_bytes" || expected == "empty" || said.err.contains(name), "{said:?}");
    }
    let folder = node.cli(&["import", node.folder.path().to_str().unwrap()]).await;
    assert_eq!((folder.code, folder.err.lines().count()), (1, 1), "{folder:?}");
    assert!(folder.err.contains(" is a folder; "), "{folder:?}");
    assert_eq!(json(&node, &["rule", "list"]).await, Value::Array(vec![]));
    assert_eq!(stored_files(&node), Vec::<String>::new());
    assert_eq!(incoming(&node), 0);
}

#[tokio::test]
async fn an_update_whose_second_file_cannot_be_stored_leaves_nothing_visible_either() {
    let request = "<Request><DeviceType>RoundTable</DeviceType><Vendor>Polycom</Vendor><Model>CX5000</Model>\
                   <Revision>A</Revision><Locale>ENU</Locale><Module><FileName>cpe.nbt</FileName>\
                   <Version>1.0.0.1</Version></Module></Request>";
    let folder = "RoundTable/Polycom/CX5000/A/ENU/4.0.7577.4387/CPE";
    let mut left_behind = Vec::new();
    // A folder stands where a file belongs; which of both files comes first is the
    // importer's affair, but it is the same one each time.
    for (blocked, other) in [("CPE.nbt", "CPE.cat"), ("CPE.cat", "CPE.nbt")] {
        let node = TestNode::start().await;
        let phone = Phone::new(node.addresses.internal_http[0]);
        let offered = async || {
            let answer = phone.post("/RequestHandler/ucdevice.upx", request).await.unwrap();
            !answer.text().contains("<NumOfFiles>0</NumOfFiles>")
        };
        let paths = [blocked, other].map(|file| format!("{folder}/{file}"));
        let content = image(1, 50_000);
        let mut entries = paths.each_ref().map(|path| (path.as_str(), content.as_slice()));
        entries.sort_unstable();
        let path = package(node.folder.path(), "UCUpdates.cab", PACKED, &entries);
        let path = path.to_str().unwrap();
        let [in_the_way, written] =
            paths.each_ref().map(|path| node.folder.path().join("store/1-WebServices-1/DeviceUpdateStore").join(path));
        std::fs::create_dir_all(&in_the_way).unwrap();

        let failed = node.cli(&["import", path]).await;
        assert_eq!(failed.code, 1, "{failed:?}");
        assert!(failed.err.contains(&paths[0]), "{failed:?}");
        left_behind.push(written.exists());
        assert_eq!(json(&node, &["rule", "list"]).await, Value::Array(vec![]));
        assert_eq!(json(&node, &["package", "list"]).await, Value::Array(vec![]));
        assert!(!offered().await, "{blocked}");
        assert!(!stored_files(&node).iter().any(|file| file.contains(".incoming")));
        assert_eq!(incoming(&node), 0);

        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(outcomes(&json(&node, &["import", path]).await), ["created"]);
        assert_eq!(stored_files(&node).len(), 2);
        // This kind of device gets pending versions: what was nothing before is an offer now.
        assert!(offered().await, "{blocked}");
    }
    left_behind.sort_unstable();
    assert_eq!(left_behind, [false, true], "in one of the cases the other file was stored before");
}

#[tokio::test]
async fn a_store_that_fails_leaves_nothing_visible_and_a_later_import_goes_through() {
    let node = TestNode::start().await;
    let path = package_of(&node, "UCUpdates.cab", 1);
    let path = path.to_str().unwrap();
    // A file where the store wants a folder: no file of the update can go in.
    let in_the_way = node.folder.path().join("store/1-WebServices-1").join(format!("DeviceUpdateStore/{FOLDER}"));
    std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    std::fs::write(&in_the_way, "x").unwrap();
    let failed = node.cli(&["import", path]).await;
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("file store"), "{failed:?}");
    assert_eq!(json(&node, &["rule", "list"]).await, Value::Array(vec![]));
    assert!(!stored_files(&node).iter().any(|file| file.contains(".nbt") || file.contains(".incoming")));
    assert_eq!(incoming(&node), 0);
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eq!(outcomes(&json(&node, &["import", path]).await), ["created"]);
}
