//! A database that hangs when a request has passed authentication already: the session of a lock holds the request's own
//! statement, and then the whole server stops.

use super::phones::{MODELS, OLD};
use super::{LIMIT, node_on, package_of};
use crate::store_outage::futures_join;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::database::{TestServer, wait_until};
use tests::phone::Answer;
use tests::program::admit;
use tokio_postgres::Client;

const WAITING: &str = "
    select count(*)
    from pg_locks
    where not granted and relation = any($1::text[]::regclass[])";

/// Long: the node's own look at the store is not what finds out.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Waits until so many statements wait for a lock on one of these tables.
async fn wait_for(watcher: &Client, tables: &[&str], number: i64) {
    let found = async || watcher.query_one(WAITING, &[&tables]).await.unwrap().get::<_, i64>(0) >= number;
    wait_until("the statements wait", found).await;
}

async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    let answer = answer.await;
    (answer, began.elapsed())
}

#[tokio::test]
async fn a_hang_after_authentication_is_told_in_time() {
    let server = TestServer::start().await;
    let (db, folder) = (server.migrated().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let node = node_on(&db, &folder, "node1", POLL_INTERVAL).await;
    let cabinet = std::fs::read(package_of(folder.path(), OLD, &MODELS)).unwrap();
    let (mut holder, watcher) = (db.client().await, db.client().await);
    let waiting = async |number: i64| wait_for(&watcher, &["device_update_rules"], number).await;

    // A change that was committed: what hangs is the node's own load of the rules.
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table device_update_rules in access exclusive mode").await.unwrap();
    let device = br#"{"identity":"global/a","identifier_type":"MACAddress","identifier":"00-21-63-0F-20-7B"}"#;
    let hanging = async {
        waiting(1).await;
        server.hang();
    };
    let ((answer, took), ()) = tokio::join!(timed(node.api("POST", "/test-devices", device)), hanging);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(took < Duration::from_secs(2), "the change took {took:?}");
    server.resume();
    drop(lock);
    // A change hurries the loop.
    let removed = async || node.api("DELETE", "/test-devices?identity=global/a", b"").await.status == 200;
    wait_until("changes are made again", removed).await;
    wait_until("the node is back", async || !node.ready().await.1.contains("has not answered")).await;

    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table device_update_rules in access exclusive mode").await.unwrap();
    let hanging = async {
        waiting(3).await;
        server.hang();
        Instant::now()
    };
    let import = async { (node.api("POST", "/packages?name=a.cab", &cabinet).await, Instant::now()) };
    let list = timed(node.api("GET", "/rules", b""));
    let change = timed(node.api("POST", "/rules/approve", b"{\"all\":true}"));
    let (hung, imported, listed, changed) = tokio::join!(hanging, import, list, change);
    for (what, answer, took) in [
        ("an import, from the hang on", imported.0, imported.1 - hung),
        ("a list", listed.0, listed.1),
        ("a change", changed.0, changed.1),
    ] {
        assert_eq!(answer.status, 503, "{what}: {}", answer.text());
        assert!(took <= LIMIT, "{what} took {took:?}");
        assert!(answer.text().contains("phones are served meanwhile"), "{what}: {}", answer.text());
    }
    server.resume();
}

/// The step that may rightly take a minute.
#[tokio::test]
async fn a_hang_while_an_import_is_announced_is_told_in_time() {
    let server = TestServer::start().await;
    let (db, folder) = (server.migrated().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let node = node_on(&db, &folder, "node1", POLL_INTERVAL).await;
    let cabinet = std::fs::read(package_of(folder.path(), OLD, &MODELS)).unwrap();
    let (mut holder, watcher) = (db.client().await, db.client().await);
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table admin_events in access exclusive mode").await.unwrap();
    let hanging = async {
        wait_for(&watcher, &["admin_events"], 1).await;
        server.hang();
        Instant::now()
    };
    let import = async { (node.api("POST", "/packages?name=a.cab", &cabinet).await, Instant::now()) };
    let (hung, (answer, answered)) = tokio::join!(hanging, import);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answered - hung <= LIMIT, "{:?}", answered - hung);
    server.resume();
    drop(lock);
    wait_until("the node is back", async || node.api("GET", "/packages", b"").await.text() == "[]").await;
}

/// Long, and within the limit of an operation: what is left of [`LIMIT`] is less than a second operation may take.
const AUTHENTICATION: Duration = Duration::from_millis(1600);

#[tokio::test]
async fn slow_authentication_and_a_hang_do_not_add_up() {
    let server = TestServer::start().await;
    let (db, folder) = (server.migrated().await, Arc::new(tempfile::tempdir().unwrap()));
    admit(&db).await;
    let node = node_on(&db, &folder, "node1", POLL_INTERVAL).await;
    let cabinet = std::fs::read(package_of(folder.path(), OLD, &MODELS)).unwrap();
    let (mut first, mut second, watcher) = (db.client().await, db.client().await, db.client().await);
    let tokens = first.transaction().await.unwrap();
    tokens.batch_execute("lock table api_tokens in access exclusive mode").await.unwrap();
    // What the long routes ask first.
    let asked_first = ["pools", "generation"];
    let others = second.transaction().await.unwrap();
    others.batch_execute("lock table pools, generation in access exclusive mode").await.unwrap();

    let routes: [(&str, &str, &[u8]); 4] = [
        ("GET", "/admin-events/verify", b""),
        ("POST", "/files/clear", b"{\"pool\":\"pool01.demo.local\"}"),
        ("POST", "/logs/clear", b"{\"pool\":\"pool01.demo.local\",\"days_back\":3}"),
        ("POST", "/packages?name=a.cab", &cabinet),
    ];
    let node = &node;
    let asked = routes.map(|(method, route, body)| async move {
        let (answer, took) = timed(node.api(method, route, body)).await;
        assert_eq!(answer.status, 503, "{method} {route}: {}", answer.text());
        assert!(answer.text().contains("phones are served meanwhile"), "{method} {route}: {}", answer.text());
        assert!(took > AUTHENTICATION, "{method} {route} took {took:?}: authentication was not slow");
        assert!(took <= LIMIT, "{method} {route} took {took:?}");
    });
    let hanging = async {
        wait_for(&watcher, &["api_tokens"], 4).await;
        tokio::time::sleep(AUTHENTICATION).await;
        drop(tokens);
        wait_for(&watcher, &asked_first, 4).await;
        server.hang();
    };
    tokio::join!(futures_join(asked.into()), hanging);
    server.resume();
    drop(others);
}
