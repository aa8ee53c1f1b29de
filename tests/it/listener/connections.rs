//! What connections may cost, and how they end.

use super::harness::{FILE, HANDLER, Running, Start};
use node::listen::{AdmissionLimits, LeastRate, ListenerLimits};
use std::time::Duration;
use tests::phone::{Connection, DEADLINE, Phone, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(200);

/// A listener with one place, which is free for another when its holder has waited so long.
fn one_place(room_after: Duration) -> Start {
    let admission = AdmissionLimits { connections: 1, room_after, ..AdmissionLimits::default() };
    Start { admission, ..Start::default() }
}

/// What is read until the listener closes the connection, which it must do.
async fn until_closed(connection: &mut Box<dyn Connection>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("closed in time");
    bytes
}

#[tokio::test]
async fn ipv4_and_ipv6_are_served_side_by_side_and_shown_as_what_they_are() {
    let v4 = Start { echo: true, ..Start::at("0.0.0.0:0") }.run();
    let port = v4.address.port();
    let _v6 = Start { echo: true, ..Start::at(&format!("[::]:{port}")) }.run();
    for host in ["127.0.0.1", "::1"] {
        let phone = Phone::new((host.parse::<std::net::IpAddr>().unwrap(), port).into());
        assert_eq!(phone.get("/").await.unwrap().text(), host);
    }
    assert_eq!(v4.curl("http", "/", &[]).await, b"127.0.0.1");
    assert_eq!(Start { echo: true, ..Start::at("[::1]:0") }.run().curl("http", "/", &[]).await, b"::1");
}

#[tokio::test]
async fn no_header_of_a_client_changes_its_address() {
    let running = Start { echo: true, ..Start::default() }.run();
    let spoofed = [
        ("X-Forwarded-For", "10.9.9.9"),
        ("Forwarded", "for=10.9.9.9"),
        ("X-Real-IP", "10.9.9.9"),
        ("True-Client-IP", "10.9.9.9"),
    ];
    assert_eq!(running.phone().ask("GET", "/", &spoofed, b"").await.unwrap().text(), "127.0.0.1");
}

#[tokio::test]
async fn a_header_that_drips_is_cut_off() {
    let running = Start::limits(|limits| limits.header_timeout = SHORT).run();
    for start in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: "] {
        let mut connection = running.phone().connect().await.unwrap();
        connection.write_all(start.as_bytes()).await.unwrap();
        until_closed(&mut connection).await;
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_it_idles() {
    let running = Start::limits(|limits| limits.idle_timeout = SHORT).run();
    let mut connection = running.phone().connect().await.unwrap();
    let request = format!("HEAD {FILE} HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.write_all(request.repeat(2).as_bytes()).await.unwrap();
    let answers = String::from_utf8(until_closed(&mut connection).await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_header_beyond_the_limit_is_refused() {
    let running = Start::default().run();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let mut connection = running.phone().connect().await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let answer = until_closed(&mut connection).await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "));
}

#[tokio::test]
async fn several_hosts_are_refused_with_xml() {
    let running = Start::default().run();
    let request = format!("GET {FILE} HTTP/1.1\r\nHost: a\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = running.phone().send(request.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (400, "text/xml; charset=utf-8"));
    assert!(answer.text().starts_with("<?xml"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_with_xml() {
    let running = Start::default().run();
    let check = async |method: &str, path: &str, status: u16, allow: &str| {
        let answer = running.phone().ask(method, path, &[], b"").await.unwrap();
        let seen = (answer.status, answer.header("content-type"), answer.header("allow"));
        assert_eq!(seen, (status, "text/xml; charset=utf-8", allow), "{method} {path}");
        assert!(answer.text().starts_with("<?xml"), "{method} {path}");
    };
    check("GET", "/", 404, "").await;
    check("POST", "/api/v1/rules", 404, "").await;
    check("GET", "/DeviceUpdateFiles_Int/OCInterim/ENU/absent.nbt", 404, "").await;
    check("POST", FILE, 405, "GET, HEAD").await;
    check("DELETE", FILE, 405, "GET, HEAD").await;
}

#[tokio::test]
async fn while_nobody_can_make_room_connections_wait_for_a_free_place() {
    let running = Start { echo: true, ..one_place(DEADLINE) }.run();
    let mut first = running.phone().connect().await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // The answer shows that the place is taken.
    first.read_u8().await.unwrap();
    let mut second = running.phone().connect().await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(timeout(SHORT, second.read_u8()).await.is_err(), "there was no place");
    drop(first);
    assert_eq!(read_answer(&mut second, false).await.unwrap().status, 200);
}

/// A phone that asked for a file larger than all buffers and took its first bytes.
async fn downloading(running: &Running) -> Box<dyn Connection> {
    let mut connection = running.phone().connect().await.unwrap();
    let request = format!("GET {FILE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 8];
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1");
    connection
}

const LARGE_BYTES: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn a_download_in_flight_is_finished_at_shutdown() {
    let mut running = Start { size_bytes: LARGE_BYTES, ..Start::default() }.run();
    let mut connection = downloading(&running).await;
    let mut idle = running.phone().connect().await.unwrap();
    running.stop.cancel();
    until_closed(&mut idle).await;
    let bytes = until_closed(&mut connection).await;
    assert!(bytes.ends_with(&running.content));
    timeout(DEADLINE, &mut running.serving).await.unwrap().unwrap();
    assert!(running.phone().connect().await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_hold_up_the_shutdown() {
    let mut start = Start::limits(|limits| limits.drain_timeout = SHORT);
    start.size_bytes = LARGE_BYTES;
    let mut running = start.run();
    let mut connection = downloading(&running).await;
    running.stop.cancel();
    timeout(DEADLINE, &mut running.serving).await.unwrap().unwrap();
    assert!(until_closed(&mut connection).await.len() < LARGE_BYTES);
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_connection() {
    let rate = LeastRate { bytes_per_s: 1024, window: SHORT };
    let limits = ListenerLimits { response_rate: rate, ..ListenerLimits::default() };
    let running = Start { size_bytes: LARGE_BYTES, limits, ..one_place(DEADLINE) }.run();
    let mut stalled = downloading(&running).await;
    // The only place is free again once the stalled connection is closed.
    assert_eq!(running.phone().ask("HEAD", FILE, &[], b"").await.unwrap().status, 200);
    assert!(until_closed(&mut stalled).await.len() < LARGE_BYTES);
}

#[tokio::test]
async fn a_refused_upload_is_read_before_it_is_answered() {
    let running = Start::default().run();
    let mut connection = running.phone().connect().await.unwrap();
    let head = format!("POST {FILE} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    assert!(timeout(SHORT, connection.read_u8()).await.is_err(), "an answer before the body");
    connection.write_all(&[b'x'; 100_000]).await.unwrap();
    let next = format!("HEAD {FILE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection.write_all(next.as_bytes()).await.unwrap();
    let answers = String::from_utf8(until_closed(&mut connection).await).unwrap();
    assert!(answers.starts_with("HTTP/1.1 405 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
}

#[tokio::test]
async fn the_handler_answers_post_only() {
    let running = Start::default().run();
    assert_eq!(running.curl("http", HANDLER, &["-o", "/dev/null", "-w", "%{http_code}"]).await, b"405");
}
