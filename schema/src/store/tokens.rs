//! Administrators and the tokens that their programs identify themselves with. Only digests of secrets are here.

use super::events::Event;
use super::migrations::{asked_with_version, check_version_in};
use super::transaction::Change;
use super::{Database, StoreError};
use crate::package::Digest;
use jiff::Timestamp;
use serde_json::json;

/// A token that an administrator's program identifies itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// The administrator it acts as.
    pub administrator: String,
    /// The token's name, unique for the administrator.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; never when not given.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const ADD_ADMINISTRATOR: &str = "
    insert into administrators (name)
    values ($1)
    on conflict do nothing";

const ADD: &str = "
    insert into api_tokens (administrator_id, name, digest, expires_at)
    select id, $2, $3, $4
    from administrators
    where folded(name) = folded($1)
    on conflict do nothing";

const LIST: &str = "
    select administrator.name as administrator, token.name, token.created_at, token.expires_at, token.revoked_at
    from api_tokens token
    join administrators administrator on administrator.id = token.administrator_id
    order by folded(administrator.name), folded(token.name)";

const REVOKE: &str = "
    update api_tokens token
    set revoked_at = now()
    from administrators administrator
    where administrator.id = token.administrator_id
        and folded(administrator.name) = folded($1)
        and folded(token.name) = folded($2)
        and token.revoked_at is null";

const AUTHENTICATE: &str = "
    select administrator.name,
        (select coalesce(max(version), 0)::bigint from refinery_schema_history) as schema_version,
        (select oldest_program from schema_compatibility) as oldest_program
    from api_tokens token
    join administrators administrator on administrator.id = token.administrator_id
    where token.digest = $1
        and token.revoked_at is null
        and (token.expires_at is null or token.expires_at > now())";

impl Database {
    /// Makes a token of an administrator (who is made if missing) from the SHA-256 of its secret. Names have 1 to 128
    /// characters, none of them a control character.
    pub async fn create_token(
        &self,
        administrator: &str,
        name: &str,
        digest: &Digest,
        expires_at: Option<Timestamp>,
        actor: &str,
    ) -> Result<(), StoreError> {
        self.within("making a token", async {
            let (administrator, name) = (plain_name(administrator)?, plain_name(name)?);
            let mut change = Change::begin(self, actor).await?;
            if change.execute(ADD_ADMINISTRATOR, &[&administrator]).await? > 0 {
                let object = format!("administrator {administrator}");
                change.record(Event { action: "create", object, before: None, after: Some(json!({})) });
            }
            let digest = digest.as_bytes().as_slice();
            if change.execute(ADD, &[&administrator, &name, &digest, &expires_at]).await? == 0 {
                change.roll_back().await?;
                let words = format!("token {name} (a name is taken for good, also when its token is revoked)");
                return Err(StoreError::AlreadyExists(words));
            }
            let after = Some(json!({ "expires_at": expires_at.map(|at| at.to_string()) }));
            change.record(Event { action: "create", object: words(administrator, name), before: None, after });
            change.commit().await
        })
        .await
    }

    /// All tokens, by administrator and name.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.within("tokens", async {
            let rows = self.client().await?.query(LIST, &[]).await?;
            let token = |row: &tokio_postgres::Row| {
                Ok(ApiToken {
                    administrator: row.try_get("administrator")?,
                    name: row.try_get("name")?,
                    created_at: row.try_get("created_at")?,
                    expires_at: row.try_get("expires_at")?,
                    revoked_at: row.try_get("revoked_at")?,
                })
            };
            rows.iter().map(token).collect()
        })
        .await
    }

    /// Revokes a token for good.
    pub async fn revoke_token(&self, administrator: &str, name: &str, actor: &str) -> Result<(), StoreError> {
        self.within("revoking a token", async {
            let mut change = Change::begin(self, actor).await?;
            if change.execute(REVOKE, &[&administrator, &name]).await? == 0 {
                change.roll_back().await?;
                return Err(StoreError::NotFound(format!("a valid {}", words(administrator, name))));
            }
            let (before, after) = (Some(json!({})), Some(json!({ "revoked": true })));
            change.record(Event { action: "revoke", object: words(administrator, name), before, after });
            change.commit().await
        })
        .await
    }

    /// The administrator whose valid token has this digest. Fails with `NewerDatabase` or `OlderDatabase` unless this
    /// program works with the schema.
    pub async fn authenticate(&self, digest: &Digest) -> Result<Option<String>, StoreError> {
        self.within("checking a token", async {
            let client = self.client().await?;
            let asked = client.query_opt(AUTHENTICATE, &[&digest.as_bytes().as_slice()]).await;
            let row = asked_with_version(&client, asked).await?;
            let name = |row: tokio_postgres::Row| {
                check_version_in(&row)?;
                Ok(row.try_get("name")?)
            };
            row.map(name).transpose()
        })
        .await
    }
}

fn plain_name(name: &str) -> Result<&str, StoreError> {
    let fits = (1..=128).contains(&name.chars().count()) && name.trim() == name;
    if fits && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(StoreError::Refused("the name of an administrator or token has 1 to 128 plain characters".to_owned()))
}

fn words(administrator: &str, name: &str) -> String {
    format!("token {name} of {administrator}")
}
