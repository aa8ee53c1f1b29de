//! Test devices, the configuration, stepping stones, accounts, tokens and the topology in the store.

use crate::store_facts::{ACTOR, fqdn, name, pool, version, with_pool};
use jiff::{Timestamp, civil::time};
use schema::package::Digest;
use schema::rule_set::SteppingStone;
use schema::settings::DeviceUpdateConfiguration;
use schema::store::{Database, StoreError};
use schema::test_device::{Scope, TestDevice, TestIdentifier};
use schema::topology::{Pool, PoolUrls, SiteName};
use std::time::Duration;
use tests::database::TestDb;

fn device(identity: &str, serial: &str) -> TestDevice {
    TestDevice {
        identity: identity.parse().unwrap(),
        identifier: TestIdentifier::parse("SerialNumber", serial).unwrap(),
    }
}

fn site(text: &str) -> SiteName {
    text.parse().unwrap()
}

async fn identities(database: &Database) -> Vec<String> {
    database.test_devices().await.unwrap().iter().map(|device| device.identity.to_string()).collect()
}

#[tokio::test]
async fn a_test_devices_name_is_unique_in_its_scope() {
    let database = TestDb::new().await.database();
    with_pool(&database).await;
    for identity in ["site:Redmond/Lab", "global/Lab", "global/Büro"] {
        database.create_test_device(&device(identity, "1"), ACTOR).await.unwrap();
    }
    for identity in ["global/LAB", "site:redmond/lab", "global/BÜRO"] {
        let again = database.create_test_device(&device(identity, "2"), ACTOR).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{identity}: {again:?}");
    }
    let nowhere = database.create_test_device(&device("site:Atlantis/Lab", "1"), ACTOR).await;
    assert_eq!(
        nowhere.unwrap_err().to_string(),
        "site Atlantis, which no pool is in (see `ucupdates pool list`), does not exist"
    );
    assert_eq!(identities(&database).await, ["global/Büro", "global/Lab", "site:Redmond/Lab"]);
}

#[tokio::test]
async fn test_devices_are_read_changed_and_removed() {
    let database = TestDb::new().await.database();
    with_pool(&database).await;
    for identity in ["global/a", "global/b", "site:Redmond/a", "site:Redmond/b"] {
        database.create_test_device(&device(identity, "1"), ACTOR).await.unwrap();
    }
    let changed = TestDevice {
        identifier: TestIdentifier::parse("MACAddress", "00-21-63-0f-20-7b").unwrap(),
        ..device("site:Redmond/A", "1")
    };
    database.set_test_device(&changed.identity, &changed.identifier, ACTOR).await.unwrap();
    assert_eq!(database.test_device(&changed.identity).await.unwrap(), changed);
    assert_eq!(database.test_devices_of(&Scope::Site(site("redmond"))).await.unwrap().len(), 2);
    assert_eq!(
        database.test_devices_of(&Scope::Global).await.unwrap(),
        [device("global/a", "1"), device("global/b", "1")]
    );
    let generation = database.mark().await.unwrap().generation;
    database.set_test_device(&changed.identity, &changed.identifier, ACTOR).await.unwrap();
    assert_eq!(database.mark().await.unwrap().generation, generation, "what is so already changes nothing");

    database.remove_test_device(&"global/B".parse().unwrap(), ACTOR).await.unwrap();
    let missing = "global/b".parse().unwrap();
    assert!(matches!(database.remove_test_device(&missing, ACTOR).await, Err(StoreError::NotFound(_))));
    assert!(matches!(database.test_device(&missing).await, Err(StoreError::NotFound(_))));
    let set = database.set_test_device(&missing, &changed.identifier, ACTOR).await;
    assert!(matches!(set, Err(StoreError::NotFound(_))));
    let removed = database.remove_test_devices(&Scope::Site(site("Redmond")), ACTOR).await.unwrap();
    assert_eq!(removed.len(), 2);
    assert_eq!(identities(&database).await, ["global/a"]);
    assert_eq!(database.remove_test_devices(&Scope::Global, ACTOR).await.unwrap().len(), 1);
    assert_eq!(database.remove_test_devices(&Scope::Global, ACTOR).await.unwrap(), []);
}

#[tokio::test]
async fn a_sites_configuration_wins_over_the_global_one() {
    let database = TestDb::new().await.database();
    let pool = with_pool(&database).await;
    let effective = async || database.load_rule_set(&pool).await.unwrap().configuration().clone();
    let (redmond, defaults) = (site("Redmond"), DeviceUpdateConfiguration::default());
    let scope = Scope::Site(redmond.clone());
    assert_eq!(database.configurations().await.unwrap(), [(Scope::Global, defaults.clone())]);
    assert_eq!(effective().await, defaults);

    let global = DeviceUpdateConfiguration {
        log_clean_up_time_of_day: Some(time(3, 30, 0, 0)),
        log_flush_interval: Duration::from_secs(60),
        ..defaults.clone()
    };
    database.set_configuration(&Scope::Global, &global, ACTOR).await.unwrap();
    assert_eq!(effective().await, global);
    let missing = database.set_configuration(&scope, &global, ACTOR).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "a site has none before New");

    let own = DeviceUpdateConfiguration { valid_log_file_types: vec!["Watson".to_owned()], ..defaults.clone() };
    database.create_configuration(&redmond, &own, ACTOR).await.unwrap();
    let again = database.create_configuration(&site("REDMOND"), &own, ACTOR).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    assert_eq!(effective().await, own);
    assert_eq!(database.configurations().await.unwrap(), [(Scope::Global, global.clone()), (scope.clone(), own)]);

    database.remove_configuration(&scope, ACTOR).await.unwrap();
    assert!(matches!(database.remove_configuration(&scope, ACTOR).await, Err(StoreError::NotFound(_))));
    assert_eq!(effective().await, global);
    database.remove_configuration(&Scope::Global, ACTOR).await.unwrap();
    assert_eq!(database.configurations().await.unwrap(), [(Scope::Global, defaults.clone())], "reset, not deleted");
    let absurd = DeviceUpdateConfiguration { log_clean_up_interval: Duration::ZERO, ..defaults };
    let refused = database.set_configuration(&Scope::Global, &absurd, ACTOR).await;
    assert_eq!(refused.unwrap_err().to_string(), "LogCleanUpInterval must be 1 to 365 days");
}

#[tokio::test]
async fn stepping_stones_are_seeded_added_and_removed() {
    let database = TestDb::new().await.database();
    let original = SteppingStone::of_the_original();
    assert_eq!(database.stepping_stones().await.unwrap(), std::slice::from_ref(&original));
    let own = SteppingStone {
        brand: Some(name("Polycom")),
        below: version("4"),
        via: version("4.0.7577.4100"),
        ..original.clone()
    };
    database.add_stepping_stone(&own, ACTOR).await.unwrap();
    assert_eq!(database.stepping_stones().await.unwrap(), [original.clone(), own.clone()]);
    let again = SteppingStone { brand: Some(name("POLYCOM")), ..own.clone() };
    assert!(matches!(database.add_stepping_stone(&again, ACTOR).await, Err(StoreError::AlreadyExists(_))));
    let endless = SteppingStone { via: version("3"), ..own };
    let refused = database.add_stepping_stone(&endless, ACTOR).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(text) if text.ends_with("take it for ever")), "{refused}");
    database.remove_stepping_stone(&again, ACTOR).await.unwrap();
    assert!(matches!(database.remove_stepping_stone(&again, ACTOR).await, Err(StoreError::NotFound(_))));
    assert_eq!(database.stepping_stones().await.unwrap(), [original]);
}

#[tokio::test]
async fn accounts_are_unique_without_case_and_hold_hashes_only() {
    let database = TestDb::new().await.database();
    let hash = "$argon2id$v=19$x";
    database.create_account("Zoë@contoso.com", hash, ACTOR).await.unwrap();
    let again = database.create_account("ZOË@contoso.com", hash, ACTOR).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    for wrong in ["", " ann", "a:b", "a\nb", &"a".repeat(257)] {
        assert!(matches!(database.create_account(wrong, hash, ACTOR).await, Err(StoreError::Refused(_))), "{wrong:?}");
    }
    database.set_account_password("zoë@contoso.com", "$argon2id$v=19$y", ACTOR).await.unwrap();
    let names: Vec<String> = database.accounts().await.unwrap().into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["Zoë@contoso.com"]);
    database.remove_account("zoë@contoso.com", ACTOR).await.unwrap();
    assert!(matches!(database.remove_account("zoë@contoso.com", ACTOR).await, Err(StoreError::NotFound(_))));
    assert!(matches!(database.set_account_password("x", hash, ACTOR).await, Err(StoreError::NotFound(_))));
    let events = database.admin_events(None, 10).await.unwrap();
    assert!(!format!("{events:?}").contains("argon2"), "no secret stands in an event");
}

#[tokio::test]
async fn a_token_acts_as_its_administrator_until_it_is_revoked_or_expires() {
    let database = TestDb::new().await.database();
    let [good, expired, later, unknown] = [1, 2, 3, 4].map(|byte| Digest::new([byte; 32]));
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    database.create_token("Ann", "laptop", &good, None, "setup").await.unwrap();
    database.create_token("ann", "old", &expired, at("2001-01-01T00:00:00Z"), ACTOR).await.unwrap();
    database.create_token("ann", "new", &later, at("2999-01-01T00:00:00Z"), ACTOR).await.unwrap();
    let who = async |digest: &Digest| database.authenticate(digest).await.unwrap();
    assert_eq!(who(&good).await.as_deref(), Some("Ann"));
    assert_eq!(who(&later).await.as_deref(), Some("Ann"));
    assert_eq!([who(&expired).await, who(&unknown).await], [None, None]);
    for (token, digest) in [("LAPTOP", &unknown), ("copy", &good)] {
        let again = database.create_token("ann", token, digest, None, ACTOR).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    }
    database.revoke_token("ANN", "Laptop", ACTOR).await.unwrap();
    assert_eq!(who(&good).await, None);
    assert!(matches!(database.revoke_token("ann", "laptop", ACTOR).await, Err(StoreError::NotFound(_))));
    let tokens = database.tokens().await.unwrap();
    let shown: Vec<_> = tokens.iter().map(|token| (token.name.as_str(), token.revoked_at.is_some())).collect();
    assert_eq!(shown, [("laptop", true), ("new", false), ("old", false)]);
}

#[tokio::test]
async fn a_node_makes_its_pool_and_keeps_what_administrators_set() {
    let db = TestDb::new().await;
    let database = db.database();
    let url = |text: &str| Some(format!("https://{text}.contoso.com/x").parse().unwrap());
    let own = Pool {
        urls: PoolUrls { internal_files: url("own"), external_files: url("own"), ..PoolUrls::default() },
        ..pool("one")
    };
    assert_eq!(database.ensure_pool(&pool("one")).await.unwrap(), pool("one"));
    let set = PoolUrls { internal_files: url("set"), ..PoolUrls::default() };
    database.set_pool_urls(&own.fqdn, &set, ACTOR).await.unwrap();
    let stored = database.ensure_pool(&own).await.unwrap();
    assert_eq!(stored.urls, PoolUrls { internal_files: url("set"), ..own.urls.clone() });
    let generation = database.mark().await.unwrap().generation;
    assert_eq!(database.ensure_pool(&own).await.unwrap(), stored);
    assert_eq!(database.mark().await.unwrap().generation, generation, "a second node changes nothing");
    assert_eq!(database.pools().await.unwrap(), [stored]);

    let (one, two) = (pool("two"), pool("two"));
    let (one, two) = tokio::join!(database.ensure_pool(&one), database.ensure_pool(&two));
    assert_eq!(one.unwrap(), two.unwrap(), "nodes that start together");
    assert!(matches!(database.create_pool(&pool("two"), ACTOR).await, Err(StoreError::AlreadyExists(_))));
    let clash = Pool { service_id: "ONE-WebServices-1".parse().unwrap(), ..pool("three") };
    for refused in [database.create_pool(&clash, ACTOR).await, database.ensure_pool(&clash).await.map(|_| ())] {
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }
    let sites = db.client().await.query("select name from sites", &[]).await.unwrap();
    assert_eq!(sites.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>(), ["Redmond"]);
    let missing = database.set_pool_urls(&fqdn("none.contoso.com"), &set, ACTOR).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}
