//! A PostgreSQL that is down, and one that hangs: every answer comes in time, and everything works again afterwards.

use crate::store_facts::{ACTOR, import, package, update, with_pool};
use schema::store::{Database, DatabaseSettings, DryRun, StoreError};
use std::path::Path;
use std::time::{Duration, Instant};
use tests::database::{TestDb, TestServer, wait_until};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The longest that an administrator waits for the answer (DESIGN.md 4).
const LIMIT: Duration = Duration::from_secs(3);

async fn unavailable<T: std::fmt::Debug>(what: &str, work: impl Future<Output = Result<T, StoreError>>) {
    let began = Instant::now();
    let result = tokio::time::timeout(Duration::from_secs(60), work).await.expect(what);
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{what}: {result:?}");
    assert!(began.elapsed() < LIMIT, "{what} took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_is_down_is_said_to_be_unavailable() {
    let settings = DatabaseSettings::new("host=/nonexistent user=nobody dbname=none");
    let database = Database::new(&settings).unwrap();
    unavailable("mark", database.mark()).await;
    unavailable("rules", database.rules()).await;
    unavailable("migrate", database.migrate()).await;
    let error = database.mark().await.unwrap_err().to_string();
    assert!(error.contains("No such file or directory"), "the reason is shown: {error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_in_time_and_usable_when_it_goes_on() {
    let server = TestServer::start().await;
    let db = server.migrated().await;
    let settings = DatabaseSettings {
        listen_check_interval: Duration::from_millis(50),
        operation_timeout: Duration::from_millis(500),
        ..DatabaseSettings::new(db.url())
    };
    let database = Database::new(&settings).unwrap();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let rules = database.rules().await.unwrap();
    let fresh = Database::new(&DatabaseSettings::new(db.url())).unwrap();
    let (sender, mut wake) = watch::channel(());
    let cancel = CancellationToken::new();
    let listening = tokio::spawn({
        let (database, cancel) = (database.clone(), cancel.clone());
        async move { database.listen(sender, cancel).await }
    });
    wake.changed().await.unwrap();

    let mut planned = database.begin_import(&pools).await.unwrap();

    server.hang();
    unavailable("a connection that was good", database.rules()).await;
    unavailable("a new connection, with the limits that are the default", fresh.rules()).await;
    unavailable("a change", database.act(&[rules[0].id], schema::rule::RuleAction::Approve, ACTOR, DryRun::No)).await;
    unavailable("loading the rules", database.load_rule_set(&pools[0])).await;
    unavailable("checking the chain", database.verify_chain()).await;
    let updates = [update("CX700", "1", 1)];
    unavailable("planning an import", planned.plan(&updates)).await;
    unavailable("announcing an import", planned.commit(&package(1, &updates), ACTOR)).await;
    unavailable("beginning an import", database.begin_import(&pools)).await;
    unavailable("clearing files", database.clear_files(&pools[0], ACTOR, DryRun::No)).await;
    let together: Vec<_> = (0..20).map(|_| unavailable("twenty at once", database.rules())).collect();
    futures_join(together).await;

    server.resume();
    wait_until("the store is usable", async || database.mark().await.is_ok()).await;
    assert_eq!(database.rules().await.unwrap(), rules, "nothing of the changes has happened");
    wait_until("the import lock is free", async || database.begin_import(&pools).await.is_ok()).await;
    tokio::time::timeout(Duration::from_secs(60), wake.changed()).await.expect("it listens again").unwrap();
    cancel.cancel();
    listening.await.unwrap();
}

/// Waits for all of them, side by side.
pub async fn futures_join(futures: Vec<impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn sessions_that_the_server_ended_are_replaced() {
    let db = TestDb::new().await;
    let database = db.database();
    database.mark().await.unwrap();
    let end = "
        select pg_terminate_backend(pid, 5000)
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    db.execute(end).await;
    database.mark().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_not_waited_for() {
    let db = TestDb::new().await;
    let database = Database::new(&DatabaseSettings::new(db.url())).unwrap();
    let mut client = db.client().await;
    let blocker = client.transaction().await.unwrap();
    blocker.batch_execute("select from generation for update").await.unwrap();
    unavailable("a change", database.create_account("ann", "$argon2id$x", ACTOR)).await;
    blocker.rollback().await.unwrap();
    database.create_account("ann", "$argon2id$x", ACTOR).await.unwrap();
}

#[test]
fn wrong_settings_are_said_at_once() {
    let check = |url: &str, ca_file: Option<&Path>, expected: &str| {
        let settings = DatabaseSettings { ca_file: ca_file.map(Path::to_owned), ..DatabaseSettings::new(url) };
        let error = Database::new(&settings).unwrap_err();
        assert!(matches!(error, StoreError::Settings(_)) && error.to_string().contains(expected), "{error}");
    };
    check("not a url", None, "url");
    check("postgres://h/d?sslmode=require", Some(Path::new("/nonexistent.pem")), "/nonexistent.pem");
    check("postgres://h/d?sslmode=require", Some(Path::new("/dev/null")), "no certificate");
    check("postgres://h/d", Some(Path::new("/dev/null")), "lacks sslmode=require");
    let secret = DatabaseSettings::new("postgres://u:hunter2@h/d");
    assert!(!format!("{secret:?}{:?}", Database::new(&secret)).contains("hunter2"));
}
