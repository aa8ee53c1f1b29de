//! Migrating: from nothing, again, by several nodes at once, and never backwards.

use schema::store::{Migrated, StoreError};
use tests::database::TestDb;

#[tokio::test]
async fn an_empty_database_is_brought_to_the_programs_version_once() {
    let db = TestDb::empty().await;
    let database = db.database();
    let before = database.check_version().await;
    assert!(matches!(before, Err(StoreError::OlderDatabase { found: 0, .. })), "{before:?}");
    let Migrated { from, to } = database.migrate().await.unwrap();
    assert!(from == 0 && to > 0);
    assert_eq!(database.migrate().await.unwrap(), Migrated { from: to, to });
    database.check_version().await.unwrap();
    assert_eq!(database.mark().await.unwrap().generation, 0);
}

#[tokio::test]
async fn nodes_that_start_together_migrate_one_after_the_other() {
    let db = TestDb::empty().await;
    let (one, two, three) = (db.database(), db.database(), db.database());
    let (one, two, three) = tokio::join!(one.migrate(), two.migrate(), three.migrate());
    let mut from: Vec<u32> = [one, two, three].map(|done| done.unwrap().from).to_vec();
    from.sort_unstable();
    assert!(from[0] == 0 && from[1] > 0 && from[2] == from[1], "{from:?}");
}

#[tokio::test]
async fn a_database_that_needs_a_newer_program_is_refused_and_left_alone() {
    let db = TestDb::new().await;
    db.pretend_schema(9999, 9998).await;
    let database = db.database();
    for result in
        [database.migrate().await.map(|_| ()), database.check_version().await, database.mark().await.map(|_| ())]
    {
        assert!(
            matches!(result, Err(StoreError::NewerDatabase { found: 9999, oldest_program: 9998, .. })),
            "{result:?}"
        );
        assert!(result.unwrap_err().to_string().contains("run the newer ucupdates"));
    }
}

#[tokio::test]
async fn a_newer_database_that_works_with_this_program_is_used_and_left_alone() {
    let db = TestDb::new().await;
    db.pretend_schema(9999, db.schema_version().await).await;
    let database = db.database();
    assert_eq!(database.migrate().await.unwrap(), Migrated { from: 9999, to: 9999 });
    database.check_version().await.unwrap();
    database.mark().await.unwrap();
}

#[tokio::test]
async fn a_store_put_back_to_before_there_was_such_a_rule_is_older() {
    let db = TestDb::new().await;
    db.execute("drop table schema_compatibility; delete from refinery_schema_history where version > 1").await;
    let database = db.database();
    let token = schema::package::Digest::new([0; 32]);
    for result in [
        database.check_version().await,
        database.mark().await.map(|_| ()),
        database.authenticate(&token).await.map(|_| ()),
    ] {
        assert!(matches!(result, Err(StoreError::OlderDatabase { found: 1, .. })), "{result:?}");
    }
}
