//! Every command of the administrators, typed into the real program, against a real node. What the node decides is
//! tested elsewhere; here: the way there and back, what is shown, and the exit codes.

use node::api::types::devices::{Explanation, TestDeviceBody};
use node::api::types::packages::{ImportOutcomeBody, ReportCard};
use node::api::types::rules::{RuleBody, RuleReport};
use node::api::types::settings::{ConfigurationBody, PoolBody};
use node::api::types::{AdminEventBody, ChainReport, NamedBody, StatusBody};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::process::Stdio;
use tests::binary::{self, Said};
use tests::database::TestDb;
use tests::gcab;
use tests::node::{POOL, TestNode, configuration};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Types a line, cut at spaces.
async fn typed(node: &TestNode, line: &str) -> Said {
    node.cli(&line.split(' ').collect::<Vec<_>>()).await
}

/// The answer of a command with `--json`, which must succeed.
async fn json<A: DeserializeOwned>(node: &TestNode, line: &str) -> A {
    let out = typed(node, &format!("{line} --json")).await.ok();
    serde_json::from_str(&out).unwrap()
}

/// A refusal: exit code 1, one line that holds the words, nothing on standard output.
async fn refused(node: &TestNode, line: &str, words: &str) {
    let said = typed(node, line).await;
    assert_eq!(said.code, 1, "{line}: {said:?}");
    assert!(said.err.starts_with("error: ") && said.err.contains(words), "{line}: {said:?}");
    assert_eq!((said.err.lines().count(), said.out.as_str()), (1, ""), "{line}: {said:?}");
}

/// A package named `file`: an image of this version for each model, other bytes for another seed.
fn package(node: &TestNode, file: &str, models: &[&str], version: &str, seed: u64) {
    let bytes = gcab::image(seed, 5000);
    let paths: Vec<String> =
        models.iter().map(|model| format!("UCPhone/Polycom/{model}/A/ENU/{version}/CPE/CPE.nbt")).collect();
    let entries: Vec<gcab::Entry<'_>> = paths.iter().map(|path| (path.as_str(), bytes.as_slice())).collect();
    gcab::package(node.folder.path(), file, "2008-12-16 04:43:58", &entries);
}

async fn rules(node: &TestNode) -> Vec<RuleBody> {
    json(node, "rule list").await
}

#[tokio::test]
async fn a_package_is_imported_once_and_refused_with_other_bytes() {
    let node = TestNode::start().await;
    package(&node, "one.cab", &["CX600", "CX700"], "1.0.0.0", 1);
    package(&node, "forged.cab", &["CX600", "CX500"], "1.0.0.0", 2);

    let said = typed(&node, "import one.cab --dry-run").await.ok();
    assert!(said.contains("dry run: 2 updates in one.cab") && said.contains("2 created"), "{said}");
    assert!(rules(&node).await.is_empty());
    assert!(typed(&node, "rule list").await.ok().starts_with("no rules yet: import a package"));

    let card: ReportCard = json(&node, &format!("import one.cab --pool {POOL}")).await;
    assert!(card.rows.iter().all(|row| row.outcome == ImportOutcomeBody::Created) && card.rows.len() == 2, "{card:?}");
    assert_eq!(rules(&node).await.len(), 2);
    let again: ReportCard = json(&node, "import one.cab").await;
    assert!(again.rows.iter().all(|row| row.outcome == ImportOutcomeBody::Unchanged), "{again:?}");

    let forged = typed(&node, "import forged.cab").await;
    assert_eq!(forged.code, 1, "{forged:?}");
    assert!(forged.out.contains("refused: UCPhone Polycom CX600 A ENU CPE 1.0.0.0: "), "{forged:?}");
}

#[tokio::test]
async fn what_is_no_package_is_told_in_one_sentence() {
    let node = TestNode::start().await;
    node.file("empty.cab", b"");
    node.file("text.cab", b"this is no cabinet");
    refused(&node, "import empty.cab", "empty.cab is empty; expected a package").await;
    refused(&node, "import .", ". is a folder; expected a package").await;
    refused(&node, "import missing.cab", "there is no file missing.cab").await;
    refused(&node, "import text.cab", "cabinet").await;
    package(&node, "one.cab", &["CX600"], "1.0.0.0", 1);
    refused(&node, "import one.cab --pool pool99.demo.local", "pool99.demo.local").await;
    assert!(rules(&node).await.is_empty());
}

#[tokio::test]
async fn a_rule_is_approved_reset_restored_and_removed() {
    let node = TestNode::start().await;
    package(&node, "one.cab", &["CX600", "CX700"], "1.0.0.0", 1);
    package(&node, "two.cab", &["CX600"], "2.0.0.0", 2);
    typed(&node, "import one.cab").await.ok();
    let all = rules(&node).await;
    let of = |model: &str| all.iter().find(|rule| rule.model == model).unwrap().id.clone();
    let (id, short) = (of("CX600"), of("CX600")[..13].to_owned());

    let dry = typed(&node, &format!("rule approve {short} --dry-run")).await.ok();
    assert!(dry.contains("- -> 1.0.0.0") && dry.ends_with("nothing was changed\n"), "{dry}");
    let report: RuleReport = json(&node, &format!("rule approve {short}")).await;
    assert_eq!(report.results[0].after.as_ref().unwrap().approved_version.as_deref(), Some("1.0.0.0"));
    let refused = typed(&node, "rule approve --brand polycom").await;
    assert_eq!(refused.code, 1, "one of the two has nothing pending: {refused:?}");
    assert!(refused.out.contains("1 rule approved, 1 refused"), "{refused:?}");

    for verb in ["approve", "reset", "restore", "remove"] {
        let said = typed(&node, &format!("rule {verb} --brand Polycmo")).await;
        assert!(said.code == 1 && said.out.starts_with("no rule matches, so nothing was done"), "{verb}: {said:?}");
    }
    typed(&node, "import two.cab").await.ok();
    assert!(typed(&node, "rule reset --state pending").await.ok().contains("1 rule reset"));
    typed(&node, "import two.cab").await.ok();
    typed(&node, "rule approve --model CX6*").await.ok();
    let shown = typed(&node, &format!("rule show {short}")).await.ok();
    assert!(shown.contains("ApprovedVersion : 2.0.0.0") && shown.contains("RestoreVersion  : 1.0.0.0"), "{shown}");
    let listed = typed(&node, "rule list --state restorable").await.ok();
    assert!(listed.contains(&id[..8]) && listed.contains(&format!("1 rule in {POOL}")), "{listed}");

    typed(&node, &format!("rule restore {id}")).await.ok();
    assert_eq!(typed(&node, &format!("rule restore {id}")).await.code, 1, "only one step back");
    let uninstalled: RuleReport = json(&node, &format!("rule restore {id} --uninstall")).await;
    assert_eq!(uninstalled.results[0].after.as_ref().unwrap().approved_version, None);

    assert!(typed(&node, "rule remove --all --dry-run").await.ok().contains("2 rules would be removed"));
    assert!(typed(&node, &format!("rule remove {id}")).await.ok().contains("1 rule removed"));
    assert_eq!(rules(&node).await.iter().map(|rule| &rule.model).collect::<Vec<_>>(), ["CX700"]);
    assert_eq!(
        typed(&node, "rule list --brand nobody").await.ok(),
        "no rule matches: see them all with `ucupdates rule list`\n"
    );
}

#[tokio::test]
async fn rules_are_never_selected_by_silence() {
    let node = TestNode::start().await;
    package(&node, "one.cab", &["CX600", "CX700"], "1.0.0.0", 1);
    typed(&node, "import one.cab").await.ok();
    for line in ["rule approve", "rule remove --dry-run", "rule approve 1 --all", "rule reset --all --brand x"] {
        let said = typed(&node, line).await;
        assert_eq!(said.code, 2, "{line}: {said:?}");
    }
    refused(&node, "rule approve zzz", "no rule has an id that begins with \"zzz\"").await;
    assert!(rules(&node).await.iter().all(|rule| rule.approved_version.is_none()));
}

#[tokio::test]
async fn cleared_files_are_those_that_no_rule_refers_to() {
    let node = TestNode::start().await;
    package(&node, "one.cab", &["CX600"], "1.0.0.0", 1);
    typed(&node, "import one.cab").await.ok();
    assert_eq!(typed(&node, "clear files").await.ok(), "nothing to delete\n");
    typed(&node, "rule remove --all").await.ok();
    let dry = typed(&node, &format!("clear files --pool {POOL} --dry-run")).await.ok();
    assert!(dry.contains("DeviceUpdateStore/UCPhone/Polycom/CX600/A/ENU/1.0.0.0/CPE/CPE.nbt"), "{dry}");
    assert!(dry.contains("dry run: 1 file"), "{dry}");
    let cleared = typed(&node, &format!("clear files --pool service:WebServer:{POOL}")).await.ok();
    assert!(cleared.contains("1 file") && cleared.ends_with(" deleted\n"), "{cleared}");
    assert_eq!(typed(&node, "clear files").await.ok(), "nothing to delete\n");
    typed(&node, "clear logs --days-back 30").await.ok();
    assert_eq!(typed(&node, "clear logs --days-back 31").await.code, 2);
    refused(&node, "clear logs --days-back 3 --pool pool99.demo.local", "pool99.demo.local").await;
}

#[tokio::test]
async fn test_devices_are_declared_listed_changed_and_removed() {
    let node = TestNode::start().await;
    assert!(typed(&node, "test-device list").await.ok().starts_with("no test devices yet"));
    typed(&node, "test-device new global/desk --mac 00-21-63-0F-20-7B --dry-run").await.ok();
    assert!(json::<Vec<TestDeviceBody>>(&node, "test-device list").await.is_empty());
    let device: TestDeviceBody = json(&node, "test-device new global/desk --mac 00-21-63-0F-20-7B").await;
    assert_eq!((device.identifier_type.as_str(), device.identifier.as_str()), ("MACAddress", "0021630F207B"));
    typed(&node, "test-device new --parent site:Redmond --name lab --serial C185H001209").await.ok();
    refused(&node, "test-device new global/DESK --serial X1", "exists already").await;
    refused(&node, "test-device new global/x --mac 12-34", "MAC address").await;
    assert_eq!(typed(&node, "test-device new global/x").await.code, 2);

    let changed = typed(&node, "test-device set global/desk --serial AB37_679e").await.ok();
    assert_eq!(changed, "test device is now: global/desk, SerialNumber AB37_679e\n");
    assert_eq!(typed(&node, "test-device set global/desk").await.code, 2);
    let listed = typed(&node, "test-device list site:Redmond").await.ok();
    assert!(listed.contains("site:Redmond/lab") && !listed.contains("desk"), "{listed}");
    assert!(typed(&node, "test-device list *desk").await.ok().contains("AB37_679e"));

    let dry = typed(&node, "test-device remove global --dry-run").await.ok();
    assert!(dry.contains("1 test device would be removed\ndry run: nothing was changed") && dry.lines().count() == 3);
    typed(&node, "test-device remove site:Redmond").await.ok();
    typed(&node, "test-device remove global/desk").await.ok();
    refused(&node, "test-device remove global/desk", "global/desk").await;
    assert!(json::<Vec<TestDeviceBody>>(&node, "test-device list").await.is_empty());
}

#[tokio::test]
async fn the_configuration_is_made_changed_and_removed() {
    let node = TestNode::start().await;
    let all: Vec<ConfigurationBody> = json(&node, "config get").await;
    assert_eq!(all.iter().map(|body| body.scope.as_str()).collect::<Vec<_>>(), ["global"]);
    typed(&node, "config set global --max-log-file-size 50000 --dry-run").await.ok();
    let set =
        "config set global --log-clean-up-interval 20 --add-extension .log --remove-extension .hex --replace-types A,B";
    let changed: ConfigurationBody = json(&node, set).await;
    assert_eq!((changed.log_clean_up_interval.as_str(), changed.max_log_file_size), ("20.00:00:00", 1_024_000));
    let extensions = &changed.valid_log_file_extensions;
    assert!(extensions.contains(&".log".to_owned()) && !extensions.contains(&".hex".to_owned()), "{extensions:?}");
    assert_eq!(changed.valid_log_file_types, ["A", "B"]);
    refused(&node, "config set global --log-flush-interval 00:00:30", "LogFlushInterval").await;
    assert_eq!(typed(&node, "config set global").await.code, 2);

    refused(&node, "config get site:Redmond", "has no configuration of its own").await;
    let new: ConfigurationBody = json(&node, "config new site:Redmond --log-clean-up-time-of-day 03:30").await;
    assert_eq!(
        (new.log_clean_up_time_of_day.as_deref(), new.log_clean_up_interval.as_str()),
        (Some("03:30"), "10.00:00:00")
    );
    refused(&node, "config new global", "exists already").await;
    assert!(typed(&node, "config remove site:Redmond").await.ok().contains("this holds now"));
    assert!(typed(&node, "config remove global").await.ok().contains("reset to the defaults"));
    let reset: Vec<ConfigurationBody> = json(&node, "config get global").await;
    assert_eq!(reset[0].log_clean_up_interval, "10.00:00:00");
}

#[tokio::test]
async fn pools_and_stepping_stones_are_data() {
    let node = TestNode::start().await;
    typed(&node, "pool new pool02.demo.local --site Lisbon --service-id 1-WebServices-2").await.ok();
    let url = "https://ext.demo.local/RequestHandlerExt/Files";
    let set: PoolBody = json(&node, &format!("pool set pool02.demo.local --external-files-url {url}")).await;
    assert_eq!(set.external_files_url.as_deref(), Some(url));
    assert_eq!(typed(&node, "pool set pool02.demo.local").await.code, 2);
    assert!(typed(&node, "pool list").await.ok().contains("Fqdn              : pool02.demo.local"));
    let which = typed(&node, "clear files").await;
    assert_eq!(which.code, 2, "two pools: {which:?}");
    assert!(which.err.contains("--pool") && which.err.contains("pool02.demo.local"), "{which:?}");

    let stone = "--device-type UCPhone --brand Polycom --below 2.0.0.0 --via 2.1.0.0";
    typed(&node, &format!("stepping-stone new {stone}")).await.ok();
    assert!(typed(&node, "stepping-stone list").await.ok().contains("Polycom"));
    refused(&node, &format!("stepping-stone new {stone}"), "exists already").await;
    assert_eq!(
        typed(&node, &format!("stepping-stone remove {stone}")).await.ok(),
        "removed: UCPhone Polycom below 2.0.0.0 via 2.1.0.0\n"
    );
    refused(&node, &format!("stepping-stone remove {stone}"), "does not exist").await;
}

/// A line that is still to be typed.
fn command(node: &TestNode, line: &str) -> Command {
    let mut command = Command::new(binary::path());
    command.args(line.split(' ')).env("UCUPDATES_PROFILE", node.folder.path().join("profile.toml"));
    command
}

/// Types a line and pipes `input` in.
async fn piped(node: &TestNode, line: &str, input: &str) -> Said {
    let mut command = command(node, line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn passwords_come_by_pipe_or_file() {
    let node = TestNode::start().await;
    assert!(typed(&node, "account list").await.ok().starts_with("no accounts yet"));
    assert_eq!(
        piped(&node, "account new ruisilva@demo.local", "first secret\n").await.ok(),
        "new account: ruisilva@demo.local\n"
    );
    let file = node.file("password", b"second secret\n");
    typed(&node, &format!("account set-password ruisilva@demo.local --password-file {}", file.display())).await.ok();
    let empty = piped(&node, "account new other", "").await;
    assert_eq!(empty.code, 1);
    assert!(empty.err.contains("the password is empty"), "{empty:?}");
    let short = piped(&node, "account new other", "short").await;
    assert!(short.code == 1 && short.err.contains("a password has 8 to 256 bytes"), "{short:?}");
    let listed: Vec<NamedBody> = json(&node, "account list").await;
    assert_eq!(listed.iter().map(|account| account.name.as_str()).collect::<Vec<_>>(), ["ruisilva@demo.local"]);
    typed(&node, "account remove ruisilva@demo.local").await.ok();
    refused(&node, "account remove ruisilva@demo.local", "does not exist").await;
    let events: Vec<AdminEventBody> = json(&node, "admin events").await;
    assert!(!format!("{events:?}").contains("secret"), "passwords are in no record");
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let node = TestNode::start().await;
    let made = typed(&node, "token new nightly").await;
    assert!(made.err.contains("shown this once"), "{made:?}");
    let token = made.ok().trim().to_owned();
    assert!(!token.contains(char::is_whitespace), "the secret alone is on standard output: {token:?}");
    typed(&node, &format!("--token {token} test-device new global/desk --serial X1")).await.ok();
    let events: Vec<AdminEventBody> = json(&node, "admin events --limit 1").await;
    assert_eq!((events.len(), events[0].actor.as_str()), (1, "nightly"));
    assert!(typed(&node, "token list").await.ok().contains("nightly"));
    typed(&node, "token revoke nightly").await.ok();
    refused(&node, &format!("--token {token} status"), "the token is not accepted").await;
    refused(&node, "token revoke nightly", "nightly").await;
}

#[tokio::test]
async fn what_administrators_did_is_told() {
    let node = TestNode::start().await;
    typed(&node, "test-device new global/desk --serial X1").await.ok();
    let told = typed(&node, "admin events").await.ok();
    assert!(told.contains("tester") && told.contains("global/desk"), "{told}");
    let verified: ChainReport = json(&node, "admin verify").await;
    assert!(verified.checked > 0 && verified.broken_at.is_none(), "{verified:?}");
    assert!(typed(&node, "admin verify").await.ok().starts_with("the record is whole: "));
    node.db.execute("alter table admin_events disable trigger user").await;
    node.db.execute("update admin_events set actor = 'mallory' where number = 1").await;
    let broken = typed(&node, "admin verify").await;
    assert_eq!(broken.code, 1, "{broken:?}");
    assert!(broken.out.starts_with("the record is broken: admin event 1 "), "{broken:?}");
}

#[tokio::test]
async fn a_node_tells_how_it_stands() {
    let node = TestNode::start().await;
    let status: StatusBody = json(&node, "status").await;
    assert_eq!((status.node.as_str(), status.pool.as_str()), ("node1", POOL));
    assert!(typed(&node, "status").await.ok().contains(&format!("Pool       : {POOL}")));
}

#[tokio::test]
async fn an_imagined_phone_is_explained() {
    let node = TestNode::start().await;
    package(&node, "one.cab", &["CX600"], "1.0.0.0", 1);
    typed(&node, "import one.cab").await.ok();
    let phone = "explain --device-type UCPhone --brand Polycom --model CX600 --revision A --locale ENU --version 0.5";
    let explanation: Explanation = json(&node, phone).await;
    assert_eq!((explanation.reasons, explanation.offered), (vec!["not_approved".to_owned()], Vec::new()));
    typed(&node, "rule approve --all").await.ok();
    assert!(typed(&node, phone).await.ok().len() > 20);
    assert_eq!(typed(&node, "explain").await.code, 2);
    refused(&node, "explain --brand Polycom", "missing").await;
}

#[tokio::test]
async fn a_node_is_found_trusted_and_named() {
    let mut node = TestNode::start().await;
    let server = format!("https://localhost:{}", node.management().port());
    // Neither the profile's token nor its authority goes to another server than the profile's.
    let other = format!("https://127.0.0.1:{}", node.management().port());
    refused(&node, &format!("--server {other} status"), "no token for").await;
    refused(&node, &format!("--server {other} --token x status"), "--ca-file").await;
    refused(&node, "--profile missing.toml status", "there is no profile missing.toml").await;
    refused(&node, "--server http://node1.demo.local status", "show the token").await;
    // A proxy of the Internet is not asked for a node.
    let mut proxied = command(&node, "status");
    proxied.env("HTTPS_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", "http://127.0.0.1:1").env_remove("NO_PROXY");
    Said::from(proxied.output().await.unwrap()).ok();
    node.stop().await;
    refused(&node, "status", &format!("cannot reach {server}: connection refused; is the node running?")).await;
}

#[tokio::test]
async fn without_a_node_the_first_steps_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary::path());
    command.arg("status").env_clear().env("XDG_CONFIG_HOME", folder.path());
    let said: Said = command.output().await.unwrap().into();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("ucupdates standard") && said.err.contains("UCUPDATES_TOKEN"), "{said:?}");
}

/// A configuration of a node that does not run, in `folder`.
fn configured(db: &TestDb, folder: &Path) -> String {
    std::fs::create_dir(folder.join("store")).unwrap();
    let path = folder.join("config.toml");
    std::fs::write(&path, configuration(db, folder).to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn an_operator_sets_a_pool_up_before_a_node_runs() {
    let (db, folder) = (TestDb::empty().await, tempfile::tempdir().unwrap());
    let config = configured(&db, folder.path());
    let run = async |line: String| -> Said {
        let mut command = Command::new(binary::path());
        command.args(line.split(' ')).env_clear().output().await.unwrap().into()
    };
    assert!(run(format!("check-config {config}")).await.ok().contains("is valid: node node1"));
    assert!(run(format!("migrate --config {config}")).await.ok().starts_with("the database went from"));
    assert!(run(format!("migrate --config {config}")).await.ok().ends_with("already\n"));
    let token = run(format!("first-token anna --config {config}")).await.ok();
    assert_eq!(token.trim().lines().count(), 1, "the secret alone: {token:?}");
    let twice = run(format!("first-token anna --config {config}")).await;
    assert!(twice.code == 1 && twice.err.contains("anna"), "{twice:?}");

    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "colour = 1").unwrap();
    let said = run(format!("check-config {}", wrong.display())).await;
    assert!(said.code == 1 && said.out.contains("`colour`"), "{said:?}");
}

#[tokio::test]
async fn whether_a_node_is_ready_needs_no_token_and_is_the_exit_code() {
    let mut node = TestNode::start().await;
    let ready = async |node: &TestNode| {
        let mut command = Command::new(binary::path());
        let server = format!("https://localhost:{}", node.management().port());
        command.args(["ready", "--server", &server, "--ca-file"]).arg(node.ca_file()).env_clear();
        Said::from(command.output().await.unwrap())
    };
    let said = ready(&node).await;
    assert!(said.code == 0 && said.out.starts_with("ready\n") && said.err.is_empty(), "{said:?}");
    assert_eq!(typed(&node, "ready").await.ok(), said.out, "by its profile");
    node.stop().await;
    let said = ready(&node).await;
    assert!(said.code == 1 && said.err.contains("is the node running?"), "{said:?}");
}
