//! What administrators do to rules, and the clearing of files that no rule refers to.

use crate::store_facts::{ACTOR, act, fqdn, import, interim, only_rule, pool, update, version, with_pool};
use schema::rule::{Refusal, RuleAction, RuleId};
use schema::rule_set::SteppingStone;
use schema::store::{Database, DatabaseSettings, DryRun, StoreError};
use std::time::Duration;
use tests::database::{TestDb, wait_until};
use uuid::Uuid;

fn some(approved: &str, pending: &str, restore: &str) -> [Option<String>; 3] {
    [approved, pending, restore].map(|text| (!text.is_empty()).then(|| format!("{text}.0.0.0")))
}

#[tokio::test]
async fn a_rule_lives_as_the_protocol_says() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let id = only_rule(&database).await.id;
    assert_eq!(act(&database, id, RuleAction::Approve).await, some("1", "", ""));
    import(&database, &pools, &[update("CX600", "2", 2)]).await;
    assert_eq!(act(&database, id, RuleAction::Approve).await, some("2", "", "1"));
    import(&database, &pools, &[update("CX600", "3", 3)]).await;
    assert_eq!(act(&database, id, RuleAction::Reset).await, some("2", "", "1"));
    assert_eq!(act(&database, id, RuleAction::Restore).await, some("1", "", ""));
    assert_eq!(act(&database, id, RuleAction::Uninstall).await, some("", "", ""));
    let events = database.admin_events(None, 3).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["uninstall", "restore", "reset"]);
    assert_eq!(events[1].before.as_ref().unwrap()["restore"], "1.0.0.0");
    assert_eq!(events[1].after.as_ref().unwrap()["approved"], "1.0.0.0");
    assert!(events[1].object.starts_with("rule UCPhone/Polycom/CX600/A/ENU/CPE Service:WebServer:one.contoso.com/"));
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_the_rest_is_done() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1), update("CX700", "1", 2)]).await;
    let [first, second] = &database.rules().await.unwrap()[..] else { panic!() };
    act(&database, first.id, RuleAction::Approve).await;
    let before = database.rules().await.unwrap();
    let ids = [second.id, first.id, second.id];
    let generation = database.mark().await.unwrap().generation;
    let tried = database.act(&ids, RuleAction::Approve, ACTOR, DryRun::Yes).await.unwrap();
    assert_eq!(database.rules().await.unwrap(), before, "a dry run changes nothing");
    assert_eq!(database.mark().await.unwrap().generation, generation);
    let done = database.act(&ids, RuleAction::Approve, ACTOR, DryRun::No).await.unwrap();
    assert_eq!(done, tried);
    assert_eq!(done.len(), 2, "each rule once, in the order asked for");
    assert_eq!(done[0].result.map(|versions| versions.approved()), Ok(Some(version("1"))));
    assert_eq!((done[1].before.id, done[1].result), (first.id, Err(Refusal::NothingToApprove)));
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
    let all_refused = database.act(&ids, RuleAction::Approve, ACTOR, DryRun::No).await.unwrap();
    assert!(all_refused.iter().all(|acted| acted.result.is_err()));
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
}

#[tokio::test]
async fn an_action_on_a_rule_that_is_not_there_does_nothing_to_the_others() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let rule = only_rule(&database).await;
    let ids = [rule.id, RuleId(Uuid::from_u128(7))];
    let missing = database.act(&ids, RuleAction::Approve, ACTOR, DryRun::No).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    assert!(database.remove_rules(&ids, ACTOR, DryRun::No).await.is_err());
    assert_eq!(only_rule(&database).await, rule);
    let import = RuleAction::Import(version("9"));
    assert!(matches!(database.act(&ids[..1], import, ACTOR, DryRun::No).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn rules_are_removed_and_files_stay_until_they_are_cleared() {
    let database = TestDb::new().await.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let rule = only_rule(&database).await;
    let would = database.remove_rules(&[rule.id], ACTOR, DryRun::Yes).await.unwrap();
    assert_eq!(would, std::slice::from_ref(&rule));
    assert_eq!(database.rules().await.unwrap().len(), 1);
    assert_eq!(database.remove_rules(&[rule.id], ACTOR, DryRun::No).await.unwrap(), would);
    assert!(database.rules().await.unwrap().is_empty());
    assert_eq!(database.load_rule_set(&pools[0]).await.unwrap().files().count(), 2);
}

/// Both are held up until both want the rule, so that neither may act on what it saw before the other.
#[tokio::test]
async fn two_administrators_who_approve_at_once_approve_once() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let ids = [only_rule(&database).await.id];
    let mut client = db.client().await;
    let blocker = client.transaction().await.unwrap();
    blocker.batch_execute("select from device_update_rules for update").await.unwrap();
    let approve = || database.act(&ids, RuleAction::Approve, ACTOR, DryRun::No);
    let observer = db.client().await;
    let release = async {
        let waiting =
            "select count(*) = 2 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        wait_until("both wait", async || observer.query_one(waiting, &[]).await.unwrap().get(0)).await;
        blocker.rollback().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(approve(), approve(), release);
    let results = [one.unwrap()[0].result.is_ok(), two.unwrap()[0].result.is_ok()];
    assert!(results == [true, false] || results == [false, true], "{results:?}");
}

async fn names_cleared(database: &Database, dry_run: DryRun) -> Vec<String> {
    let cleared = database.clear_files(&fqdn("one.contoso.com"), ACTOR, dry_run).await.unwrap();
    let mut names: Vec<String> = cleared.files().map(|file| file.path.to_string()).collect();
    names.sort();
    cleared.release().await.unwrap();
    names
}

#[tokio::test]
async fn files_that_no_rule_and_no_stepping_stone_needs_are_cleared() {
    let database = TestDb::new().await.database();
    let one = with_pool(&database).await;
    database.create_pool(&pool("two"), ACTOR).await.unwrap();
    let both = [one.clone(), fqdn("two.contoso.com")];
    import(&database, &both, &[update("CX600", "1", 1), interim("1.0.522.103", 9)]).await;
    let rules = database.rules().await.unwrap();
    let id = rules[0].id;
    for (number, bytes) in [("2", 2), ("3", 3), ("1.0.522.103", 4)] {
        act(&database, id, RuleAction::Approve).await;
        import(&database, &both[..1], &[update("CX600", number, bytes)]).await;
    }
    // Now 3 is approved, 2 is kept to go back to, and 1.0.522.103 is pending: 1 is of no use.
    let expected = ["CPE.cat", "CPE.nbt"].map(|file| format!("UCPhone/Polycom/CX600/A/ENU/1.0.0.0/CPE/{file}"));
    let generation = database.mark().await.unwrap().generation;
    assert_eq!(names_cleared(&database, DryRun::Yes).await, expected);
    assert_eq!(database.mark().await.unwrap().generation, generation);
    assert_eq!(names_cleared(&database, DryRun::No).await, expected);
    assert_eq!(names_cleared(&database, DryRun::No).await, [""; 0]);
    assert_eq!(database.mark().await.unwrap().generation, generation + 1);
    // The other pool keeps its own.
    assert_eq!(database.load_rule_set(&both[1]).await.unwrap().files().count(), 4);
    // The stone also leads over an ordinary update, which no rule needs any more; without the stone nothing is kept.
    act(&database, id, RuleAction::Reset).await;
    assert_eq!(names_cleared(&database, DryRun::No).await, [""; 0]);
    database.remove_stepping_stone(&SteppingStone::of_the_original(), ACTOR).await.unwrap();
    let cleared = names_cleared(&database, DryRun::No).await;
    assert_eq!(cleared.len(), 4, "{cleared:?}");
    assert!(cleared.contains(&"OCInterim/ENU/CPE.nbt".to_owned()));
    // What is cleared can be imported again, with other bytes.
    let left: Vec<_> = database.rules().await.unwrap().into_iter().map(|rule| rule.id).collect();
    database.remove_rules(&left, ACTOR, DryRun::No).await.unwrap();
    for pool in &both {
        database.clear_files(pool, ACTOR, DryRun::No).await.unwrap().release().await.unwrap();
    }
    let again = import(&database, &both, &[update("CX600", "1", 77)]).await;
    assert!(again.iter().all(|record| record.needs_files), "{again:?}");
}

#[tokio::test]
async fn no_import_runs_while_blobs_are_being_deleted() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let impatient = DatabaseSettings { import_wait: Duration::from_millis(100), ..db.settings() };
    let impatient = Database::new(&impatient).unwrap();
    let cleared = database.clear_files(&pools[0], ACTOR, DryRun::No).await.unwrap();
    assert!(matches!(impatient.begin_import(&pools).await, Err(StoreError::Refused(_))));
    let second = impatient.clear_files(&pools[0], ACTOR, DryRun::No).await;
    assert!(matches!(second, Err(StoreError::Refused(_))));
    cleared.release().await.unwrap();
    let import = impatient.begin_import(&pools).await.unwrap();
    let refused = impatient.clear_files(&pools[0], ACTOR, DryRun::No).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    drop(import);
}

#[tokio::test]
async fn a_clearing_knows_when_its_lock_is_lost() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let cleared = database.clear_files(&pools[0], ACTOR, DryRun::No).await.unwrap();
    cleared.prove_lock().await.unwrap();
    let end = "
        select pg_terminate_backend(pid, 5000)
        from pg_locks
        where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(db.client().await.query(end, &[]).await.unwrap().len(), 1);
    let lost = cleared.prove_lock().await.unwrap_err().to_string();
    assert!(lost.contains("the import lock was lost"), "{lost}");
    database.begin_import(&pools).await.unwrap();
}

#[tokio::test]
async fn a_clearing_keeps_its_lock_however_long_it_idles() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let limit =
        "do $$ begin execute format('alter database %I set idle_session_timeout = 50', current_database()); end $$";
    db.execute(limit).await;
    let cleared = Database::new(&db.settings()).unwrap().clear_files(&pools[0], ACTOR, DryRun::No).await.unwrap();
    // Another session that begins to idle now is ended by the server.
    let other = db.client().await;
    wait_until("the server ends idle sessions", async || other.is_closed()).await;
    cleared.prove_lock().await.unwrap();
}
