//! How the nodes' replicas stand, as they told.

use super::rows::parsed;
use super::{Database, StoreError};
use crate::replica::{Amount, Failed, Fetching, ReplicaState};
use crate::topology::{NodeName, PoolFqdn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

/// A node, and how its replica stood when it last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReplica {
    /// Its pool.
    pub pool: PoolFqdn,
    /// Its name.
    pub node: NodeName,
    /// Since when it is silent, or was told to stop; none of a node that lives.
    pub silent_since: Option<Timestamp>,
    /// Its replica; none before it told.
    pub told: Option<ToldReplica>,
}

/// What a node told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldReplica {
    /// How the replica stood. Whether it is ready is for the node alone to say.
    pub state: ReplicaState,
    /// When the Central Management store last confirmed the node's rules.
    pub confirmed_at: Option<Timestamp>,
    /// When it told.
    pub reported_at: Timestamp,
}

/// The lists, as they are stored.
#[derive(Debug, Serialize, Deserialize)]
struct Detail {
    fetching: Vec<FetchingRow>,
    failed: Vec<FailedRow>,
    lacking: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FetchingRow {
    path: String,
    done_bytes: u64,
    size_bytes: u64,
    bytes_per_s: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailedRow {
    path: String,
    reason: String,
    told: String,
    next_try: Option<Timestamp>,
}

const REPORT: &str = "
    insert into replicas
        (pool_id, node, generation, confirmed_at, needed_files, needed_bytes, held_files, held_bytes, settled, failed_files,
        detail)
    select id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
    from pools
    where fqdn = $1
    on conflict (pool_id, folded(node)) do update
    set generation = excluded.generation, confirmed_at = excluded.confirmed_at, needed_files = excluded.needed_files,
        needed_bytes = excluded.needed_bytes, held_files = excluded.held_files, held_bytes = excluded.held_bytes,
        settled = excluded.settled, failed_files = excluded.failed_files, detail = excluded.detail, reported_at = now()";

const REPLICAS: &str = "
    select pool.fqdn, node.name, node.heartbeat_at, replica.*,
        node.state <> 'serving' or now() - node.heartbeat_at > node.silent_after_ms * interval '1 millisecond' as silent
    from nodes node
    join pools pool on pool.id = node.pool_id
    left join replicas replica on replica.pool_id = node.pool_id and folded(replica.node) = folded(node.name)
    order by pool.fqdn, folded(node.name)";

impl Database {
    /// A node tells how its replica stands.
    pub async fn report_replica(
        &self,
        (pool, node): (&PoolFqdn, &NodeName),
        state: &ReplicaState,
        confirmed_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (needed, held) = (state.needed, state.held);
        let numbers = [needed.files, needed.bytes, held.files, held.bytes, state.failed_files].map(count);
        let [needed_files, needed_bytes, held_files, held_bytes, failed_files] = numbers;
        let detail = Json(detail(state));
        self.within("reporting the replica", async {
            let client = self.client().await?;
            let (pool, node) = (pool.as_str(), node.as_str());
            client
                .execute(
                    REPORT,
                    &[
                        &pool,
                        &node,
                        &state.generation,
                        &confirmed_at,
                        &needed_files,
                        &needed_bytes,
                        &held_files,
                        &held_bytes,
                        &state.settled,
                        &failed_files,
                        &detail,
                    ],
                )
                .await?;
            Ok(())
        })
        .await
    }

    /// Every node, by pool and name, and how its replica stood when it last told.
    pub async fn replicas(&self) -> Result<Vec<NodeReplica>, StoreError> {
        self.within("replicas", async {
            let rows = self.client().await?.query(REPLICAS, &[]).await?;
            rows.iter().map(node_replica).collect()
        })
        .await
    }
}

fn detail(state: &ReplicaState) -> Detail {
    let fetching = state.fetching.iter().map(|fetching| FetchingRow {
        path: fetching.path.clone(),
        done_bytes: fetching.done_bytes,
        size_bytes: fetching.size_bytes,
        bytes_per_s: fetching.bytes_per_s,
    });
    let failed = state.failed.iter().map(|failed| FailedRow {
        path: failed.path.clone(),
        reason: failed.reason.clone(),
        told: failed.told.clone(),
        next_try: failed.next_try,
    });
    Detail { fetching: fetching.collect(), failed: failed.collect(), lacking: state.lacking.clone() }
}

fn node_replica(row: &Row) -> Result<NodeReplica, StoreError> {
    let heartbeat_at = row.try_get("heartbeat_at")?;
    let silent: bool = row.try_get("silent")?;
    let reported_at: Option<Timestamp> = row.try_get("reported_at")?;
    Ok(NodeReplica {
        pool: parsed(row, "fqdn")?,
        node: parsed(row, "name")?,
        silent_since: silent.then_some(heartbeat_at),
        told: reported_at.map(|reported_at| told(row, reported_at)).transpose()?,
    })
}

fn told(row: &Row, reported_at: Timestamp) -> Result<ToldReplica, StoreError> {
    let count = |column: &str| Ok::<_, StoreError>(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0));
    let Json(detail): Json<Detail> = row.try_get("detail")?;
    let fetching = detail.fetching.into_iter().map(|row| Fetching {
        path: row.path,
        done_bytes: row.done_bytes,
        size_bytes: row.size_bytes,
        bytes_per_s: row.bytes_per_s,
    });
    let failed = detail.failed.into_iter().map(|row| Failed {
        path: row.path,
        reason: row.reason,
        told: row.told,
        next_try: row.next_try,
    });
    let state = ReplicaState {
        generation: row.try_get("generation")?,
        needed: Amount { files: count("needed_files")?, bytes: count("needed_bytes")? },
        held: Amount { files: count("held_files")?, bytes: count("held_bytes")? },
        fetching: fetching.collect(),
        failed: failed.collect(),
        failed_files: count("failed_files")?,
        lacking: detail.lacking,
        settled: row.try_get("settled")?,
        ready: false,
    };
    Ok(ToldReplica { state, confirmed_at: row.try_get("confirmed_at")?, reported_at })
}
