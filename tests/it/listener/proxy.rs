//! PROXY protocol v2 from listed balancers, and nobody else.

use super::harness::{Running, Start};
use std::time::Duration;
use tests::phone::{Answer, Phone, proxy_header};

/// A listener behind a balancer at these addresses.
fn behind(balancers: &str) -> Start {
    let mut start =
        Start { echo: true, ..Start::limits(|limits| limits.handshake_timeout = Duration::from_millis(200)) };
    start.proxy_from = balancers.split(' ').map(|network| network.parse().unwrap()).collect();
    start
}

async fn seen(phone: Phone) -> Option<String> {
    let answer: Answer = phone.get("/").await.ok()?;
    Some(answer.text().to_owned())
}

async fn check(running: &Running, first_bytes: &[u8], expected: Option<&str>) {
    let seen = seen(running.phone().with_first_bytes(first_bytes)).await;
    assert_eq!(seen.as_deref(), expected, "{first_bytes:?}");
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[tokio::test]
async fn the_phone_is_who_the_balancer_says() {
    let running = behind("10.0.0.0/8 127.0.0.1/32").run();
    for address in ["10.1.1.123", "fd00::7"] {
        check(&running, &proxy_header(address.parse().unwrap()), Some(address)).await;
    }
    check(&running, &proxy_header("::ffff:10.1.1.123".parse().unwrap()), Some("10.1.1.123")).await;
    // The balancer asks for itself whether the node is alive.
    check(&running, &[SIGNATURE, &[0x20, 0, 0, 0]].concat(), Some("127.0.0.1")).await;
}

#[tokio::test]
async fn a_connection_without_a_good_header_is_closed() {
    let running = behind("127.0.0.0/8").run();
    check(&running, b"", None).await;
    check(&running, b"PROXY TCP4 10.1.1.123 10.0.0.1 1 2\r\n", None).await;
    check(&running, &[SIGNATURE, &[0x21, 0, 0, 0]].concat(), None).await;
    check(&running, &[SIGNATURE, &[0x21, 0x11, 0, 4, 1, 2, 3, 4]].concat(), None).await;
    check(&running, &[SIGNATURE, &[0x31, 0x11, 0, 0]].concat(), None).await;
    // A header that never ends is cut off, and a second one is no request.
    let stuck = running.phone().with_first_bytes(&SIGNATURE[..5]);
    assert!(stuck.send(b"").await.is_err());
    let good = proxy_header("10.1.1.123".parse().unwrap());
    assert!(
        !matches!(running.phone().with_first_bytes(&good.repeat(2)).get("/").await, Ok(answer) if answer.status == 200)
    );
}

#[tokio::test]
async fn an_unlisted_peer_is_closed_whatever_it_sends() {
    let running = behind("10.0.0.0/8 ::1/128").run();
    check(&running, &proxy_header("10.1.1.123".parse().unwrap()), None).await;
    check(&running, b"", None).await;
}

#[tokio::test]
async fn without_listed_peers_a_header_is_not_http() {
    let running = Start { echo: true, ..Start::default() }.run();
    let answer = running.phone().behind_balancer("10.1.1.123".parse().unwrap()).get("/").await;
    assert!(!matches!(answer, Ok(answer) if answer.status == 200));
}

#[tokio::test]
async fn tls_follows_the_header_and_forwarding_headers_are_not_believed() {
    let running = behind("127.0.0.1/32").tls().run();
    let phone = running.tls_phone().behind_balancer("10.1.1.123".parse().unwrap());
    let answer = phone.ask("GET", "/", &[("X-Forwarded-For", "10.9.9.9")], b"").await.unwrap();
    assert_eq!(answer.text(), "10.1.1.123");
}
