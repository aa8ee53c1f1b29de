//! The pool's keys for TLS session tickets: made and told by the server, whose clock alone counts, so that all nodes agree on
//! which of them encrypts (decision 0025). The secrets are made there too: no statement that a server may log holds one.

use super::{Database, StoreError};
use crate::topology::PoolFqdn;
use std::fmt;
use std::time::Duration;

/// Keys whose tickets are accepted besides the one that encrypts: so many of those before it.
const PREVIOUS: i64 = 2;

/// When keys are made.
#[derive(Debug, Clone, Copy)]
pub struct TicketKeySchedule {
    /// How long after the newest key the next one is made.
    pub rotate_after: Duration,
    /// How long a new key is accepted before it encrypts: longer than any node takes to look again.
    pub notice: Duration,
}

/// A key for session tickets.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// Stands in each ticket.
    pub name: [u8; 16],
    /// Encrypts it.
    pub secret: [u8; 32],
    /// Whether it is the one that encrypts now; all others only decrypt.
    pub encrypts: bool,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("encrypts", &self.encrypts).finish_non_exhaustive()
    }
}

const KEYS: &str = "
    select key.name, key.secret, key.used_from <= now() as is_used,
        key.made_at <= now() - $2::bigint * interval '1 millisecond' as is_old
    from ticket_keys key
    join pools pool on pool.id = key.pool_id
    where pool.fqdn = $1
    order by key.number desc";

/// Of two nodes that make the next key at once, one does: both count the same number. The first key of a pool is used at
/// once, because there is no other. A random UUID has 122 random bits.
const MAKE: &str = "
    insert into ticket_keys (pool_id, number, name, secret, used_from)
    select pool.id, coalesce(max(key.number), 0) + 1, uuid_send(gen_random_uuid()),
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
        case count(key.number) when 0 then now() else now() + $3::bigint * interval '1 millisecond' end
    from pools pool
    left join ticket_keys key on key.pool_id = pool.id
    where pool.fqdn = $1
    group by pool.id
    having coalesce(max(key.made_at) <= now() - $2::bigint * interval '1 millisecond', true)
    on conflict do nothing";

const FORGET: &str = "
    delete from ticket_keys key
    using pools pool
    where pool.id = key.pool_id
        and pool.fqdn = $1
        and key.number + $2 < (
            select max(used.number)
            from ticket_keys used
            where used.pool_id = key.pool_id and used.used_from <= now())";

impl Database {
    /// The keys whose tickets the nodes of a pool accept; one of them encrypts. Makes the next key when it is time, and
    /// forgets those that are accepted no more.
    pub async fn ticket_keys(
        &self,
        pool: &PoolFqdn,
        schedule: &TicketKeySchedule,
    ) -> Result<Vec<TicketKey>, StoreError> {
        self.within("keys for session tickets", async {
            let client = self.client().await?;
            let (pool, old, notice) = (pool.as_str(), ms(schedule.rotate_after), ms(schedule.notice));
            let mut rows = client.query(KEYS, &[&pool, &old]).await?;
            let newest_is_old = rows.first().map(|row| row.try_get("is_old")).transpose()?.unwrap_or(true);
            if newest_is_old && client.execute(MAKE, &[&pool, &old, &notice]).await? > 0 {
                tracing::info!("a new key for session tickets was made");
            }
            let forgotten = client.execute(FORGET, &[&pool, &PREVIOUS]).await?;
            if newest_is_old || forgotten > 0 {
                rows = client.query(KEYS, &[&pool, &old]).await?;
            }
            keys(&rows)
        })
        .await
    }
}

/// Newest first; the newest of those whose time has come encrypts.
fn keys(rows: &[tokio_postgres::Row]) -> Result<Vec<TicketKey>, StoreError> {
    let mut keys = Vec::new();
    let mut found = false;
    for row in rows {
        let encrypts = !found && row.try_get("is_used")?;
        found |= encrypts;
        let name = row.try_get::<_, &[u8]>("name")?.try_into().map_err(StoreError::corrupt)?;
        let secret = row.try_get::<_, &[u8]>("secret")?.try_into().map_err(StoreError::corrupt)?;
        keys.push(TicketKey { name, secret, encrypts });
    }
    Ok(keys)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
