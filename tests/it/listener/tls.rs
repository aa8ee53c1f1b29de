//! Which TLS is spoken, with which certificate, to which client: other people's clients.

use super::harness::{FILE, Running, Start, run};
use std::time::Duration;
use tests::phone::read_answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test]
async fn curl_downloads_over_tls_1_2_and_1_3_by_address_and_so_without_sni() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let running = Start::at(address).tls().run();
        for (least, most) in [("--tlsv1.2", "1.2"), ("--tlsv1.3", "1.3")] {
            let bytes = running.curl("https", FILE, &[least, "--tls-max", most]).await;
            assert!(bytes == running.content, "{address} {least}");
        }
    }
}

#[tokio::test]
async fn the_certificate_is_good_for_the_names_that_phones_ask_for() {
    let running = Start::default().tls().run();
    let bootstrap = ["ucupdates-r2", "ucupdates-r2.contoso.com", "ucupdates", "ucupdates.contoso.com"];
    for name in bootstrap.into_iter().chain(["pool01.contoso.com", "localhost", "127.0.0.1"]) {
        let phone = running.phone().over_tls(&running.authority(), name);
        assert_eq!(phone.get(FILE).await.unwrap().status, 200, "{name}");
    }
    let phone = running.phone().over_tls(&running.authority(), "other.contoso.com");
    assert!(phone.get(FILE).await.is_err());
}

/// What openssl says of a handshake; it must succeed and verify the chain.
async fn handshake(running: &Running, options: &[&str]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-brief", "-verify_return_error", "-verify_ip", "127.0.0.1", "-noservername"]);
    openssl.arg("-CAfile").arg(running.authority()).args(["-connect", &running.address.to_string()]).args(options);
    let output = run(openssl).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{options:?}: {told}");
    told
}

#[tokio::test]
async fn a_client_gets_the_certificate_that_it_can_verify() {
    let running = Start::default().tls().run();
    let check = async |options: &[&str], expected: &[&str]| {
        let told = handshake(&running, options).await;
        assert!(expected.iter().all(|line| told.contains(line)), "{options:?}: {told}");
    };
    check(&["-tls1_3"], &["TLSv1.3", "TLS_AES_128_GCM_SHA256", "Signature type: ECDSA"]).await;
    check(&["-tls1_2"], &["TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "Signature type: ECDSA"]).await;
    check(&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], &["Signature type: RSA-PSS"]).await;
    check(&["-tls1_2", "-sigalgs", "RSA+SHA256"], &["ECDHE-RSA-AES128-GCM-SHA256", "Signature type: RSA"]).await;
    // It could verify ECDSA signatures, but has no suite for such a key.
    check(&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], &["ECDHE-RSA-AES256-GCM-SHA384", "RSA"]).await;
    // The node's order counts, not the client's.
    check(&["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"], &["TLS_AES_128_GCM_SHA256"])
        .await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let running = Start::limits(|limits| limits.handshake_timeout = Duration::from_millis(200)).tls().run();
    for start in [b"".as_slice(), &[0x16, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut bytes = Vec::new();
        let _ = timeout(tests::phone::DEADLINE, stream.read_to_end(&mut bytes)).await.expect("closed in time");
        assert!(bytes.is_empty());
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_is_told_to_ask_with_https() {
    let running = Start::default().tls().run();
    let answer = running.phone().get(FILE).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https"), "{}", answer.text());
}

#[tokio::test]
async fn a_whole_request_works_over_a_connection_that_stays_open() {
    let running = Start::default().tls().run();
    let mut connection = running.tls_phone().connect().await.unwrap();
    let head = format!("HEAD {FILE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 15];
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    while !start.ends_with(b"\r\n\r\n") {
        start.rotate_left(1);
        start[14] = connection.read_u8().await.unwrap();
    }
    let get = format!("GET {FILE} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    connection.write_all(get.as_bytes()).await.unwrap();
    assert!(read_answer(&mut connection, false).await.unwrap().body == running.content);
}
