//! The administrators' listener: imports at one time, uploads that drip, bodies that never come.

use std::time::{Duration, Instant};
use tests::node::{TOKEN, TestNode, set};
use tests::phone::{Answer, Connection, DEADLINE, Phone, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn post(path: &str, length_bytes: usize) -> String {
    format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length_bytes}\r\n\r\n"
    )
}

async fn begin(node: &TestNode, request: &str) -> Box<dyn Connection> {
    let administrator = Phone::new(node.management()).over_tls(&node.ca_file(), "localhost");
    let mut connection = administrator.connect().await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.flush().await.unwrap();
    connection
}

async fn answer(node: &TestNode, request: &str) -> Answer {
    read_answer(&mut begin(node, request).await, false).await.unwrap()
}

#[tokio::test]
async fn past_the_imports_at_one_time_another_comes_later() {
    let node = TestNode::start_with(|config| set(config, "packages.most_imports", 1)).await;
    // Asked to go on, it has its place.
    let expecting = post("packages?name=a.cab", 1_000_000).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let mut held = begin(&node, &expecting).await;
    let mut go_on = [0; 12];
    held.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    let deadline = Instant::now() + DEADLINE;
    let refused = loop {
        let answer = answer(&node, &(post("packages?name=b.cab", 1) + "x")).await;
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "both were taken: {}", answer.text());
    };
    assert!(
        !refused.header("retry-after").is_empty() && refused.text().contains("other imports"),
        "{}",
        refused.text()
    );
    drop(held);
    let deadline = Instant::now() + DEADLINE;
    while answer(&node, &(post("packages?name=b.cab", 1) + "x")).await.status == 503 {
        assert!(Instant::now() < deadline, "the place was not given back");
    }
}

#[tokio::test]
async fn who_sends_nothing_more_is_answered_408() {
    let node = TestNode::start_with(|config| {
        set(config, "connections.request_window_ms", 300);
        set(config, "connections.request_timeout_ms", 5000);
    })
    .await;
    for path in ["packages?name=a.cab", "rules/approve"] {
        let began = Instant::now();
        let answer = answer(&node, &(post(path, 100_000) + "x")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (408, "application/json"),
            "{path}: {}",
            answer.text()
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{path}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_method_that_a_resource_has_not_is_told_in_json() {
    let node = TestNode::start().await;
    for path in ["api/v1/status", "live"] {
        let request = post("status", 0).replace("api/v1/status", path).replace("POST", "PUT");
        let answer = answer(&node, &request).await;
        assert_eq!((answer.status, answer.header("content-type")), (405, "application/json"), "{path}");
        assert!(answer.header("allow").contains("GET") && answer.text().contains("method_not_allowed"), "{path}");
    }
}
