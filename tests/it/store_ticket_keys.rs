//! The pool's keys for session tickets: made once by whoever is first, used after a notice, accepted for two more keys.

use crate::store_facts::{ACTOR, fqdn, pool as pool_of, with_pool};
use schema::store::{Database, TicketKey, TicketKeySchedule};
use schema::topology::PoolFqdn;
use std::time::Duration;
use tests::database::TestDb;

const SCHEDULE: TicketKeySchedule =
    TicketKeySchedule { rotate_after: Duration::from_secs(12 * 60 * 60), notice: Duration::from_secs(90) };

async fn look(database: &Database, pool: &PoolFqdn) -> Vec<TicketKey> {
    database.ticket_keys(pool, &SCHEDULE).await.unwrap()
}

/// Lets time pass for the keys.
async fn age(db: &TestDb, seconds: u32) {
    let shifted = |column: &str| format!("{column} = {column} - interval '{seconds} seconds'");
    db.execute(&format!("update ticket_keys set {}, {}", shifted("made_at"), shifted("used_from"))).await;
}

fn encrypting(keys: &[TicketKey]) -> &TicketKey {
    let mut found = keys.iter().filter(|key| key.encrypts);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "{keys:?}");
    one
}

#[tokio::test]
async fn nodes_that_make_a_key_at_once_end_with_one() {
    let db = TestDb::new().await;
    let (one, two, three) = (db.database(), db.database(), db.database());
    let pool = with_pool(&one).await;
    for expected in [1, 2] {
        let (a, b, c) = tokio::join!(look(&one, &pool), look(&two, &pool), look(&three, &pool));
        assert!(a == b && b == c && a.len() == expected, "{a:?} {b:?} {c:?}");
        encrypting(&a);
        age(&db, 12 * 60 * 60).await;
    }
}

#[tokio::test]
async fn a_key_is_accepted_before_it_encrypts_and_for_two_more_keys() {
    let db = TestDb::new().await;
    let database = db.database();
    let pool = with_pool(&database).await;
    let first = encrypting(&look(&database, &pool).await).clone();
    age(&db, 12 * 60 * 60 - 60).await;
    assert_eq!(look(&database, &pool).await, std::slice::from_ref(&first));
    for round in 1..=5 {
        let before = encrypting(&look(&database, &pool).await).clone();
        age(&db, 12 * 60 * 60).await;
        let keys = look(&database, &pool).await;
        assert_eq!(encrypting(&keys), &before, "the new key waits");
        assert!(keys[1] == before && keys.len() == (round + 1).min(4), "{keys:?}");
        age(&db, 89).await;
        assert_eq!(encrypting(&look(&database, &pool).await), &before);
        age(&db, 2).await;
        let keys = look(&database, &pool).await;
        assert!(keys[0].encrypts && keys[0].name == keys_before(&keys, &before), "{keys:?}");
        assert_eq!(keys.iter().any(|key| key.name == first.name), round <= 2, "{round}");
    }
}

/// The name of the key before which `before` comes.
fn keys_before(keys: &[TicketKey], before: &TicketKey) -> [u8; 16] {
    let place = keys.iter().position(|key| key.name == before.name).unwrap();
    keys[place - 1].name
}

#[tokio::test]
async fn each_pool_has_keys_of_its_own_which_no_statement_holds() {
    let db = TestDb::new().await;
    let database = db.database();
    let pool = with_pool(&database).await;
    database.create_pool(&pool_of("two"), ACTOR).await.unwrap();
    let other = fqdn("two.contoso.com");
    let (ours, theirs) = (look(&database, &pool).await, look(&database, &other).await);
    assert_ne!(ours[0].secret, theirs[0].secret);
    assert_eq!(look(&database, &pool).await, ours);
    let hex: String = ours[0].secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let sent = db.statements();
    assert!(sent.iter().any(|statement| statement.contains("insert into ticket_keys")));
    assert!(sent.iter().all(|statement| !statement.to_lowercase().contains(&hex)));
}
