//! How many: connections in all and of one address, downloads, bytes a second, large checks.

use super::harness::{FILE, HANDLER, Running, Start};
use node::downloads::DownloadLimits;
use node::listen::AdmissionLimits;
use std::time::{Duration, Instant};
use tests::node::until;
use tests::phone::{Answer, Connection, DEADLINE, Phone, proxy_header, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const CHECK: &str = "<Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><Vendor>x</Vendor>\
                     <Module><FileName>cpe.nbt</FileName><Version>1.0.0.0</Version></Module></Request>";

fn at_most(connections: usize, per_address: usize) -> Start {
    let admission = AdmissionLimits { connections, per_address, room_after: Duration::from_millis(50) };
    Start { echo: true, admission, ..Start::default() }
}

/// A connection that was answered once, and is idle.
async fn idle(phone: &Phone) -> Option<Box<dyn Connection>> {
    let mut connection = phone.connect().await.ok()?;
    connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ok()?;
    let mut start = [0; 12];
    timeout(DEADLINE, connection.read_exact(&mut start)).await.expect("an answer or the end").ok()?;
    assert_eq!(&start, b"HTTP/1.1 200");
    Some(connection)
}

/// Whether a metric has this value by now, or comes to it.
async fn shows(running: &Running, line: &str) {
    until(|| running.metrics.text().lines().any(|found| found == line)).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_gets_one_back_when_one_ends() {
    let mut start = at_most(100, 2);
    start.admission.room_after = DEADLINE * 3;
    let running = start.run();
    let (first, second) = (idle(&running.phone()).await.unwrap(), idle(&running.phone()).await.unwrap());
    assert!(idle(&running.phone()).await.is_none(), "a third");
    shows(&running, "ucupdates_connections{listener=\"internal_http\",state=\"idle\"} 2").await;
    shows(&running, "ucupdates_connections_refused_total{listener=\"internal_http\",cause=\"address_limit\"} 1").await;
    drop(first);
    shows(&running, "ucupdates_connections{listener=\"internal_http\",state=\"idle\"} 1").await;
    assert!(idle(&running.phone()).await.is_some());
    drop(second);
}

#[tokio::test]
async fn behind_a_balancer_the_phones_addresses_count_and_not_the_balancers() {
    let mut start = at_most(100, 2);
    start.admission.room_after = DEADLINE * 3;
    start.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let running = start.run();
    let from = |address: &str| running.phone().behind_balancer(address.parse().unwrap());
    let mut held = Vec::new();
    for (address, admitted) in [
        ("10.0.0.1", true),
        ("10.0.0.1", true),
        ("10.0.0.1", false),
        ("10.0.0.2", true),
        ("fd00::1:0:0:0:1", true),
        ("fd00::1:ffff:0:0:2", true),
        ("fd00::1:0:0:0:3", false),
        ("fd00::2:0:0:0:1", true),
    ] {
        let connection = idle(&from(address)).await;
        assert_eq!(connection.is_some(), admitted, "{address}");
        held.extend(connection);
    }
    // The balancer's own looks at the port are nobody's.
    let local = [&proxy_header("10.0.0.9".parse().unwrap())[..12], &[0x20, 0, 0, 0]].concat();
    for _ in 0..4 {
        held.push(idle(&running.phone().with_first_bytes(&local)).await.unwrap());
    }
}

#[tokio::test]
async fn behind_one_address_who_idles_longest_makes_room_for_a_neighbour() {
    let running = at_most(100, 2).run();
    let mut first = idle(&running.phone()).await.unwrap();
    let _second = idle(&running.phone()).await.unwrap();
    let now = Instant::now();
    until(move || now.elapsed() > Duration::from_millis(100)).await;
    let _third = idle(&running.phone()).await.expect("a neighbour idles");
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, first.read_to_end(&mut rest)).await.expect("the first was closed");
    shows(&running, "ucupdates_connections_refused_total{listener=\"internal_http\",cause=\"made_room\"} 1").await;
}

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_makes_room() {
    let running = at_most(3, 100).run();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(idle(&running.phone()).await.unwrap());
        // Times are in whole milliseconds.
        let now = Instant::now();
        until(move || now.elapsed() > Duration::from_millis(3)).await;
    }
    let mut fourth = idle(&running.phone()).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, held[0].read_to_end(&mut rest)).await.expect("the first was closed");
    shows(&running, "ucupdates_connections_refused_total{listener=\"internal_http\",cause=\"made_room\"} 1").await;
    for connection in [&mut fourth].into_iter().chain(&mut held[1..]) {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"), "it was not closed");
    }
}

#[tokio::test]
async fn when_handshakes_that_never_end_take_all_places_a_phone_still_gets_in() {
    let mut start = at_most(2, 100).tls();
    start.limits.handshake_timeout = DEADLINE * 3;
    let running = start.run();
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(tokio::net::TcpStream::connect(running.address).await.unwrap());
    }
    shows(&running, "ucupdates_connections{listener=\"internal_http\",state=\"handshake\"} 2").await;
    let answer = timeout(DEADLINE, running.tls_phone().get("/")).await.expect("a handshake makes room").unwrap();
    assert_eq!(answer.status, 200);
    shows(&running, "ucupdates_connections_refused_total{listener=\"internal_http\",cause=\"made_room\"} 1").await;
    // The one that has waited longest, and no other.
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, silent[0].read_to_end(&mut rest)).await.expect("the first was closed");
    shows(&running, "ucupdates_connections{listener=\"internal_http\",state=\"handshake\"} 1").await;
}

/// A phone that asked for the file and took its first bytes only.
async fn downloading(phone: &Phone) -> Box<dyn Connection> {
    let mut connection = phone.connect().await.unwrap();
    let request = format!("GET {FILE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    connection
}

#[tokio::test]
async fn past_the_slots_a_download_comes_later_and_what_needs_no_slot_is_answered() {
    let downloads = DownloadLimits { slots: 2, ..DownloadLimits::default() };
    let running = Start { downloads, size_bytes: 24 << 20, ..Start::default() }.run();
    let (first, second) = (downloading(&running.phone()).await, downloading(&running.phone()).await);
    let refused = running.phone().get(FILE).await.unwrap();
    assert_eq!((refused.status, refused.header("content-type")), (503, "text/xml; charset=utf-8"));
    let retry_after: u32 = refused.header("retry-after").parse().unwrap();
    assert!((30..=90).contains(&retry_after) && refused.text().starts_with("<?xml"));
    let head = running.phone().ask("HEAD", FILE, &[], b"").await.unwrap();
    assert_eq!(head.status, 200);
    let same = [("If-None-Match", head.header("etag"))];
    assert_eq!(running.phone().ask("GET", FILE, &same, b"").await.unwrap().status, 304);
    let none = [("Range", "bytes=99999999-")];
    let unsatisfiable = running.phone().ask("GET", FILE, &none, b"").await.unwrap();
    assert_eq!((unsatisfiable.status, unsatisfiable.text().starts_with("<?xml")), (416, true));
    assert_eq!(running.phone().post(HANDLER, CHECK).await.unwrap().status, 200, "checks go on");
    shows(&running, "ucupdates_downloads_in_flight 2").await;
    shows(&running, "ucupdates_downloads_refused_total 1").await;
    // One is broken off, the other read to its end: both slots are free again.
    drop(first);
    let mut second = second;
    let mut rest = Vec::new();
    timeout(DEADLINE, second.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with(&running.content));
    shows(&running, "ucupdates_downloads_in_flight 0").await;
    shows(&running, "ucupdates_downloads_finished_total 1").await;
    assert!(running.phone().get(FILE).await.unwrap().body == running.content);
}

#[tokio::test]
async fn one_address_takes_its_share_of_the_slots_and_leaves_the_rest_to_others() {
    let downloads = DownloadLimits { slots: 3, slots_per_address: 1, ..DownloadLimits::default() };
    let mut start = Start { downloads, size_bytes: 24 << 20, ..Start::default() };
    start.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let running = start.run();
    let from = |address: &str| running.phone().behind_balancer(address.parse().unwrap());
    let first = downloading(&from("10.0.0.1")).await;
    assert_eq!(from("10.0.0.1").get(FILE).await.unwrap().status, 503);
    let _other = downloading(&from("fd00::1:0:0:0:1")).await;
    assert_eq!(from("fd00::1:0:0:0:2").get(FILE).await.unwrap().status, 503, "the same /64");
    shows(&running, "ucupdates_downloads_refused_total 2").await;
    drop(first);
    shows(&running, "ucupdates_downloads_in_flight 1").await;
    assert!(from("10.0.0.1").get(FILE).await.unwrap().body == running.content);
}

#[tokio::test]
async fn all_downloads_together_keep_to_the_bytes_a_second_and_share_them() {
    let downloads = DownloadLimits { bytes_per_s: 1 << 20, ..DownloadLimits::default() };
    let running = Start { downloads, size_bytes: 256 << 10, ..Start::default() }.run();
    let began = Instant::now();
    let timed = async || {
        let answer = running.phone().get(FILE).await.unwrap();
        assert!(answer.body == running.content);
        began.elapsed()
    };
    let (a, b, c, d) = tokio::join!(timed(), timed(), timed(), timed());
    let (first, last) = (a.min(b).min(c).min(d), a.max(b).max(c).max(d));
    // 1 MiB at 1 MiB a second, less what may go out at once.
    assert!(last >= Duration::from_millis(850), "{last:?}");
    assert!(first >= last / 2, "they take turns: {first:?} {last:?}");
}

#[tokio::test]
async fn past_the_limit_of_large_checks_they_are_told_no_update_and_small_ones_go_on() {
    let running = Start { large_checks: 1, ..Start::default() }.run();
    let body = format!("<Request>{}</Request>", " ".repeat(20_000));
    let head =
        format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut holding = running.phone().connect().await.unwrap();
    holding.write_all(head.as_bytes()).await.unwrap();
    holding.write_all(&body.as_bytes()[..15_000]).await.unwrap();
    // The slot is taken once what was sent is read: before a request that comes after it is answered.
    assert_eq!(running.phone().post(HANDLER, CHECK).await.unwrap().status, 200);
    let overloaded =
        async || -> Answer { running.phone().send(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap() };
    let deadline = Instant::now() + DEADLINE;
    let answer = loop {
        let answer = overloaded().await;
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "never overloaded: {}", answer.text());
    };
    assert!(answer.text().contains("<NumOfFiles>0</NumOfFiles>"), "{}", answer.text());
    assert!(running.metrics.text().contains("ucupdates_checks_total{reason=\"overload\"} 1"));
    assert_eq!(running.phone().post(HANDLER, CHECK).await.unwrap().status, 200);
    assert!(running.metrics.text().contains("ucupdates_checks_total{reason=\"overload\"} 1"), "a small one is read");
    holding.write_all(&body.as_bytes()[15_000..]).await.unwrap();
    assert_eq!(read_answer(&mut holding, false).await.unwrap().status, 400, "the one that had the slot is read");
}
