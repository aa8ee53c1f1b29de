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
async fn a_database_newer_than_the_program_is_refused_and_left_alone() {
    let db = TestDb::new().await;
    let newer = "
        insert into refinery_schema_history (version, name, applied_on, checksum)
        values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    db.client().await.batch_execute(newer).await.unwrap();
    let database = db.database();
    for result in [database.migrate().await.map(|_| ()), database.check_version().await] {
        assert!(matches!(result, Err(StoreError::NewerDatabase { found: 9999, .. })), "{result:?}");
        assert!(result.unwrap_err().to_string().contains("run the newer ucupdates"));
    }
}
