//! The log of the real program, in both formats: one line for each thing said, the fields where programs find them, and
//! nothing that a phone sends looks like something else.

use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tests::binary;
use tests::database::TestDb;
use tests::node::{configuration, set};
use tests::phone::Phone;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long a line may be waited for. A node that starts makes two RSA keys first, which takes long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A MAC address and a model as no phone has them: line ends, a forged line, a terminal's escape, a forged field.
const HOSTILE: &str = "<Request><MacAddress>00&#13;&#10;2026-01-05T12:00:00Z ERROR node: all is lost</MacAddress>\
                       <Vendor>\u{9b}2J\u{202e}</Vendor><Model>M reason=offered</Model>\
                       <Module><FileName>cpe.nbt</FileName><Version>1.0.0.0</Version></Module></Request>";

/// A node as a process, and its log.
struct Logged {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Logged {
    async fn start(folder: &Path, db: &TestDb, format: &str) -> Self {
        let mut table = configuration(db, folder);
        set(&mut table, "log.format", format);
        set(&mut table, "log.filter", "info,node=debug");
        for listener in ["internal_https", "external_https", "management_https"] {
            set(&mut table, &format!("listeners.{listener}.addresses"), toml::Value::Array(Vec::new()));
        }
        set(&mut table, "listeners.internal_http.addresses", vec!["127.0.0.1:0".to_owned()]);
        std::fs::create_dir_all(folder.join("store")).unwrap();
        let path = folder.join("config.toml");
        std::fs::write(&path, table.to_string()).unwrap();
        let mut command = Command::new(binary::path());
        command.args(["serve", "--config"]).arg(path).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Reads until a line that holds this text.
    async fn line_with(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            let Ok(Some(line)) = next.map(Result::unwrap) else {
                panic!("{text:?} did not come:\n{}", read.join("\n"))
            };
            if line.contains(text) {
                return line;
            }
            read.push(line);
        }
    }

    async fn stop(mut self) -> Vec<String> {
        let pid = nix::unistd::Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest.push(line);
        }
        assert!(self.process.wait().await.unwrap().success());
        rest
    }
}

async fn ask(address: &str) {
    let phone = Phone::new(address.parse().unwrap());
    assert_eq!(phone.post("/RequestHandler/ucdevice.upx", HOSTILE).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_line_of_json_carries_its_fields_beside_the_message() {
    let (folder, db) = (tempfile::tempdir().unwrap(), TestDb::new().await);
    let mut node = Logged::start(folder.path(), &db, "json").await;
    let listening: Value = serde_json::from_str(&node.line_with("\"listening\"").await).unwrap();
    assert_eq!((&listening["level"], &listening["message"]), (&"INFO".into(), &"listening".into()));
    ask(listening["address"].as_str().unwrap()).await;
    let check: Value = serde_json::from_str(&node.line_with("\"check\"").await).unwrap();
    assert_eq!((&check["level"], &check["reason"]), (&"DEBUG".into(), &"no_rule".into()), "{check}");
    assert!(check["mac"].as_str().unwrap().starts_with("00\r\n2026"), "{check}");
    for line in node.stop().await {
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[tokio::test]
async fn what_a_phone_sends_cannot_forge_a_line_of_text() {
    let (folder, db) = (tempfile::tempdir().unwrap(), TestDb::new().await);
    let mut node = Logged::start(folder.path(), &db, "text").await;
    let listening = node.line_with("listening address=").await;
    let address = listening.split("address=").nth(1).unwrap().to_owned();
    ask(&address).await;
    let check = node.line_with(" check ").await;
    assert!(check.chars().all(|c| matches!(c, ' '..='~')), "{check:?}");
    let expected = "reason=no_rule address=127.0.0.1 mac=\"00\\r\\n2026-01-05T12:00:00Z ERROR node: all is lost\" \
                    vendor=\"\\u{9b}2J\\u{202e}\" model=\"M reason=offered\"";
    assert!(check.ends_with(expected), "{check}");
    let rest = node.stop().await;
    assert!(!rest.iter().any(|line| line.starts_with("2026-01-05T12:00:00Z ERROR")), "{rest:#?}");
}
