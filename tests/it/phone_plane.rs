//! What a phone sees of a whole node, and what it costs the database.

use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use tests::binary::Said;
use tests::gcab::{image, package};
use tests::node::{TestNode, set, until};
use tests::phone::{Phone, USER_AGENT};
use tokio::process::Command;

const HANDLER: &str = "/RequestHandler/ucdevice.upx";

const FOLDER: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

fn request(version: &str) -> String {
    format!(
        "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><SerialNumber>S1</SerialNumber>\
         <Vendor>Polycom</Vendor><Model>CX600</Model><Revision>A</Revision><Locale>ENU</Locale>\
         <Modules><Module><FileName>cpe.nbt</FileName><Version>{version}</Version></Module></Modules></Request>"
    )
}

/// Where a node's replica has the file of these bytes.
fn replica_path(node: &TestNode, bytes: &[u8]) -> PathBuf {
    let digest = hex::encode(Sha256::digest(bytes));
    node.folder.path().join("data/replica").join(&digest[..2]).join(&digest)
}

/// A node with an approved update.
async fn approved(change: impl FnOnce(&mut toml::Table)) -> TestNode {
    let node = TestNode::start_with(change).await;
    // Whoever counts statements must not meet the start of the listening connection.
    until(|| node.db.statements().iter().any(|statement| statement.starts_with("statement: listen "))).await;
    let paths = ["CPE.nbt", "CPE.cat"].map(|file| format!("{FOLDER}/{file}"));
    let [image, catalog] = [image(1, 50_000), image(2, 700)];
    let entries = [(paths[0].as_str(), image.as_slice()), (&paths[1], &catalog)];
    let path = package(node.folder.path(), "UCUpdates.cab", "2008-12-16 04:43:58", &entries);
    node.cli(&["import", path.to_str().unwrap()]).await.ok();
    node.cli(&["rule", "approve", "--all"]).await.ok();
    node
}

#[tokio::test]
async fn a_check_and_a_download_send_no_statement_to_the_database() {
    let node = approved(|_| {}).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let before = node.db.statement_count();
    assert!(before > 0);
    for _ in 0..20 {
        let answer = phone.post(HANDLER, &request("4.0.7577.4066")).await.unwrap();
        assert!(answer.text().contains("<NumOfFiles>1</NumOfFiles>"), "{}", answer.text());
        let file = phone.get(&format!("/DeviceUpdateFiles_Int/{FOLDER}/cpe.NBT")).await.unwrap();
        assert_eq!((file.status, file.body), (200, image(1, 50_000)));
    }
    node.audit_lines(20).await;
    // The approval's notification may arrive during the requests: then the snapshot loop, not a request, looks at the
    // generation once. Empty statements are how the pool and the listening connection see that the server lives.
    let statements = node.db.statements();
    let texts = statements[before..].iter().filter_map(|statement| statement.split_once(": "));
    let sent: Vec<String> = texts.map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (probes, asked): (Vec<_>, Vec<_>) = sent.iter().partition(|text| text.is_empty());
    // The import's report of the replica may come late too, once.
    let (reports, asked): (Vec<&String>, Vec<&String>) =
        asked.into_iter().partition(|text| text.starts_with("insert into replicas "));
    assert!(reports.len() <= 1, "{sent:?}");
    assert!(
        asked.len() <= 1 && asked.iter().all(|text| text.starts_with("select value, last_event, last_event_hash, ")),
        "{sent:?}"
    );
    assert!(probes.len() <= 2, "{sent:?}");
    // The count does count: an administrator's question is a statement.
    node.cli(&["rule", "list"]).await.ok();
    assert!(node.db.statement_count() > statements.len());
}

#[tokio::test]
async fn curl_gets_the_same_answer_over_every_listener_inside_whatever_it_speaks() {
    let node = approved(|_| {}).await;
    let ports = |addresses: &[SocketAddr]| {
        let [v4, v6] =
            [SocketAddr::is_ipv4, SocketAddr::is_ipv6].map(|kind| *addresses.iter().find(|a| kind(a)).unwrap());
        [format!("127.0.0.1:{}", v4.port()), format!("[::1]:{}", v6.port())]
    };
    let [http_v4, http_v6] = ports(&node.addresses.internal_http);
    let [https_v4, https_v6] = ports(&node.addresses.internal_https);
    let named = https_v4.replace("127.0.0.1", "localhost");
    let (tls_1_2, tls_1_3) = (["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]);
    let ways: [(String, &[&str]); 8] = [
        (format!("http://{http_v4}"), &[]),
        (format!("http://{http_v6}"), &[]),
        (format!("https://{named}"), &["--ipv4"]),
        (format!("https://{named}"), &["--ipv4", "--tls-max", "1.2"]),
        // By address, and so without SNI.
        (format!("https://{https_v4}"), &tls_1_2),
        (format!("https://{https_v4}"), &tls_1_3),
        (format!("https://{https_v6}"), &tls_1_2),
        (format!("https://{https_v6}"), &tls_1_3),
    ];
    let ca_file = node.ca_file();
    let mut answers = Vec::new();
    for (server, options) in &ways {
        for handler in ["/rEQUESThANDLER/UCDevice.UPX", "/requesthandleREXT/ucDEVICE.upx"] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "20", "--user-agent", USER_AGENT]);
            curl.arg("--cacert").arg(&ca_file).args(*options).args(["--write-out", "\n%{ssl_verify_result} %{scheme}"]);
            curl.args(["--header", "Content-Type: text/xml", "--data-binary", &request("4.0.7577.4066")]);
            let output = curl.arg(format!("{server}{handler}")).kill_on_drop(true).output().await.unwrap();
            let said = Said::from(output).ok();
            let (answer, spoken) = said.rsplit_once('\n').unwrap();
            let scheme = server.split(':').next().unwrap();
            assert_eq!(spoken.to_lowercase(), format!("0 {scheme}"), "{server} {options:?}");
            answers.push(answer.to_owned());
        }
    }
    let expected = format!("<BaseURL>http://ocs.demo.local/DeviceUpdateFiles_Int/{FOLDER}</BaseURL>");
    assert!(answers[0].contains("<NumOfFiles>1</NumOfFiles>") && answers[0].contains(&expected), "{}", answers[0]);
    assert_eq!(answers.len(), 16);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    node.audit_lines(16).await;
}

#[tokio::test]
async fn phones_outside_need_an_account_and_are_then_answered_like_those_inside() {
    let node = approved(|_| {}).await;
    let phone = Phone::new(node.addresses.external_https[0]).over_tls(&node.ca_file(), "ucupdates-r2");
    let handler = "/RequestHandlerExt/ucdevice.upx";
    let file = format!("/RequestHandlerExt/Files/{FOLDER}/CPE.nbt");
    let anonymous = phone.post(handler, &request("4.0.7577.4066")).await.unwrap();
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.header("www-authenticate").starts_with("Basic "), "{anonymous:?}");
    assert!(anonymous.text().to_lowercase().contains("anonymous access is not supported"), "{}", anonymous.text());
    assert_eq!(phone.get(&file).await.unwrap().status, 401);

    let password = node.file("password", b"right horse\n");
    node.cli(&["account", "new", "lobby@contoso.com", "--password-file", password.to_str().unwrap()]).await.ok();
    let basic = |password: &str| {
        use base64::Engine as _;
        let text = format!("Lobby@contoso.com:{password}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let wrong = basic("wrong horse");
    let refused = phone.ask("POST", handler, &[("Authorization", &wrong)], request("4.0.7577.4066").as_bytes()).await;
    assert_eq!(refused.unwrap().status, 401);
    let right = basic("right horse");
    let right = [("Authorization", right.as_str())];
    let answer = phone.ask("POST", handler, &right, request("4.0.7577.4066").as_bytes()).await.unwrap();
    let expected = format!("<ExternalBaseURL>https://ext.demo.local/DeviceUpdateFiles_Ext/{FOLDER}</ExternalBaseURL>");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&expected), "{}", answer.text());
    let downloaded = phone.ask("GET", &file, &right, b"").await.unwrap();
    assert_eq!((downloaded.status, downloaded.body), (200, image(1, 50_000)));
    let line = node.audit_lines(1).await.remove(0);
    assert!(line.contains(",lobby@contoso.com,"), "the account stands where the phone names no user: {line}");
    assert!(line.contains(&format!("https://ext.demo.local/DeviceUpdateFiles_Ext/{FOLDER}/CPE.nbt;")), "{line}");
    let removed = node.cli(&["account", "remove", "LOBBY@contoso.com"]).await;
    removed.ok();
    let gone = phone.ask("POST", handler, &right, request("4.0.7577.4066").as_bytes()).await.unwrap();
    assert_eq!(gone.status, 401, "a removed account is refused at once");
}

#[tokio::test]
async fn an_image_that_somebody_deleted_everywhere_is_not_offered_and_comes_back_by_importing_again() {
    let node = approved(|config| set(config, "replica.poll_interval_ms", 100)).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let stored = node.folder.path().join("store/1-WebServices-1/DeviceUpdateStore").join(FOLDER).join("CPE.nbt");
    let held = replica_path(&node, &image(1, 50_000));
    std::fs::remove_file(&stored).unwrap();
    std::fs::remove_file(&held).unwrap();
    let admin_sees = || async { node.cli(&["status", "--json"]).await.ok() };
    let mut status = admin_sees().await;
    for _ in 0..100 {
        if status.contains("\"files_held\": 1") {
            break;
        }
        status = admin_sees().await;
    }
    assert!(status.contains("\"files_held\": 1") && status.contains("\"files_wanted\": 2"), "{status}");
    let answer = phone.post(HANDLER, &request("4.0.7577.4066")).await.unwrap();
    assert!(answer.text().contains("<NumOfFiles>0</NumOfFiles>"), "{}", answer.text());
    let file = phone.get(&format!("/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt")).await.unwrap();
    assert_eq!((file.status, file.header("retry-after").is_empty()), (503, false));
    node.audit_lines(1).await;
    let imagined = ["explain", "--brand", "Polycom", "--model", "CX600", "--revision", "A", "--locale", "ENU"];
    let imagined = node.cli(&[&imagined[..], &["--version", "4.0.7577.4066"]].concat()).await.ok();
    assert!(imagined.contains("UCPhone"), "{imagined}");
    let explained = node.cli(&["explain", "--mac", "00:21:63:0f:20:7b", "--json"]).await.ok();
    assert!(explained.contains("not_ready"), "{explained}");
    let package = node.folder.path().join("UCUpdates.cab");
    assert!(node.cli(&["import", package.to_str().unwrap()]).await.ok().contains("unchanged"));
    let answer = phone.post(HANDLER, &request("4.0.7577.4066")).await.unwrap();
    assert!(answer.text().contains("<NumOfFiles>1</NumOfFiles>"), "{}", answer.text());
}

#[tokio::test]
async fn an_image_that_somebody_deleted_from_the_replica_is_fetched_again() {
    let node = approved(|config| set(config, "replica.poll_interval_ms", 100)).await;
    let held = replica_path(&node, &image(1, 50_000));
    std::fs::remove_file(&held).unwrap();
    until(|| held.exists()).await;
    let file =
        Phone::new(node.addresses.internal_http[0]).get(&format!("/DeviceUpdateFiles_Int/{FOLDER}/CPE.nbt")).await;
    assert_eq!(file.unwrap().body, image(1, 50_000));
}

#[tokio::test]
async fn the_audit_log_is_in_the_store_when_the_node_stops() {
    let mut node = approved(|_| {}).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    phone.post(HANDLER, &request("4.0.7577.4387")).await.unwrap();
    node.stop().await;
    let folder = "store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates";
    let name = "RequestHandlerAuditLog_node1_20260105.log";
    let shipped = std::fs::read_to_string(node.folder.path().join(folder).join(name)).unwrap();
    let spooled = std::fs::read_to_string(node.folder.path().join("data/spool/audit").join(name)).unwrap();
    assert_eq!(shipped, spooled);
    assert_eq!(shipped.lines().count(), 2);
}

#[tokio::test]
async fn the_audit_log_is_shipped_at_the_flush_interval_and_old_logs_are_cleaned_up() {
    let node = approved(|_| {}).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    phone.post(HANDLER, &request("4.0.7577.4387")).await.unwrap();
    node.audit_lines(1).await;
    let shipped = node.folder.path().join(
        "store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates/RequestHandlerAuditLog_node1_20260105.log",
    );
    assert!(!shipped.exists());
    node.clock.set("2026-01-05T12:05:01Z");
    until(|| shipped.exists()).await;
    node.clock.set("2026-01-30T12:00:00Z");
    let shown = node.cli(&["clear", "logs", "--days-back", "20", "--dry-run"]).await.ok();
    assert!(shown.contains("20260105"), "{shown}");
    assert!(shipped.exists());
    node.cli(&["clear", "logs", "--days-back", "20"]).await.ok();
    assert!(!shipped.exists());
    let events = node.cli(&["admin", "events", "--limit", "1"]).await.ok();
    assert!(events.contains("clear logs") && events.contains("days_back"), "{events}");
    for days in ["0", "31"] {
        assert_ne!(node.cli(&["clear", "logs", "--days-back", days]).await.code, 0);
    }
}

#[tokio::test]
async fn a_full_log_cache_is_shipped_before_the_interval_and_a_full_file_is_followed_by_the_next() {
    let node = approved(|_| {}).await;
    let limits = ["config", "set", "global", "--max-log-cache-limit", "4096", "--max-log-file-size", "4096"];
    node.cli(&limits).await.ok();
    let phone = Phone::new(node.addresses.internal_http[0]);
    // The clock stands still: no interval passes.
    for batch in 1..=2 {
        for _ in 0..30 {
            phone.post(HANDLER, &request("4.0.7577.4387")).await.unwrap();
        }
        node.audit_lines(batch * 30).await;
    }
    let folder = node.folder.path().join("store/1-WebServices-1/DeviceUpdateLogs/Server/Audit/ImageUpdates");
    let names = ["", "_1"].map(|part| folder.join(format!("RequestHandlerAuditLog_node1_20260105{part}.log")));
    until(|| names.iter().all(|name| name.exists())).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_400_and_kept_byte_for_byte() {
    let node = TestNode::start_with(|config| set(config, "phones.capture.enabled", true)).await;
    let phone = Phone::new(node.addresses.internal_http[0]);
    let unreadable = b"<Request><DeviceType>UCPhone</DeviceType>\xff";
    let answer = phone.ask("POST", HANDLER, &[], unreadable).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().starts_with("<?xml"), "{}", answer.text());
    let folder = node.folder.path().join("data/capture");
    let kept = || std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    until(|| kept().iter().any(|path| std::fs::read(path).is_ok_and(|bytes| bytes == unreadable))).await;
}

#[tokio::test]
async fn a_node_that_would_look_for_its_files_elsewhere_does_not_start() {
    let node = TestNode::start().await;
    let refused = node.refused_start(|config| set(config, "pool.service_id", "2-WebServices-2")).await;
    assert!(refused.contains("2-WebServices-2") && refused.contains("1-WebServices-1"), "{refused}");
}
