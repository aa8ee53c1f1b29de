//! Nodes: what each reports of itself, whose a name is, and which are gone. Times are the server's.

use super::events::Event;
use super::rows::parsed;
use super::transaction::Change;
use super::{Database, DryRun, StoreError, topology};
use crate::topology::{NodeName, PoolFqdn, SiteName};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedState {
    /// It answers phones.
    Serving,
    /// It was told to stop: balancers shall send phones elsewhere.
    Draining,
    /// It has ended in order.
    Stopped,
}

impl ReportedState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// As it reported, not too long ago.
    Reported(ReportedState),
    /// It has not reported for longer than it wanted to, and did not say that it ends: killed, or cut off.
    Silent,
}

impl NodeState {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported(state) => state.as_str(),
            Self::Silent => "silent",
        }
    }

    /// Whether its process is there, as far as the store can know.
    pub fn lives(self) -> bool {
        matches!(self, Self::Reported(ReportedState::Serving | ReportedState::Draining))
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let states = [ReportedState::Serving, ReportedState::Draining, ReportedState::Stopped].map(Self::Reported);
        let known = states.into_iter().chain([Self::Silent]).find(|state| state.as_str() == text);
        known.ok_or_else(|| StoreError::corrupt(format!("a node's state {text:?}")))
    }
}

/// A node, as it last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its pool.
    pub pool: PoolFqdn,
    /// The site of its pool.
    pub site: SiteName,
    /// Its name.
    pub name: NodeName,
    /// The version of its program.
    pub program_version: String,
    /// How it stands.
    pub state: NodeState,
    /// When it last reported.
    pub heartbeat_at: Timestamp,
    /// How many seconds ago that was, by the server's clock.
    pub heartbeat_age_s: i64,
}

/// Who reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// Its pool.
    pub pool: PoolFqdn,
    /// Its name.
    pub name: NodeName,
    /// The version of its program.
    pub program_version: String,
    /// Its data folder's id: two folders are two nodes.
    pub instance: Uuid,
    /// After so long without a report it is silent.
    pub silent_after: Duration,
}

const NODES: &str = "
    select pool.fqdn, site.name as site, node.name, node.program_version, node.heartbeat_at,
        extract(epoch from now() - node.heartbeat_at)::bigint as heartbeat_age_s,
        case
            when node.state = 'stopped' then node.state
            when node.heartbeat_at < now() - node.silent_after_ms * interval '1 millisecond' then 'silent'
            else node.state
        end as state
    from nodes node
    join pools pool on pool.id = node.pool_id
    join sites site on site.id = pool.site_id
    where $1::text is null or (pool.fqdn = $1 and folded(node.name) = folded($2))
    order by pool.fqdn, folded(node.name)";

/// Takes the name unless another instance that lives has it. A program before there were instances has none.
const REPORT: &str = "
    insert into nodes as node (pool_id, name, program_version, state, instance, silent_after_ms)
    select id, $2, $3, $4, $5, $6
    from pools
    where fqdn = $1
    on conflict (pool_id, folded(name)) do update
    set program_version = excluded.program_version, state = excluded.state, instance = excluded.instance,
        silent_after_ms = excluded.silent_after_ms, heartbeat_at = now()
    where node.instance is null
        or node.instance = excluded.instance
        or node.state = 'stopped'
        or node.heartbeat_at < now() - node.silent_after_ms * interval '1 millisecond'";

const REMOVE: &str = "
    delete from nodes node
    using pools pool
    where pool.id = node.pool_id and pool.fqdn = $1 and folded(node.name) = folded($2)
        and (
            node.state = 'stopped'
            or node.heartbeat_at < now() - node.silent_after_ms * interval '1 millisecond')";

/// What a node told of its replica goes with it.
const FORGET_REPLICA: &str = "
    delete from replicas replica
    using pools pool
    where pool.id = replica.pool_id and pool.fqdn = $1 and folded(replica.node) = folded($2)";

impl Database {
    /// A node reports: it is there, with this program, in this state. The answer is the other node, when one that lives has
    /// its name; then nothing was written.
    pub async fn report_node(&self, from: &Reporter, state: ReportedState) -> Result<Option<Node>, StoreError> {
        self.within("registering the node", async {
            let client = self.client().await?;
            let (pool, name) = (from.pool.as_str(), from.name.as_str());
            let silent_after_ms = i64::try_from(from.silent_after.as_millis()).unwrap_or(i64::MAX).max(1);
            let version = &from.program_version;
            let written = client
                .execute(REPORT, &[&pool, &name, version, &state.as_str(), &from.instance, &silent_after_ms])
                .await?;
            if written > 0 {
                return Ok(None);
            }
            let other = client.query_opt(NODES, &[&Some(pool), &name]).await?;
            other.as_ref().map(node).transpose()?.map(Some).ok_or_else(|| topology::no_pool(&from.pool))
        })
        .await
    }

    /// All nodes, by pool and name.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.within("nodes", async {
            let rows = self.client().await?.query(NODES, &[&None::<&str>, &""]).await?;
            rows.iter().map(node).collect()
        })
        .await
    }

    /// Removes a node that is gone for good: refused while it lives. The answer is the node as it was.
    pub async fn remove_node(
        &self,
        pool: &PoolFqdn,
        name: &NodeName,
        actor: &str,
        dry_run: DryRun,
    ) -> Result<Node, StoreError> {
        self.within("removing a node", async {
            let mut change = Change::begin(self, actor).await?;
            let found = change.query_opt(NODES, &[&Some(pool.as_str()), &name.as_str()]).await?;
            let missing = || StoreError::NotFound(format!("node {name} of pool {pool} (see `ucupdates node list`)"));
            let node = node(&found.ok_or_else(missing)?)?;
            // Asked in the statement: it may have come back meanwhile.
            if node.state.lives() || change.execute(REMOVE, &[&pool.as_str(), &name.as_str()]).await? == 0 {
                change.roll_back().await?;
                let age_s = node.heartbeat_age_s;
                let text = format!("node {name} of pool {pool} lives (it reported {age_s} s ago): stop it first");
                return Err(StoreError::Refused(text));
            }
            change.execute(FORGET_REPLICA, &[&pool.as_str(), &name.as_str()]).await?;
            let before = Some(json!({ "state": node.state.as_str(), "version": node.program_version }));
            change.record(Event {
                action: "remove",
                object: format!("node {name} of pool {pool}"),
                before,
                after: None,
            });
            match dry_run {
                DryRun::Yes => change.roll_back().await?,
                DryRun::No => change.commit().await?,
            }
            Ok(node)
        })
        .await
    }
}

fn node(row: &Row) -> Result<Node, StoreError> {
    Ok(Node {
        pool: parsed(row, "fqdn")?,
        site: parsed(row, "site")?,
        name: parsed(row, "name")?,
        program_version: row.try_get("program_version")?,
        state: NodeState::parse(row.try_get("state")?)?,
        heartbeat_at: row.try_get("heartbeat_at")?,
        heartbeat_age_s: row.try_get("heartbeat_age_s")?,
    })
}
