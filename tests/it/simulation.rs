//! Simulated phones (`ucupdates phone`): that they get through their lives against a node, and that they find out a
//! service that answers wrongly.

use tests::gcab::{image, package};
use tests::node::TestNode;
use tests::simulated::phones;

const PACKED: &str = "2008-12-16 04:43:58";

/// Files of an update in a package: an image and its signature.
fn import_files(node: &TestNode, name: &str, folders: &[String]) -> String {
    let mut entries = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        let seed = u64::try_from(number * 2 + name.len()).unwrap();
        entries.push((format!("{folder}/CPE.nbt"), image(seed, 300_000)));
        entries.push((format!("{folder}/CPE.cat"), image(seed + 1, 700)));
    }
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    package(node.folder.path(), name, PACKED, &entries).to_str().unwrap().to_owned()
}

async fn import(node: &TestNode, name: &str, folders: &[String]) {
    let path = import_files(node, name, folders);
    node.cli(&["import", &path]).await.ok();
}

fn folder(model: &str, version: &str) -> String {
    format!("UCPhone/Polycom/{model}/A/ENU/{version}/CPE")
}

#[tokio::test]
async fn an_old_phone_takes_the_stepping_stone_and_then_the_target() {
    let node = TestNode::start().await;
    import(&node, "target.cab", &[folder("CX600", "4.0.7577.4387")]).await;
    import(&node, "interim.cab", &["OCInterim/ENU".to_owned()]).await;
    node.cli(&["rule", "approve", "--all"]).await.ok();
    let described = ["--brand", "Polycom", "--phone-model", "CX600", "--version", "1.0.522.34", "--speed", "1000"];
    let run = phones(&node, &described).await.flawless();
    assert_eq!((run.answers("offered"), run.answers("nothing"), run.number("installs")), (2, 1, 2), "{run:?}");
    assert_eq!((run.number("downloads"), run.number("download_bytes")), (4, 2 * 300_700), "{run:?}");

    node.cli(&["phone", "model", "--output", "model.json"]).await.ok();
    let run = phones(&node, &[&described[..], &["--model", "model.json"]].concat()).await.flawless();
    let reasons = ["interim", "offered", "up_to_date"].map(|reason| run.answers(reason));
    assert_eq!((reasons, run.number("checks")), ([1, 1, 1], 3), "{run:?}");
    // Of the audit log's last three lines each is one of these checks.
    assert!(node.audit_lines(6).await.last().unwrap().ends_with("CPE.nbt;4.0.7577.4387;16-12-2008 04:43:58,"));
}
