//! The access log of a whole node: what it says of each kind of request, byte for byte, and what becomes of its files when
//! a day ends, the node is killed, or the store is down.

use std::path::PathBuf;
use std::time::Duration;
use tests::database::wait_until;
use tests::gcab::{image, package};
use tests::node::{TestNode, set};
use tests::phone::Phone;
use tests::program::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const HANDLER: &str = "/RequestHandler/ucdevice.upx";

const FOLDER: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

/// Larger than all buffers between a node and a client that does not read.
const IMAGE_BYTES: usize = 16 << 20;

const CHECK: &str = "<Request><DeviceType>UCPhone</DeviceType></Request>";

/// The files of the log on the node's disk, whole.
fn texts(node: &TestNode) -> Vec<(String, String)> {
    let spool = node.folder.path().join("data/spool/access");
    let entries = std::fs::read_dir(spool).into_iter().flatten().flatten();
    let mut texts: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    texts.sort();
    texts
}

/// The lines of the node, once there are so many; the port stands as PORT, and how long they took as N.
async fn lines(node: &TestNode, expected: usize) -> Vec<String> {
    let lines = || {
        let texts = texts(node);
        let lines = texts.iter().flat_map(|(_, text)| text.lines()).filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until(&format!("there are {expected} lines"), async || lines().len() >= expected).await;
    let shown = |line: &String| {
        let mut fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields.len(), 14, "{line}");
        assert!(fields[13].parse::<u64>().unwrap() < 60_000, "{line}");
        assert!(fields[6].parse::<u16>().unwrap() > 0, "{line}");
        (fields[6], fields[13]) = ("PORT", "N");
        fields.join(" ")
    };
    lines().iter().map(shown).collect()
}

async fn with_update() -> TestNode {
    let node = TestNode::start().await;
    let path = format!("{FOLDER}/CPE.nbt");
    let package = package(node.folder.path(), "a.cab", "2008-12-16 04:43:58", &[(&path, &image(1, IMAGE_BYTES))]);
    node.cli(&["import", package.to_str().unwrap()]).await.ok();
    node.cli(&["rule", "approve", "--all"]).await.ok();
    node
}

#[tokio::test]
async fn every_request_of_a_phone_has_its_line_and_those_of_administrators_have_none() {
    let node = with_update().await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let file = format!("/DeviceUpdateFiles_Int/{FOLDER}/cpe.NBT");
    phone.post(HANDLER, CHECK).await.unwrap();
    assert_eq!(phone.get(&file).await.unwrap().status, 200);
    assert_eq!(phone.ask("GET", &file, &[("Range", "bytes=5-9")], b"").await.unwrap().status, 206);
    assert_eq!(phone.ask("HEAD", &file, &[], b"").await.unwrap().status, 200);
    assert_eq!(phone.get("/no/such%20place?a=b+c").await.unwrap().status, 404);
    assert_eq!(phone.ask("HEAD", "/nowhere", &[], b"").await.unwrap().status, 404);
    assert_eq!(phone.send(b"GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await.unwrap().status, 400);
    let agent = b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: a \xc3\xa4\tb 200 0\xff\r\nConnection: close\r\n\r\n";
    assert_eq!(phone.send(agent).await.unwrap().status, 404);
    let start = "2026-01-05 12:00:00 127.0.0.1";
    let end = "PORT - 127.0.0.1 Microsoft+UCPhone+Device";
    let expected = [
        format!("{start} POST {HANDLER} - {end} 200 0 0 N"),
        format!("{start} GET {file} - {end} 200 0 0 N"),
        format!("{start} GET {file} - {end} 206 0 0 N"),
        format!("{start} HEAD {file} - {end} 200 0 0 N"),
        format!("{start} GET /no/such%20place a=b+c {end} 404 0 0 N"),
        format!("{start} HEAD /nowhere - {end} 404 0 0 N"),
        format!("{start} - - - PORT - 127.0.0.1 - 400 0 0 N"),
        format!("{start} GET /x - PORT - 127.0.0.1 a+%C3%A4%09b+200+0%FF 404 0 0 N"),
    ];
    assert_eq!(lines(&node, expected.len()).await, expected);
    let (name, text) = texts(&node).remove(0);
    assert_eq!(name, "u_ex260105.log");
    let version = env!("CARGO_PKG_VERSION");
    let header = format!(
        "#Software: ucupdates {version}\r\n#Version: 1.0\r\n#Date: 2026-01-05 12:00:00\r\n#Fields: date time s-ip cs-method \
         cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status sc-substatus sc-win32-status time-taken\r\n"
    );
    assert!(text.starts_with(&header) && text.matches("#Fields").count() == 1 && text.ends_with("\r\n"), "{text}");
}

#[tokio::test]
async fn a_phone_outside_is_named_by_the_account_that_it_has_proved() {
    let node = TestNode::start().await;
    let password = node.file("password", b"secret words\n");
    let new = ["account", "new", "desk1@demo.local", "--password-file", password.to_str().unwrap()];
    node.cli(&new).await.ok();
    let phone = Phone::new(node.addresses.external_https[0]).over_tls(&node.ca_file(), "ucupdates-r2");
    let handler = "/RequestHandlerExt/ucdevice.upx";
    let basic = |text: &str| format!("Basic {}", base64(text));
    for (credentials, status) in [(None, 401), (Some("desk1@demo.local:wrong"), 401)] {
        let header = credentials.map(|credentials| ("Authorization", basic(credentials)));
        let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(phone.ask("POST", handler, &headers, CHECK.as_bytes()).await.unwrap().status, status);
    }
    let proved = basic("desk1@demo.local:secret words");
    let answer = phone.ask("POST", handler, &[("Authorization", &proved)], CHECK.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
    let line = |user: &str, status: u16| {
        format!(
            "2026-01-05 12:00:00 127.0.0.1 POST {handler} - PORT {user} 127.0.0.1 Microsoft+UCPhone+Device {status} 0 0 N"
        )
    };
    assert_eq!(lines(&node, 3).await, [line("-", 401), line("-", 401), line("desk1@demo.local", 200)]);
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn a_download_that_breaks_off_says_so_and_how_long_it_took() {
    let node = with_update().await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let file = format!("/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt");
    let mut connection = phone.connect().await.unwrap();
    connection.write_all(format!("GET {file} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut some = [0; 4096];
    connection.read_exact(&mut some).await.unwrap();
    assert_eq!(texts(&node), [], "its last byte is not sent");
    drop(connection);
    let expected = format!("2026-01-05 12:00:00 127.0.0.1 GET {file} - PORT - 127.0.0.1 - 200 0 64 N");
    assert_eq!(lines(&node, 1).await, [expected]);
}

#[tokio::test]
async fn a_new_day_has_a_new_file_and_both_reach_the_store_whole_when_it_is_back() {
    let node = TestNode::start().await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let store = node.folder.path().join("store/1-WebServices-1");
    std::fs::create_dir_all(&store).unwrap();
    let in_the_way = store.join("DeviceUpdateLogs");
    std::fs::write(&in_the_way, "x").unwrap();
    for (time, expected) in [("2026-01-05T23:59:59Z", 1), ("2026-01-06T00:00:00Z", 2)] {
        node.clock.set(time);
        phone.get("/x").await.unwrap();
        lines(&node, expected).await;
    }
    let texts_then = texts(&node);
    let names: Vec<&str> = texts_then.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["u_ex260105.log", "u_ex260106.log"]);
    assert!(texts_then.iter().all(|(_, text)| text.starts_with("#Software: ") && text.lines().count() == 5));
    node.clock.set("2026-01-06T00:10:00Z");
    let status = async || node.cli(&["status"]).await.ok();
    wait_until("the fault is told", async || status().await.contains("access files wait on the local disk")).await;
    std::fs::remove_file(&in_the_way).unwrap();
    // Long before LogFlushInterval is over again: the clock stands.
    let stored = |name: &str| -> PathBuf { in_the_way.join("Server/Access/node1").join(name) };
    for (name, text) in &texts_then {
        wait_until("it is stored", async || std::fs::read_to_string(stored(name)).is_ok_and(|stored| stored == *text))
            .await;
    }
    // Past days leave the node's disk an hour later.
    node.clock.set("2026-01-06T01:30:00Z");
    wait_until("the first leaves", async || texts(&node).len() == 1).await;
    assert_eq!(std::fs::read_to_string(stored("u_ex260105.log")).unwrap(), texts_then[0].1);
    wait_until("the fault is over", async || !status().await.contains("access files wait")).await;
}

#[tokio::test]
async fn a_log_that_is_switched_off_is_not_there() {
    let node = TestNode::start_with(|config| set(config, "access_log.enabled", false)).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    phone.post(HANDLER, CHECK).await.unwrap();
    // The other log has its line: what had to be written is.
    node.audit_lines(1).await;
    assert!(!node.folder.path().join("data/spool/access").exists());
}

/// Kills of the node that logs.
const KILLS: u64 = 5;

#[tokio::test]
async fn kills_tear_no_line_and_lose_none_that_is_older_than_a_second() {
    let program = Program::new(tempfile::tempdir().unwrap(), Vec::new(), |_| {}).await;
    let mut serving = program.start().await;
    let spool = program.path("data/spool/access");
    let text = || {
        let files = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>()
    };
    for kill in 0..KILLS {
        let kept = format!("/kept/{kill}");
        serving.phone().get(&kept).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for late in 0..200 {
            serving.phone().get(&format!("/late/{kill}/{late}")).await.unwrap();
        }
        serving.restart().await;
        let text = text();
        assert_eq!(text.matches(&format!(" {kept} ")).count(), 1, "{kept}");
        let torn: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#') && line.split(' ').count() != 14).collect();
        assert!(torn.is_empty() && text.ends_with("\r\n"), "{torn:?}");
    }
    assert_eq!(text().matches("#Fields: ").count() as u64, KILLS, "one head for each process that wrote");
    serving.process.stop().await;
}
