//! What nodes load: a rule set equals what was written, and announcements wake whoever listens.

use crate::store_facts::{ACTOR, act, fqdn, import, interim, key, only_rule, pool, update, version, with_pool};
use schema::device::{MacAddress, SerialNumber};
use schema::package::UpdateTarget;
use schema::rule::RuleAction;
use schema::rule_set::SteppingStone;
use schema::settings::DeviceUpdateConfiguration;
use schema::store::{Database, DatabaseSettings, StoreError};
use schema::test_device::{TestDevice, TestIdentifier};
use schema::topology::{Pool, PoolUrls};
use std::time::Duration;
use tests::database::{TestDb, wait_until};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn test_device(identity: &str, identifier: TestIdentifier) -> TestDevice {
    TestDevice { identity: identity.parse().unwrap(), identifier }
}

#[tokio::test]
async fn a_rule_set_equals_what_was_written() {
    let database = TestDb::new().await.database();
    let one = with_pool(&database).await;
    let elsewhere = Pool { site: "Lisbon".parse().unwrap(), ..pool("two") };
    database.create_pool(&elsewhere, ACTOR).await.unwrap();
    let urls = PoolUrls {
        internal_files: Some("http://one.contoso.com/DeviceUpdateFiles_Int".parse().unwrap()),
        ..PoolUrls::default()
    };
    database.set_pool_urls(&one, &urls, ACTOR).await.unwrap();
    let updates = [update("CX600", "1", 1), interim("1.0.522.103", 9)];
    import(&database, std::slice::from_ref(&one), &updates).await;
    import(&database, std::slice::from_ref(&elsewhere.fqdn), &[update("CX700", "1", 7)]).await;
    let rule = database.rules().await.unwrap().remove(0);
    act(&database, rule.id, RuleAction::Approve).await;
    let mac = MacAddress::parse("0021630F207B").unwrap();
    let [here, there] = ["C185H001209", "C185H001210"].map(|text| SerialNumber::parse(text).unwrap());
    for (identity, identifier) in [
        ("global/anywhere", TestIdentifier::MacAddress(mac.clone())),
        ("site:redmond/here", TestIdentifier::SerialNumber(here.clone())),
        ("site:Lisbon/there", TestIdentifier::SerialNumber(there.clone())),
    ] {
        database.create_test_device(&test_device(identity, identifier), ACTOR).await.unwrap();
    }
    let own = DeviceUpdateConfiguration { max_log_file_size_bytes: u32::MAX, ..DeviceUpdateConfiguration::default() };
    database.create_configuration(&"Redmond".parse().unwrap(), &own, ACTOR).await.unwrap();
    database.create_account("Ann@contoso.com", "$argon2id$x", ACTOR).await.unwrap();

    let rules = database.load_rule_set(&one).await.unwrap();
    assert_eq!(rules.generation(), database.mark().await.unwrap().generation);
    assert_eq!(*rules.pool(), Pool { urls, ..pool("one") });
    assert_eq!(rules.rule_count(), 1);
    assert_eq!(rules.rule(&key("cx600")).and_then(|versions| versions.approved()), Some(version("1")));
    for update in &updates {
        assert_eq!(rules.update(update.target(), update.version()).map(|stored| &**stored), Some(update));
    }
    assert!(rules.update(&UpdateTarget::Device(key("CX700")), version("1")).is_none(), "that of another pool");
    assert_eq!(rules.files().count(), 4);
    assert!(rules.file("ocinterim/enu/CPE.NBT").is_some());
    let stone = rules.stepping_stone(&key("CX600"), version("1.0.522.97"), version("2"));
    assert_eq!(stone, Some(&SteppingStone::of_the_original()));
    assert!(rules.is_test_device(Some(&mac), None) && rules.is_test_device(None, Some(&here)));
    assert!(!rules.is_test_device(None, Some(&there)), "listed at another site");
    assert_eq!(*rules.configuration(), own);
    assert_eq!(rules.account("ANN@contoso.com"), Some("$argon2id$x"));

    let other = database.load_rule_set(&elsewhere.fqdn).await.unwrap();
    assert_eq!(*other.configuration(), DeviceUpdateConfiguration::default());
    assert!(other.is_test_device(None, Some(&there)) && !other.is_test_device(None, Some(&here)));
}

#[tokio::test]
async fn loading_takes_the_same_statements_however_many_rules_there_are() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    // Without the empty ones that ask whether the server lives: how many come depends on the time.
    let asked = || db.statements().iter().filter(|statement| !statement.ends_with(": ")).count();
    let count = async || {
        let before = asked();
        database.load_rule_set(&pools[0]).await.unwrap();
        asked() - before
    };
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    let few = count().await;
    let many: Vec<_> = (0..200).map(|number| update(&format!("m{number}"), "1", 1)).collect();
    import(&database, &pools, &many).await;
    assert_eq!(count().await, few);
    assert!(few > 0);
}

/// The load is stopped in its middle, and a change is made meanwhile.
#[tokio::test]
async fn a_rule_set_is_as_of_one_generation() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let generation = database.mark().await.unwrap().generation;
    let mut client = db.client().await;
    let blocker = client.transaction().await.unwrap();
    blocker.batch_execute("lock table test_devices in access exclusive mode").await.unwrap();
    let load = database.load_rule_set(&pools[0]);
    let change = async {
        let waiting = "select exists (select from pg_locks where not granted and relation = 'test_devices'::regclass)";
        wait_until("the load waits", async || blocker.query_one(waiting, &[]).await.unwrap().get(0)).await;
        database.create_account("ann", "$argon2id$x", ACTOR).await.unwrap();
        blocker.rollback().await.unwrap();
    };
    let (rules, ()) = tokio::join!(load, change);
    let rules = rules.unwrap();
    assert_eq!((rules.generation(), rules.account("ann")), (generation, None));
    assert_eq!(database.load_rule_set(&pools[0]).await.unwrap().account("ann"), Some("$argon2id$x"));
}

#[tokio::test]
async fn a_pool_that_is_not_there_has_no_rule_set() {
    let missing = TestDb::new().await.database().load_rule_set(&fqdn("none.contoso.com")).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
}

/// Waits for the next wake-up; fails after a while.
async fn woken(wake: &mut watch::Receiver<()>) {
    tokio::time::timeout(Duration::from_secs(30), wake.changed()).await.expect("a wake-up comes").unwrap();
}

#[tokio::test]
async fn a_change_wakes_those_who_listen_also_after_the_connection_was_lost() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    let (sender, mut wake) = watch::channel(());
    let cancel = CancellationToken::new();
    let listening = tokio::spawn({
        let settings = DatabaseSettings { listen_check_interval: Duration::from_millis(50), ..db.settings() };
        let (database, cancel) = (Database::new(&settings).unwrap(), cancel.clone());
        async move { database.listen(sender, cancel).await }
    });
    woken(&mut wake).await; // by the connection itself
    import(&database, &pools, &[update("CX600", "1", 1)]).await;
    woken(&mut wake).await;
    act(&database, only_rule(&database).await.id, RuleAction::Approve).await;
    woken(&mut wake).await;
    let lose = "
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    db.execute(lose).await;
    woken(&mut wake).await; // by the new connection
    database.create_account("ann", "$argon2id$x", ACTOR).await.unwrap();
    woken(&mut wake).await;
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(30), listening).await.expect("it ends when told to").unwrap();
}

#[tokio::test]
async fn more_than_a_node_can_answer_from_is_refused_when_it_is_added() {
    let db = TestDb::new().await;
    let database = db.database();
    let one = with_pool(&database).await;
    database.create_pool(&Pool { site: "Lisbon".parse().unwrap(), ..pool("two") }, ACTOR).await.unwrap();
    // 200,000 is the limit of both.
    db.execute(
        "insert into accounts (name, password_hash) select 'a' || n, '$argon2id$x' from generate_series(1, 200000) n",
    )
    .await;
    db.execute(
        "insert into test_devices (site_id, name, identifier_type, identifier)
        select case when n > 100000 then (select id from sites where name = 'Redmond') end,
            'd' || n, 'MACAddress', upper(lpad(to_hex(n), 12, '0'))
        from generate_series(1, 200000) n",
    )
    .await;
    let refused = |result: Result<(), StoreError>, what: &str| {
        let error = result.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(text) if text.contains(what)), "{error}");
    };
    refused(database.create_account("ann", "$argon2id$x", ACTOR).await, "there may be 200000 accounts at most");
    let device =
        |identity| test_device(identity, TestIdentifier::MacAddress(MacAddress::parse("0021630F207B").unwrap()));
    for identity in ["site:Redmond/new", "global/new"] {
        refused(database.create_test_device(&device(identity), ACTOR).await, "there may be 200000 test devices");
    }
    // What another site's nodes alone know does not count here, nor for them.
    database.create_test_device(&device("site:Lisbon/new"), ACTOR).await.unwrap();
    database.load_rule_set(&one).await.unwrap();
}
