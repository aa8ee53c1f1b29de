//! Simulated phones (`ucupdates phone`): that they get through their lives against a node, and that they find out a
//! service that answers wrongly.

mod changes;
mod hostile;

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

/// A node with rules in every state, test devices of both kinds, and an interim build.
async fn mixed() -> TestNode {
    let node = TestNode::start().await;
    let table = |version: &str| format!("RoundTable/Microsoft/RT/A/ENU/{version}/CPE");
    import(&node, "interim.cab", &["OCInterim/ENU".to_owned()]).await;
    import(&node, "one.cab", &[folder("CX600", "4.0.7577.100"), folder("CX700", "4.0.7577.100")]).await;
    node.cli(&["rule", "approve", "--all"]).await.ok();
    import(&node, "second.cab", &[folder("CX600", "4.0.7577.4387"), folder("CX3000", "4.0"), table("2.0")]).await;
    for (name, identifier) in [("a", ["--mac", "00-21-63-0F-20-7B"]), ("b", ["--serial", "C185H001209"])] {
        let name = format!("global/{name}");
        node.cli(&["test-device", "new", &name, identifier[0], identifier[1]]).await.ok();
    }
    node.cli(&["phone", "model", "--output", "model.json"]).await.ok();
    node
}

#[tokio::test]
async fn two_hundred_mixed_phones_are_each_told_what_the_model_demands() {
    let node = mixed().await;
    let fleet = ["--model", "model.json", "--count", "200", "--boot-within", "2s", "--install-delay", "0s"];
    let run = phones(&node, &fleet).await.flawless();
    assert_eq!((run.number("phones"), run.number("satisfied")), (200, 200), "{run:?}");
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({}), "{run:?}");
    for reason in ["offered", "offered_test", "offered_unapproved", "interim", "not_approved", "no_rule", "up_to_date"]
    {
        assert!(run.answers(reason) > 0, "nobody was told {reason}: {run:?}");
    }
    let answered: u64 =
        run.summary["answers"].as_object().unwrap().values().map(|number| number.as_u64().unwrap()).sum();
    assert_eq!(answered, run.number("checks"), "{run:?}");

    // The same phones again, from the API's model, on the http listener, and one by an address, without SNI.
    let again = ["--count", "200", "--boot-within", "2s", "--install-delay", "0s", "--url"];
    let http = "http://pool01.demo.local/RequestHandler/ucdevice.upx";
    let plain = phones(&node, &[&again[..], &[http]].concat()).await.flawless();
    assert_eq!(plain.summary["answers"], run.summary["answers"]);
    let address = format!("https://{}/RequestHandler/ucdevice.upx", node.addresses.internal_https[0]);
    phones(&node, &["--url", &address, "--no-sni", "--install-delay", "0s"]).await.flawless();
}

#[tokio::test]
async fn phones_outside_sign_in_or_are_refused() {
    let node = mixed().await;
    node.file("password", b"right horse\n");
    node.cli(&["account", "new", "phones", "--password-file", "password"]).await.ok();
    let outside = ["--url", "https://ext.demo.local/RequestHandlerExt/ucdevice.upx", "--insecure", "--outside"];
    let described = ["--brand", "Polycom", "--phone-model", "CX600", "--version", "3.0", "--install-delay", "0s"];
    let anonymous = phones(&node, &[&outside[..], &described].concat()).await.flawless();
    assert_eq!((anonymous.answers("anonymous_refused"), anonymous.number("installs")), (1, 0), "{anonymous:?}");
    let account = ["--account", "phones", "--password-file", "password"];
    let signed_in = phones(&node, &[&outside[..], &described, &account].concat()).await.flawless();
    assert_eq!((signed_in.answers("offered"), signed_in.number("downloads")), (1, 2), "{signed_in:?}");
}

#[tokio::test]
async fn a_small_storm_is_answered_without_an_error() {
    let node = mixed().await;
    let storm = ["--model", "model.json", "--count", "500", "--boot-within", "3s", "--source", "127.0.0.0/8"];
    let run = phones(&node, &storm).await.flawless();
    assert_eq!((run.number("booted"), run.number("satisfied")), (500, 500), "{run:?}");
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({}), "{run:?}");
}

#[tokio::test]
async fn phones_that_are_reset_update_again_and_again() {
    let node = mixed().await;
    let words = ["--model", "model.json", "--count", "1", "--duration", "4s", "--day", "100ms", "--speed", "1"];
    let run = phones(&node, &[&words[..], &["--install-delay", "0s", "--reset-after-days", "1"]].concat()).await;
    assert!(run.flawless().number("installs") > 3);
}
