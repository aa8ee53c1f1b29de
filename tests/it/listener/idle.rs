//! When a connection idles, and when it only looks so: after long answers, behind long answers, beside stray line breaks.

use super::harness::{FILE, HANDLER, Running, Start};
use node::downloads::DownloadLimits;
use std::time::{Duration, Instant};
use tests::phone::{Connection, DEADLINE, Phone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const IDLE: Duration = Duration::from_millis(300);

/// Answers take so many times the limit of idleness.
const BYTES_PER_S: u64 = 256 * 1024;

fn slow(size_bytes: usize) -> Start {
    let mut start = Start::limits(|limits| (limits.idle_timeout, limits.header_timeout) = (IDLE, IDLE));
    start.downloads = DownloadLimits { bytes_per_s: BYTES_PER_S, ..DownloadLimits::default() };
    Start { size_bytes, ..start }
}

fn phone(running: &Running, tls: bool) -> Phone {
    if tls { running.tls_phone() } else { running.phone() }
}

async fn to_the_end(mut connection: Box<dyn Connection>, request: &str) -> Vec<u8> {
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.flush().await.unwrap();
    let mut bytes = Vec::new();
    timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("closed after it idled").unwrap();
    bytes
}

fn get() -> String {
    format!("GET {FILE} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_limit_is_whole_and_then_the_limit_runs() {
    for tls in [false, true] {
        let start = slow(200_000);
        let running = if tls { start.tls().run() } else { start.run() };
        let began = Instant::now();
        let bytes = to_the_end(phone(&running, tls).connect().await.unwrap(), &get()).await;
        assert!(bytes.ends_with(&running.content), "{} bytes", bytes.len());
        assert!(began.elapsed() >= IDLE * 3, "{:?}", began.elapsed());
    }
}

/// A client that takes a large answer slowly, by its own doing.
#[tokio::test]
async fn the_end_of_an_answer_waits_for_a_slow_reader() {
    for tail in [1, 5_000, 16_384, 40_000, 65_000] {
        let mut start = Start::limits(|limits| limits.idle_timeout = IDLE).tls();
        start.size_bytes = (8 << 20) + tail;
        let running = start.run();
        let mut connection = running.tls_phone().connect().await.unwrap();
        connection.write_all(get().as_bytes()).await.unwrap();
        connection.flush().await.unwrap();
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        let mut tick = tokio::time::interval(Duration::from_millis(8));
        let reading = async {
            loop {
                tick.tick().await;
                match connection.read(&mut piece).await.unwrap() {
                    0 => break,
                    length => bytes.extend_from_slice(&piece[..length]),
                }
            }
        };
        timeout(DEADLINE * 2, reading).await.expect("in time");
        assert!(bytes.ends_with(&running.content), "{} of {} bytes", bytes.len(), running.content.len());
    }
}

#[tokio::test]
async fn half_a_head_behind_a_long_answer_has_its_limit_from_the_answers_end() {
    let running = slow(200_000).run();
    let began = Instant::now();
    let bytes = to_the_end(running.phone().connect().await.unwrap(), &(get() + "GET / HTTP/1.1\r\nX: ")).await;
    // Some 700 ms are the answer's, less what may go out at once.
    assert!(began.elapsed() >= Duration::from_millis(650) + IDLE, "{:?}", began.elapsed());
    let found = bytes.windows(12).rposition(|window| window == b"HTTP/1.1 408").expect("a 408");
    assert!(bytes[..found].ends_with(&running.content), "the answer before is whole");
}

#[tokio::test]
async fn a_line_break_behind_a_body_is_no_request() {
    let running = Start::limits(|limits| (limits.idle_timeout, limits.header_timeout) = (IDLE, IDLE)).run();
    let post = format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n<a/>\r\n");
    let bytes = to_the_end(running.phone().connect().await.unwrap(), &post).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 400") && !text.contains("408"), "{text}");
}
