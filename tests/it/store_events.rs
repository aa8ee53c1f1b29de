//! The chain of admin events: every change is in it, and a change to it shows.

use crate::store_facts::{ACTOR, import, update, with_pool};
use schema::store::{AdminEvent, ChainVerdict, Database, StoreError};
use tests::database::TestDb;

/// A chain of five events.
async fn chain(db: &TestDb) -> Database {
    let database = db.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    for name in ["ann@contoso.com", "bob@contoso.com"] {
        database.create_account(name, "$argon2id$x", "Zoë \"the\" admin").await.unwrap();
    }
    assert_eq!(database.verify_chain().await.unwrap(), ChainVerdict::Whole { events: 5 });
    database
}

#[tokio::test]
async fn no_events_are_a_whole_chain() {
    let database = TestDb::new().await.database();
    assert_eq!(database.verify_chain().await.unwrap(), ChainVerdict::Whole { events: 0 });
    assert_eq!(database.admin_events(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_changed_missing_or_added_event_breaks_the_chain_where_it_is() {
    let cases = [
        ("update admin_events set actor = 'nobody' where number = 3", 2, 3),
        ("update admin_events set at = at + interval '1 microsecond' where number = 3", 2, 3),
        ("update admin_events set after = '{}' where number = 3", 2, 3),
        ("update admin_events set before = '{}' where number = 1", 0, 1),
        ("delete from admin_events where number = 1", 0, 1),
        ("delete from admin_events where number = 4", 3, 4),
        ("delete from admin_events where number = 5", 4, 5),
        ("truncate admin_events", 0, 1),
        (
            "insert into admin_events select 6, at, actor, action, object, before, after, hash from admin_events where number = 5",
            5,
            6,
        ),
        ("update admin_events set number = 10 - number where number in (4, 6)", 3, 4),
    ];
    for (tampering, events, at) in cases {
        let db = TestDb::new().await;
        let database = chain(&db).await;
        db.execute(&format!("alter table admin_events disable trigger all; {tampering}")).await;
        assert_eq!(database.verify_chain().await.unwrap(), ChainVerdict::Broken { events, at }, "{tampering}");
    }
}

#[tokio::test]
async fn events_are_listed_newest_first_and_page_by_page() {
    let db = TestDb::new().await;
    let database = chain(&db).await;
    let numbers = |events: &[AdminEvent]| events.iter().map(|event| event.number).collect::<Vec<_>>();
    let page = database.admin_events(None, 2).await.unwrap();
    assert_eq!(numbers(&page), [5, 4]);
    assert_eq!((page[0].actor.as_str(), page[0].object.as_str()), ("Zoë \"the\" admin", "account bob@contoso.com"));
    assert_eq!(numbers(&database.admin_events(Some(4), 10).await.unwrap()), [3, 2, 1]);
}

#[tokio::test]
async fn changes_at_the_same_time_make_one_chain() {
    let db = TestDb::new().await;
    let database = db.database();
    let change = |number: u32| {
        let database = database.clone();
        async move { database.create_account(&format!("a{number}"), "$argon2id$x", ACTOR).await }
    };
    let mut changes = tokio::task::JoinSet::new();
    for number in 0..20 {
        changes.spawn(change(number));
    }
    let done: Vec<Result<(), StoreError>> = changes.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(database.verify_chain().await.unwrap(), ChainVerdict::Whole { events: 20 });
    assert_eq!(database.mark().await.unwrap().generation, 20);
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_event() {
    let db = TestDb::new().await;
    let database = chain(&db).await;
    let again = database.create_account("ANN@contoso.com", "$argon2id$x", ACTOR).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    assert!(database.create_account("c", "a clear text", ACTOR).await.is_err());
    assert_eq!(database.verify_chain().await.unwrap(), ChainVerdict::Whole { events: 5 });
}
