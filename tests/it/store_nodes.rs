//! Nodes in the store: what they report, when they are silent, whose a name is, and their removal.

use crate::store_facts::{ACTOR, fqdn, with_pool};
use schema::replica::ReplicaState;
use schema::store::{Database, DryRun, Node, ReportedState, Reporter, StoreError};
use schema::topology::PoolFqdn;
use std::time::Duration;
use tests::database::TestDb;
use uuid::Uuid;

fn reporter(pool: &PoolFqdn, name: &str, instance: u128) -> Reporter {
    Reporter {
        pool: pool.clone(),
        name: name.parse().unwrap(),
        program_version: "0.1.0".to_owned(),
        instance: Uuid::from_u128(instance),
        silent_after: Duration::from_secs(90),
    }
}

async fn only_node(database: &Database) -> Node {
    let [node] = &database.nodes().await.unwrap()[..] else { panic!("there is not exactly one node") };
    node.clone()
}

/// Lets time pass since the last reports.
async fn age(db: &TestDb, seconds: u32) {
    db.execute(&format!("update nodes set heartbeat_at = heartbeat_at - interval '{seconds} seconds'")).await;
}

#[tokio::test]
async fn nodes_report_how_they_stand() {
    let db = TestDb::new().await;
    let database = db.database();
    let one = with_pool(&database).await;
    let node = reporter(&one, "Node1", 1);
    let state = async || only_node(&database).await.state.as_str();
    for reported in [ReportedState::Serving, ReportedState::Draining] {
        assert_eq!(database.report_node(&node, reported).await.unwrap(), None);
        let word = state().await;
        assert!(["serving", "draining"].contains(&word), "{word}");
        age(&db, 89).await;
        assert_eq!(state().await, word);
        age(&db, 2).await;
        assert_eq!(state().await, "silent");
    }
    let renamed = Reporter { program_version: "0.2.0".to_owned(), ..reporter(&one, "node1", 1) };
    assert_eq!(database.report_node(&renamed, ReportedState::Stopped).await.unwrap(), None);
    let found = only_node(&database).await;
    assert_eq!((found.name, found.program_version.as_str(), found.site.as_str()), (node.name, "0.2.0", "Redmond"));
    age(&db, 100_000).await;
    let found = only_node(&database).await;
    assert!(found.state.as_str() == "stopped" && found.heartbeat_age_s >= 100_000, "{found:?}");
    let nowhere = database.report_node(&reporter(&fqdn("none.contoso.com"), "node1", 1), ReportedState::Serving).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
}

#[tokio::test]
async fn a_name_belongs_to_one_living_instance() {
    let db = TestDb::new().await;
    let database = db.database();
    let pool = with_pool(&database).await;
    let report =
        async |instance, state| database.report_node(&reporter(&pool, "node1", instance), state).await.unwrap();
    assert_eq!(report(1, ReportedState::Serving).await, None);
    let other = report(2, ReportedState::Serving).await.unwrap();
    assert_eq!((other.name.as_str(), other.state.as_str()), ("node1", "serving"));
    assert_eq!(report(1, ReportedState::Serving).await, None, "its own name, after a restart too");
    age(&db, 91).await;
    assert_eq!(report(2, ReportedState::Serving).await, None, "the other one is silent");
    assert!(report(1, ReportedState::Serving).await.is_some(), "and comes back too late");
    assert_eq!(report(2, ReportedState::Stopped).await, None);
    assert_eq!(report(1, ReportedState::Serving).await, None);
    // A program before there were instances says nothing of them.
    db.execute("update nodes set instance = null").await;
    assert_eq!(report(3, ReportedState::Serving).await, None);
}

#[tokio::test]
async fn only_a_node_that_is_gone_is_removed() {
    let db = TestDb::new().await;
    let database = db.database();
    let pool = with_pool(&database).await;
    let node = reporter(&pool, "node1", 1);
    let remove = async |dry_run| database.remove_node(&pool, &"NODE1".parse().unwrap(), ACTOR, dry_run).await;
    for state in [ReportedState::Serving, ReportedState::Draining] {
        database.report_node(&node, state).await.unwrap();
        let refused = remove(DryRun::No).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused(text) if text.contains("lives")), "{refused:?}");
    }
    database.report_replica((&pool, &node.name), &ReplicaState::default(), None).await.unwrap();
    age(&db, 91).await;
    assert_eq!(remove(DryRun::Yes).await.unwrap().state.as_str(), "silent");
    assert_eq!(database.nodes().await.unwrap().len(), 1, "a dry run");
    remove(DryRun::No).await.unwrap();
    assert!(database.nodes().await.unwrap().is_empty());
    assert!(matches!(remove(DryRun::No).await, Err(StoreError::NotFound(_))));
    database.report_node(&node, ReportedState::Stopped).await.unwrap();
    let [again] = &database.replicas().await.unwrap()[..] else { panic!("there is not exactly one node") };
    assert_eq!(again.told, None, "what the removed one told is gone with it");
    remove(DryRun::No).await.unwrap();
    let removed = database.admin_events(None, 10).await.unwrap();
    assert_eq!(removed.iter().filter(|event| event.action == "remove").count(), 2, "{removed:?}");
}
