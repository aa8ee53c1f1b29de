//! Nodes leave and come behind the balancer, while phones ask and download all the time.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::Ipv4Addr;
use tests::balancer::{BalancedPool, ended, ipv4};
use tests::node::set;
use tests::program::kill_now;

/// Every phone asks every second and a half, from the first second on.
const FLEET: [&str; 10] =
    ["--count", "60", "--boot-within", "1s", "--day", "1500ms", "--speed", "1", "--install-delay", "100ms"];

/// Nothing is tried again: what a balancer lets a phone see, the phone sees.
const AT_ONCE: [&str; 2] = ["--attempts", "1"];

fn long(words: &[&'static str]) -> Vec<&'static str> {
    [&FLEET[..], words].concat()
}

#[tokio::test]
async fn a_node_that_drains_is_left_without_a_failed_request() {
    let mut pool = BalancedPool::start(3, |table| set(table, "connections.drain_notice_ms", 4000)).await;
    let phones = tokio::spawn(ended(pool.phones(&long(&[&AT_ONCE[..], &["--duration", "25s"]].concat()))));
    for number in 0..3 {
        kill(Pid::from_raw(pool.nodes[number].process.id()), Signal::SIGTERM).unwrap();
        pool.wait_for_servers(2).await;
        // It was left because it says so, not because it is gone.
        let (status, text) = pool.nodes[number].ready().await;
        assert!(status == 503 && text.starts_with("draining"), "{text}");
        assert_eq!(pool.nodes[number].process.end().await, 0);
        pool.nodes[number] = pool.nodes[number].program.start().await;
        pool.wait_for_servers(3).await;
    }
    let run = phones.await.unwrap().flawless();
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({}), "{run:?}");
    assert!(run.number("checks") > 200 && run.answers("offered") > 0, "{run:?}");
}

#[tokio::test]
async fn a_node_that_is_killed_fails_nobody_who_asks_again() {
    let mut pool = BalancedPool::start(2, |_| {}).await;
    let phones = tokio::spawn(ended(pool.phones(&long(&["--duration", "15s"]))));
    kill_now(&pool.nodes[0].process);
    pool.wait_for_servers(1).await;
    let alone = ended(pool.phones(&long(&[&AT_ONCE[..], &["--duration", "3s"]].concat()))).await.flawless();
    assert_eq!(alone.summary["failed_attempts"], serde_json::json!({}), "{alone:?}");
    pool.nodes[0].process.end().await;
    pool.nodes[0] = pool.nodes[0].program.start().await;
    pool.wait_for_servers(2).await;
    phones.await.unwrap().flawless();
}

#[tokio::test]
async fn a_node_that_dns_names_is_used_and_one_that_it_names_no_more_is_left() {
    let mut pool = BalancedPool::start(3, |_| {}).await;
    let addresses: Vec<Ipv4Addr> = pool.nodes.iter().map(ipv4).collect();
    let phones = tokio::spawn(ended(pool.phones(&long(&[&AT_ONCE[..], &["--duration", "12s"]].concat()))));
    for count in [1, 3, 2] {
        pool.dns.set(&addresses[..count]);
        pool.wait_for_servers(count).await;
    }
    let run = phones.await.unwrap().flawless();
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({}), "{run:?}");
}
