//! Accounts of phones outside. Only hashes are here; making and checking them is the node's.

use super::events::Event;
use super::transaction::Change;
use super::{Database, StoreError, snapshot};
use crate::rule_set::LIMITS;
use jiff::Timestamp;
use serde_json::json;

/// An account of phones outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, in the case it was made in.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

const LIST: &str = "
    select name, created_at
    from accounts
    order by folded(name)";

const ADD: &str = "
    insert into accounts (name, password_hash)
    values ($1, $2)
    on conflict do nothing";

const COUNT: &str = "
    select count(*)
    from accounts";

const SET: &str = "
    update accounts
    set password_hash = $2
    where folded(name) = folded($1)";

const REMOVE: &str = "
    delete from accounts
    where folded(name) = folded($1)";

impl Database {
    /// Makes an account for phones outside, with the argon2 hash (PHC form) of its password. Names have 1 to 256
    /// characters, none of them a control character or `:`, which ends the name in HTTP's Basic authentication.
    pub async fn create_account(&self, name: &str, password_hash: &str, actor: &str) -> Result<(), StoreError> {
        self.within("making an account", async {
            let name = account_name(name)?;
            let mut change = Change::begin(self, actor).await?;
            if change.execute(ADD, &[&name, &password_hash]).await? == 0 {
                change.roll_back().await?;
                return Err(StoreError::AlreadyExists(words(name)));
            }
            let count: i64 = change.query_one(COUNT, &[]).await?.try_get(0)?;
            snapshot::check_room(count, LIMITS.accounts, "accounts")?;
            change.record(Event { action: "create", object: words(name), before: None, after: Some(json!({})) });
            change.commit().await
        })
        .await
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.within("accounts", async {
            let rows = self.client().await?.query(LIST, &[]).await?;
            let account = |row: &tokio_postgres::Row| {
                Ok(Account { name: row.try_get("name")?, created_at: row.try_get("created_at")? })
            };
            rows.iter().map(account).collect()
        })
        .await
    }

    /// Sets an account's password hash.
    pub async fn set_account_password(&self, name: &str, password_hash: &str, actor: &str) -> Result<(), StoreError> {
        self.within("setting a password", async {
            let mut change = Change::begin(self, actor).await?;
            if change.execute(SET, &[&name, &password_hash]).await? == 0 {
                change.roll_back().await?;
                return Err(StoreError::NotFound(words(name)));
            }
            let (before, after) = (Some(json!({})), Some(json!({ "password": "set" })));
            change.record(Event { action: "set", object: words(name), before, after });
            change.commit().await
        })
        .await
    }

    /// Removes an account.
    pub async fn remove_account(&self, name: &str, actor: &str) -> Result<(), StoreError> {
        self.within("removing an account", async {
            let mut change = Change::begin(self, actor).await?;
            if change.execute(REMOVE, &[&name]).await? == 0 {
                change.roll_back().await?;
                return Err(StoreError::NotFound(words(name)));
            }
            change.record(Event { action: "remove", object: words(name), before: Some(json!({})), after: None });
            change.commit().await
        })
        .await
    }
}

fn account_name(name: &str) -> Result<&str, StoreError> {
    let fits = (1..=256).contains(&name.chars().count()) && name.trim() == name;
    if fits && !name.chars().any(|c| c.is_control() || c == ':') {
        return Ok(name);
    }
    let text = "an account's name has 1 to 256 characters without ':' or control characters, such as ann@contoso.com";
    Err(StoreError::Refused(text.to_owned()))
}

fn words(name: &str) -> String {
    format!("account {name}")
}
