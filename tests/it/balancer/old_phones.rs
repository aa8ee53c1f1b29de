//! Lync Phone Edition: TLS 1.0, by programs that are not ours.

use super::{HANDLER, IMAGE, request};
use std::process::{Output, Stdio};
use tests::balancer::{BalancedPool, Vip};
use tests::database::wait_until;
use tests::gcab;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const MAC: [&str; 3] = ["0021630F2001", "0021630F2002", "0021630F2003"];

/// OpenSSL refuses what is older than TLS 1.2 unless it is told that this security is enough.
const WEAK: &str = "DEFAULT:@SECLEVEL=0";

/// curl with one version of TLS, from an address of its own.
async fn curl(pool: &BalancedPool, vip: Vip, version: &str, source: &str, words: &[&str], path: &str) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--ciphers", WEAK]);
    curl.args([&format!("--tlsv{version}"), "--tls-max", version, "--interface", source]).args(words);
    curl.arg("--cacert").arg(pool.authority()).arg(format!("https://{}{path}", pool.vip(vip)));
    curl.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
}

/// openssl s_client with one version of TLS, from an address of its own; a request through it.
async fn openssl(pool: &BalancedPool, vip: Vip, version: &str, source: &str, body: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "s_client",
        "-quiet",
        "-verify_return_error",
        version,
        "-cipher",
        WEAK,
        "-bind",
        &format!("{source}:0"),
    ]);
    openssl.arg("-connect").arg(pool.vip(vip).to_string()).arg("-CAfile").arg(pool.authority()).kill_on_drop(true);
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let request = format!(
        "POST {HANDLER} HTTP/1.1\r\nHost: ucupdates-r2\r\nUser-Agent: Microsoft UCPhone Device\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stdin = child.stdin.take().unwrap();
    // One that was refused its handshake does not read.
    let _ = stdin.write_all(request.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

async fn audited(pool: &BalancedPool, mac: &str, address: &str) {
    wait_until("the request is in the audit log", async || !pool.audit_lines(mac).is_empty()).await;
    let lines = pool.audit_lines(mac);
    assert!(lines.iter().all(|line| line.split(',').nth(2) == Some(address)), "{address}: {lines:?}");
}

#[tokio::test]
async fn tls_1_0_and_1_1_are_answered_by_the_legacy_vip_alone_and_the_audit_log_has_the_phones_address() {
    let pool = BalancedPool::start(2, |_| {}).await;
    for (version, option, mac, source) in [
        ("1.0", "-tls1", MAC[0], "127.0.0.77"),
        ("1.1", "-tls1_1", MAC[1], "127.0.0.78"),
        ("1.2", "-tls1_2", MAC[2], "127.0.0.79"),
    ] {
        let said = openssl(&pool, Vip::LegacyHttps, option, source, &request(mac)).await;
        assert!(said.contains("HTTP/1.1 200") && said.contains("<NumOfFiles>1</NumOfFiles>"), "{version}: {said}");
        let body = request(mac);
        let words = ["--fail", "--data", body.as_str(), "--header", "X-Forwarded-For: 10.9.9.9"];
        let answer = curl(&pool, Vip::LegacyHttps, version, source, &words, HANDLER).await;
        let text = String::from_utf8_lossy(&answer.stdout);
        assert!(text.contains("<NumOfFiles>1</NumOfFiles>"), "{version}: {answer:?}");
        let path = format!("/devicEupdatefiles_int/{}", IMAGE.to_lowercase());
        let file = curl(&pool, Vip::LegacyHttps, version, source, &["--fail"], &path).await;
        assert!(file.stdout == gcab::image(1, 300_000), "{version}: {:?}", String::from_utf8_lossy(&file.stderr));
        audited(&pool, mac, source).await;
    }
    for vip in [Vip::InternalHttps, Vip::ExternalHttps] {
        for (version, option) in [("1.0", "-tls1"), ("1.1", "-tls1_1")] {
            let said = openssl(&pool, vip, option, "127.0.0.77", &request(MAC[0])).await;
            assert!(said.contains(":SSL alert number "), "{vip:?} {version}: {said}");
            let answer = curl(&pool, vip, version, "127.0.0.77", &[], HANDLER).await;
            assert_eq!(answer.status.code(), Some(35), "{vip:?} {version}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_phones_address_is_known_on_every_vip() {
    let pool = BalancedPool::start(1, |_| {}).await;
    for (vip, mac, source) in [(Vip::InternalHttp, MAC[0], "127.0.0.81"), (Vip::LegacyHttp, MAC[1], "127.0.0.82")] {
        let url = format!("http://{}{HANDLER}", pool.vip(vip));
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--noproxy", "*", "--interface", source, "--data", &request(mac), &url]);
        assert!(curl.output().await.unwrap().status.success(), "{vip:?}");
        audited(&pool, mac, source).await;
    }
    let answer = curl(&pool, Vip::InternalHttps, "1.2", "127.0.0.83", &["--data", &request(MAC[2])], HANDLER).await;
    assert!(answer.status.success(), "{answer:?}");
    audited(&pool, MAC[2], "127.0.0.83").await;
}
