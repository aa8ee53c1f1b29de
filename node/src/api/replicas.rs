//! How far the update files have come on each node of every pool.

use super::types::replicas::{FailedBody, FetchingBody, ReplicaBody, ReplicaStateBody, ReplicasBody};
use super::{Admin, ApiError};
use axum::Json;
use axum::extract::State;
use schema::replica::{Failed, Fetching};
use schema::store::{NodeReplica, ToldReplica};
use std::sync::Arc;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<ReplicasBody>, ApiError> {
    let generation = admin.database.mark().await?.generation;
    let nodes = admin.database.replicas().await?.into_iter().map(node).collect();
    Ok(Json(ReplicasBody { generation, nodes }))
}

fn node(node: NodeReplica) -> ReplicaBody {
    ReplicaBody {
        pool: node.pool.to_string(),
        node: node.node.to_string(),
        silent_since: node.silent_since.map(|since| since.to_string()),
        replica: node.told.map(told),
    }
}

fn told(told: ToldReplica) -> ReplicaStateBody {
    let ToldReplica { state, confirmed_at, reported_at } = told;
    ReplicaStateBody {
        reported_at: reported_at.to_string(),
        generation: state.generation,
        confirmed_at: confirmed_at.map(|at| at.to_string()),
        needed_files: state.needed.files,
        needed_bytes: state.needed.bytes,
        held_files: state.held.files,
        held_bytes: state.held.bytes,
        settled: state.settled,
        failed_files: state.failed_files,
        fetching: state.fetching.into_iter().map(fetching).collect(),
        failed: state.failed.into_iter().map(failed).collect(),
        lacking: state.lacking,
    }
}

fn fetching(file: Fetching) -> FetchingBody {
    let Fetching { path, done_bytes, size_bytes, bytes_per_s } = file;
    FetchingBody { path, done_bytes, size_bytes, bytes_per_s }
}

fn failed(file: Failed) -> FailedBody {
    let Failed { path, reason, told, next_try } = file;
    FailedBody { path, reason, told, next_try: next_try.map(|at| at.to_string()) }
}
