//! Imports: created, replaced, unchanged, refused; one at a time; everything or nothing.

use crate::store_facts::{
    ACTOR, act, fqdn, import, interim, key, name, only_rule, outcomes, package, pool, update, update_of, version,
    with_pool,
};
use schema::device::DeviceKey;
use schema::import::{AlreadyThere, ImportOutcome, ImportRefusal};
use schema::package::{Catalog, CatalogDigest, Digest, UpdateTarget};
use schema::rule::RuleAction;
use schema::store::{Database, DatabaseSettings, DryRun, StoreError};
use std::time::Duration;
use tests::database::{TestDb, wait_until};

const CREATED: ImportOutcome = ImportOutcome::Created;

#[tokio::test]
async fn an_import_makes_rules_with_a_pending_version() {
    let database = TestDb::new().await.database();
    let one = with_pool(&database).await;
    database.create_pool(&pool("two"), ACTOR).await.unwrap();
    let pools = [one, fqdn("two.contoso.com")];
    let updates = [update("CX600", "4.0.7577.4387", 1), update("CX700", "4.0.7577.4387", 2)];
    let mut transaction = database.begin_import(&pools).await.unwrap();
    assert_eq!(transaction.pools(), [pool("one"), pool("two")]);
    let planned = transaction.plan(&updates).await.unwrap();
    assert!(planned.iter().all(|record| record.needs_files), "{planned:?}");
    let generation = database.mark().await.unwrap().generation;
    let done = transaction.commit(&package(1, &updates), ACTOR).await.unwrap();
    assert_eq!(done, planned);
    assert_eq!(outcomes(&done), [CREATED, CREATED, CREATED, CREATED]);
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
    let rules = database.rules().await.unwrap();
    let seen: Vec<_> = rules.iter().map(|rule| format!("{} {}", rule.pool, rule.key.model)).collect();
    let expected = ["one.contoso.com CX600", "one.contoso.com CX700", "two.contoso.com CX600", "two.contoso.com CX700"];
    assert_eq!(seen, expected);
    assert!(rules.iter().all(|rule| rule.versions.pending() == Some(version("4.0.7577.4387"))));
    let packages = database.packages(10).await.unwrap();
    assert_eq!((packages.len(), packages[0].imported_by.as_str()), (1, ACTOR));
    let event = &database.admin_events(None, 1).await.unwrap()[0];
    assert_eq!((event.action.as_str(), event.object.as_str()), ("import", "package UCUpdates.cab"));
    assert_eq!(event.after.as_ref().unwrap()["updates"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn importing_twice_is_importing_once() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    let updates = [update("CX600", "2", 1), interim("1.0.522.103", 9)];
    assert_eq!(outcomes(&import(&database, &pools, &updates).await), [CREATED, CREATED]);
    let (generation, rules) = (database.mark().await.unwrap().generation, database.rules().await.unwrap());
    let again = import(&database, &pools, &updates).await;
    let unchanged = [AlreadyThere::Pending, AlreadyThere::Stored].map(ImportOutcome::Unchanged);
    assert_eq!(outcomes(&again), unchanged);
    assert!(again.iter().all(|record| !record.needs_files));
    assert_eq!(database.mark().await.unwrap().generation, generation, "nothing is written");
    assert_eq!(database.rules().await.unwrap(), rules);
    act(&database, rules[0].id, RuleAction::Approve).await;
    let approved = import(&database, &pools, &updates[..1]).await;
    assert_eq!(outcomes(&approved), [ImportOutcome::Unchanged(AlreadyThere::Approved)]);
}

#[tokio::test]
async fn a_newer_package_replaces_what_is_pending_and_keeps_the_rest() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let id = only_rule(&database).await.id;
    act(&database, id, RuleAction::Approve).await;
    let replaced = import(&database, &pools, &[update("CX600", "2", 2)]).await;
    assert_eq!(outcomes(&replaced), [ImportOutcome::Replaced { pending: None }]);
    // Another spelling of the same devices is the same rule.
    let shouted = DeviceKey { brand: name("POLYCOM"), locale: name("enu"), ..key("cx600") };
    let third = update_of(UpdateTarget::Device(shouted), "3", 3);
    let replaced = import(&database, &pools, &[third]).await;
    assert_eq!(outcomes(&replaced), [ImportOutcome::Replaced { pending: Some(version("2")) }]);
    let rule = only_rule(&database).await;
    assert_eq!((rule.id, rule.key.brand.as_str()), (id, "Polycom"));
    assert_eq!((rule.versions.approved(), rule.versions.pending()), (Some(version("1")), Some(version("3"))));
    // A version that was rejected may come again, and needs no files.
    act(&database, id, RuleAction::Reset).await;
    let back = import(&database, &pools, &[update("CX600", "2", 2)]).await;
    assert_eq!((outcomes(&back), back[0].needs_files), (vec![ImportOutcome::Replaced { pending: None }], false));
}

#[tokio::test]
async fn the_same_version_with_other_bytes_is_refused_with_both_digests() {
    let database = TestDb::new().await.database();
    let one = with_pool(&database).await;
    database.create_pool(&pool("two"), ACTOR).await.unwrap();
    import(&database, std::slice::from_ref(&one), &[update("CX600", "2", 1), interim("1.0.522.103", 9)]).await;
    let (generation, rules) = (database.mark().await.unwrap().generation, database.rules().await.unwrap());
    // In no pool, not even in one that does not have the version: phones would differ by where they ask.
    let pools = [one.clone(), fqdn("two.contoso.com")];
    let offered = [update("CX600", "2.0.0.0", 2), interim("1.0.522.104", 8)];
    let other_bytes = ImportOutcome::Refused(ImportRefusal::OtherBytes {
        pool: one.clone(),
        file: "CPE.nbt".to_owned(),
        stored: Some(Digest::new([1; 32])),
        offered: Some(Digest::new([2; 32])),
    });
    let done = import(&database, &pools, &offered).await;
    assert_eq!(done[0].outcome, other_bytes);
    assert_eq!(done[2].outcome, other_bytes);
    let ImportOutcome::Refused(refusal) = &done[0].outcome else { panic!() };
    assert!(refusal.to_string().contains("0101") && refusal.to_string().contains("0202"), "{refusal}");
    // The path of an interim build has no version, so there is one of them; the second pool has none yet.
    assert!(matches!(&done[1].outcome, ImportOutcome::Refused(ImportRefusal::PathTaken { .. })), "{done:?}");
    assert_eq!(done[3].outcome, CREATED);
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
    assert_eq!(database.rules().await.unwrap(), rules);
    let nothing = import(&database, &[one], &offered).await;
    assert!(nothing.iter().all(|record| matches!(record.outcome, ImportOutcome::Refused(_))));
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
}

#[tokio::test]
async fn a_package_that_contradicts_itself_is_refused_where_it_does() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    let twice = [update("CX600", "2", 1), update("CX600", "2", 1), update("CX600", "2", 7), update("CX600", "3", 3)];
    let done = import(&database, &pools, &twice).await;
    let expected = [
        CREATED,
        ImportOutcome::Unchanged(AlreadyThere::Pending),
        ImportOutcome::Refused(ImportRefusal::TwiceInPackage),
        ImportOutcome::Replaced { pending: Some(version("2")) },
    ];
    assert_eq!(outcomes(&done), expected);
    assert_eq!(only_rule(&database).await.versions.pending(), Some(version("3")));
}

#[tokio::test]
async fn a_preview_says_what_an_import_would_do_and_changes_nothing() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let updates = [update("CX600", "2", 1), update("CX700", "2", 1)];
    let generation = database.mark().await.unwrap().generation;
    let holder = database.begin_import(&pools).await.unwrap();
    let preview = database.preview_import(&pools, &updates).await.unwrap();
    assert_eq!(database.mark().await.unwrap().generation, generation);
    assert!(database.rules().await.unwrap().is_empty());
    drop(holder);
    assert_eq!(import(&database, &pools, &updates).await, preview);
}

fn impatient(db: &TestDb) -> Database {
    let settings = DatabaseSettings { import_wait: Duration::from_millis(100), ..db.settings() };
    Database::new(&settings).unwrap()
}

#[tokio::test]
async fn imports_run_one_at_a_time() {
    let db = TestDb::new().await;
    let (database, other) = (db.database(), impatient(&db));
    let pools = [with_pool(&database).await];
    let holder = database.begin_import(&pools).await.unwrap();
    let refused = other.begin_import(&pools).await;
    assert!(matches!(&refused, Err(StoreError::Refused(text)) if text.contains("another import")), "{refused:?}");
    // One that waits goes on when the other is done.
    let updates = [update("CX600", "2", 1)];
    let package = package(1, &updates);
    let (second, first) =
        tokio::join!(import(&database, &pools, &updates), async { holder.commit(&package, ACTOR).await.unwrap() });
    assert_eq!(
        (outcomes(&first), outcomes(&second)),
        (vec![CREATED], vec![ImportOutcome::Unchanged(AlreadyThere::Pending)])
    );
}

#[tokio::test]
async fn an_import_that_is_dropped_changes_nothing_and_frees_the_lock() {
    let db = TestDb::new().await;
    let (database, other) = (db.database(), impatient(&db));
    let pools = [with_pool(&database).await];
    let mut transaction = database.begin_import(&pools).await.unwrap();
    transaction.plan(&[update("CX600", "2", 1)]).await.unwrap();
    drop(transaction);
    wait_until("the lock is free", async || other.begin_import(&pools).await.is_ok()).await;
    assert!(database.rules().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_named() {
    let database = TestDb::new().await.database();
    let one = with_pool(&database).await;
    let missing = database.begin_import(&[one, fqdn("none.contoso.com")]).await;
    assert_eq!(missing.unwrap_err().to_string(), "pool none.contoso.com does not exist");
    assert!(matches!(database.preview_import(&[], &[]).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn what_a_catalog_lists_is_stored_with_the_update_and_goes_with_it() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let digest = |byte| CatalogDigest { algorithm: "1.3.14.3.2.26".to_owned(), value: vec![byte; 20] };
    let of_the_package = update("CX600", "2", 1);
    let of_nobody = Catalog { file: Digest::new([99; 32]), digests: vec![digest(9)] };
    let listed = Catalog { file: of_the_package.files()[0].digest, digests: vec![digest(1), digest(2)] };
    let mut package = package(1, &[of_the_package]);
    package.catalogs = vec![listed, of_nobody];
    for _ in 0..2 {
        let transaction = database.begin_import(&pools).await.unwrap();
        transaction.commit(&package, ACTOR).await.unwrap();
    }
    let client = db.client().await;
    let stored = async || -> Vec<Vec<u8>> {
        let rows = client.query("select value from catalog_digests order by place", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(stored().await, [vec![1; 20], vec![2; 20]]);
    let rule = only_rule(&database).await;
    act(&database, rule.id, RuleAction::Reset).await;
    database.clear_files(&pools[0], ACTOR, DryRun::No).await.unwrap().release().await.unwrap();
    assert_eq!(stored().await, Vec::<Vec<u8>>::new());
}

/// A server may end transactions that idle; that of an import does so while large files are written.
#[tokio::test]
async fn an_import_outlives_the_servers_limit_for_idle_transactions() {
    let db = TestDb::new().await;
    let client = db.client().await;
    let limit = "do $$ begin execute format(
        'alter database %I set idle_in_transaction_session_timeout = 50', current_database()); end $$";
    client.batch_execute(limit).await.unwrap();
    let database = Database::new(&db.settings()).unwrap();
    let pools = [with_pool(&database).await];
    let transaction = database.begin_import(&pools).await.unwrap();
    let idle = "
        select count(*)
        from pg_stat_activity
        where state = 'idle in transaction'
            and now() - state_change > interval '200 milliseconds'
            and datname = current_database()";
    wait_until("the import idles", async || client.query_one(idle, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    transaction.commit(&package(1, &[update("CX600", "2", 1)]), ACTOR).await.unwrap();
}
