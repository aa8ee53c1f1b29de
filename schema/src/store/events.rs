//! Admin events: who did what to what, chained by hashes. Written only as a part of a change's own transaction.

use super::transaction::{Isolation, Transaction};
use super::{Database, StoreError, budget, within};
use futures_util::{TryStreamExt, pin_mut};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use tokio_postgres::Row;

/// What is said of one change; the rest of an [`AdminEvent`] comes from the transaction.
pub(super) struct Event {
    /// `approve`, `import`, ...
    pub action: &'static str,
    pub object: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Who did what to what.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminEvent {
    /// Counts up from 1, without gaps.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done: `approve`, `import`, ...
    pub action: String,
    /// To what.
    pub object: String,
    /// How it was; none when it was not there.
    pub before: Option<Value>,
    /// How it is now; none when it is gone.
    pub after: Option<Value>,
}

/// Whether the chain of admin events is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainVerdict {
    /// Every event fits the one before it.
    Whole {
        /// How many events there are.
        events: u64,
    },
    /// The chain is broken.
    Broken {
        /// Events before the break, all whole.
        events: u64,
        /// The number of the first event that is missing, changed or does not fit the one before it.
        at: i64,
    },
}

/// Locks the head of the chain: from here to the commit, changes are in one order.
const HEAD: &str = "
    select last_event, last_event_hash, clock_timestamp() as now
    from generation
    for update";

const WRITE: &str = "
    insert into admin_events (number, at, actor, action, object, before, after, hash)
    select event.number, $2, $3, event.action, event.object, event.before, event.after, event.hash
    from unnest($1::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::bytea[])
        as event (number, action, object, before, after, hash)";

const ANNOUNCE: &str = "
    with changed as (
        update generation
        set value = value + 1, last_event = $1, last_event_hash = $2
        returning value
    )
    select pg_notify($3, value::text)
    from changed";

/// Writes the events, counts the change and announces it. To be the last step of a transaction, because all other
/// changes wait from here on.
pub(super) async fn write(transaction: &Transaction, actor: &str, events: &[Event]) -> Result<(), StoreError> {
    let head = transaction.query_one(HEAD, &[]).await?;
    let (mut number, at): (i64, Timestamp) = (head.try_get("last_event")?, head.try_get("now")?);
    let mut hash: Vec<u8> = head.try_get("last_event_hash")?;
    let mut hashes = Vec::new();
    let mut numbers = Vec::new();
    for Event { action, object, before, after } in events {
        number += 1;
        let event = AdminEvent {
            number,
            at,
            actor: actor.to_owned(),
            action: (*action).to_owned(),
            object: object.clone(),
            before: before.clone(),
            after: after.clone(),
        };
        hash = event.hash(&hash);
        hashes.push(hash.clone());
        numbers.push(number);
    }
    let actions: Vec<&str> = events.iter().map(|event| event.action).collect();
    let objects: Vec<&str> = events.iter().map(|event| event.object.as_str()).collect();
    let before: Vec<&Option<Value>> = events.iter().map(|event| &event.before).collect();
    let after: Vec<&Option<Value>> = events.iter().map(|event| &event.after).collect();
    transaction.execute(WRITE, &[&numbers, &at, &actor, &actions, &objects, &before, &after, &hashes]).await?;
    transaction.execute(ANNOUNCE, &[&number, &hash, &super::CHANNEL]).await?;
    Ok(())
}

const LIST: &str = "
    select number, at, actor, action, object, before, after
    from admin_events
    where $1::bigint is null or number < $1
    order by number desc
    limit $2";

const CHAIN_HEAD: &str = "
    select last_event, last_event_hash
    from generation";

const CHAIN: &str = "
    select number, at, actor, action, object, before, after, hash
    from admin_events
    order by number";

impl Database {
    /// The newest admin events, newest first; those before the number `before` when it is given.
    pub async fn admin_events(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEvent>, StoreError> {
        self.within("admin events", async {
            let rows = self.client().await?.query(LIST, &[&before, &i64::from(limit)]).await?;
            rows.iter().map(AdminEvent::of).collect()
        })
        .await
    }

    /// Checks the chain of all admin events, streaming: each step, not the whole, has the limit of an operation. The budget
    /// of a request ends with the first answer.
    pub async fn verify_chain(&self) -> Result<ChainVerdict, StoreError> {
        let what = "checking admin events";
        let (transaction, head) = self
            .within(what, async {
                let transaction = Transaction::begin(self, Isolation::Snapshot).await?;
                transaction.batch_execute("set local statement_timeout = 0").await?;
                let head = transaction.query_one(CHAIN_HEAD, &[]).await?;
                Ok((transaction, head))
            })
            .await?;
        budget::end_budget();
        let (last, last_hash): (i64, Vec<u8>) = (head.try_get("last_event")?, head.try_get("last_event_hash")?);
        let parameters: [i32; 0] = [];
        let rows = self.within(what, async { Ok(transaction.query_raw(CHAIN, parameters).await?) }).await?;
        pin_mut!(rows);
        let (mut number, mut hash) = (0, vec![0; 32]);
        let verdict = |number: i64, whole: bool| {
            let events = number.unsigned_abs();
            if whole { ChainVerdict::Whole { events } } else { ChainVerdict::Broken { events, at: number + 1 } }
        };
        while let Some(row) =
            within(self.settings.operation_timeout, what, async { Ok(rows.try_next().await?) }).await?
        {
            let event = AdminEvent::of(&row)?;
            let next = event.hash(&hash);
            if event.number != number + 1 || row.try_get::<_, &[u8]>("hash")? != next {
                return Ok(verdict(number, false));
            }
            (number, hash) = (event.number, next);
        }
        Ok(verdict(number, number == last && hash == last_hash))
    }
}

impl AdminEvent {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.try_get("number")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            before: row.try_get("before")?,
            after: row.try_get("after")?,
        })
    }

    /// SHA-256 over the hash of the event before and every field, each with its length, so that no two events are the
    /// same bytes. Times in microseconds since 1970, as PostgreSQL keeps them.
    fn hash(&self, previous: &[u8]) -> Vec<u8> {
        let value = |value: &Option<Value>| value.as_ref().map(canonical);
        let fields = [
            Some(self.number.to_string()),
            Some(self.at.as_microsecond().to_string()),
            Some(self.actor.clone()),
            Some(self.action.clone()),
            Some(self.object.clone()),
            value(&self.before),
            value(&self.after),
        ];
        let mut hasher = Sha256::new_with_prefix(previous);
        for field in &fields {
            let length = field.as_ref().map_or("-".to_owned(), |field| field.len().to_string());
            hasher.update(length);
            hasher.update(":");
            hasher.update(field.as_deref().unwrap_or_default());
        }
        hasher.finalize().to_vec()
    }
}

/// JSON in one form: keys sorted, no white space. PostgreSQL keeps no order of keys.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    let mut comma = "";
    match value {
        Value::Array(items) => {
            text.push('[');
            for item in items {
                text.push_str(std::mem::replace(&mut comma, ","));
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in fields {
                text.push_str(std::mem::replace(&mut comma, ","));
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                write_canonical(value, text);
            }
            text.push('}');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event() -> AdminEvent {
        AdminEvent {
            number: 7,
            at: Timestamp::UNIX_EPOCH,
            actor: "ann".to_owned(),
            action: "approve".to_owned(),
            object: "rule".to_owned(),
            before: None,
            after: Some(json!({"b": [1, {"d": null, "c": "\"é\""}], "a": true})),
        }
    }

    #[test]
    fn json_has_one_form() {
        assert_eq!(canonical(&event().after.unwrap()), r#"{"a":true,"b":[1,{"c":"\"é\"","d":null}]}"#);
    }

    #[test]
    fn every_field_and_the_event_before_change_the_hash() {
        let hash = event().hash(&[0; 32]);
        let changed = [
            AdminEvent { number: 8, ..event() },
            AdminEvent { at: Timestamp::from_microsecond(1).unwrap(), ..event() },
            AdminEvent { actor: "anna".to_owned(), ..event() },
            AdminEvent { action: "approv".to_owned(), object: "erule".to_owned(), ..event() },
            AdminEvent { before: event().after, after: None, ..event() },
            AdminEvent { before: Some(Value::Null), ..event() },
            AdminEvent { after: Some(json!({})), ..event() },
        ];
        assert!(changed.iter().all(|changed| changed.hash(&[0; 32]) != hash));
        assert_ne!(event().hash(&[1; 32]), hash);
        assert_eq!(event().hash(&[0; 32]), hash);
    }
}
