//! The model changes while phones run: around a change both decisions are right; a model that is not changed finds out
//! the service that was.

use super::{folder, import, mixed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::binary::Said;
use tests::node::TestNode;
use tests::simulated::{PhoneRun, command};
use tokio::process::Child;

/// Twenty phones that ask twice a second, for ever.
fn start(node: &TestNode, settle: &str) -> Child {
    let fleet = ["--model", "model.json", "--count", "20", "--duration", "5m", "--day", "500ms", "--speed", "1"];
    let mut command = command(node, &[&fleet[..], &["--install-delay", "0s", "--settle", settle]].concat());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
}

/// Ctrl+C, and the summary.
async fn end(child: Child) -> PhoneRun {
    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
    let said: Said = child.wait_with_output().await.unwrap().into();
    said.into()
}

/// Whether a phone was told so.
async fn told(node: &TestNode, version: &str) {
    let mut seen = 0;
    loop {
        let lines = node.audit_lines(seen + 1).await;
        if lines[seen..].iter().any(|line| line.contains(&format!("CPE.nbt;{version};")) && line.contains("http://")) {
            return;
        }
        seen = lines.len();
    }
}

/// Waits for as many more requests as the phones make in two of their days.
async fn two_days(node: &TestNode) {
    let asked = node.audit_lines(0).await.len();
    node.audit_lines(asked + 40).await;
}

#[tokio::test]
async fn around_a_change_of_the_rules_both_answers_are_right() {
    let node = mixed().await;
    import(&node, "third.cab", &[folder("CX600", "4.0.7577.5000")]).await;
    node.cli(&["phone", "model", "--output", "model.json"]).await.ok();
    let child = start(&node, "20s");
    two_days(&node).await;
    node.cli(&["rule", "approve", "--brand", "Polycom", "--model", "CX600"]).await.ok();
    // First the rules, then the model: until it comes, the new answer is in doubt.
    told(&node, "4.0.7577.5000").await;
    node.cli(&["phone", "model", "--output", "model.json"]).await.ok();
    two_days(&node).await;
    let run = end(child).await;
    assert_eq!((run.number("wrong"), run.number("failed"), run.said.code), (0, 0, 0), "{run:?}");
    assert!(run.number("checks") > 60 && run.number("installs") > 0, "{run:?}");
}

#[tokio::test]
async fn a_service_that_no_longer_does_what_the_model_says_is_found_out() {
    let node = mixed().await;
    let child = start(&node, "200ms");
    two_days(&node).await;
    node.cli(&["rule", "approve", "--brand", "Polycom", "--model", "CX600"]).await.ok();
    told(&node, "4.0.7577.4387").await;
    two_days(&node).await;
    let run = end(child).await;
    assert!(run.number("wrong") > 0 && run.said.code == 1, "{run:?}");
    assert!(run.wrong().iter().any(|text| text.contains("was told CPE.nbt 4.0.7577.4387")), "{run:?}");
}
