//! The store of a pool that is there to be harmed: a folder, or a bucket to which each node has a way of its own.

use super::{Behind, ChaosProxy, NODES, Way};
use crate::s3::{self, S3Server};
use std::path::Path;

/// Where a pool keeps its update files and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A folder that all nodes see.
    InFolder,
    /// A bucket of an S3 server in this process.
    InBucket,
}

/// The store.
pub(super) enum Store {
    Folder,
    Bucket { server: S3Server, ways: Vec<ChaosProxy> },
}

impl Store {
    pub(super) async fn start(kept: Kept) -> Self {
        if kept == Kept::InFolder {
            return Self::Folder;
        }
        let server = S3Server::start().await;
        let mut ways = Vec::new();
        for _ in 0..NODES {
            ways.push(ChaosProxy::start(Behind::Address(server.address)).await);
        }
        Self::Bucket { server, ways }
    }

    /// Makes it the store of this node's configuration, which has the folder already.
    pub(super) fn configure(&self, node: usize, table: &mut toml::Table) {
        if let Self::Bucket { server, ways } = self {
            s3::configure(table, ways[node].address, &server.credentials_file());
        }
    }

    /// What happens on the way of one node. There is none to a folder.
    pub(super) fn set(&self, node: usize, way: Way) {
        let Self::Bucket { ways, .. } = self else { panic!("a folder is taken from all nodes or from none") };
        ways[node].set(way);
    }

    /// What happens on the ways of all nodes. A folder below `pool` is there, or it is away as a share that is not mounted.
    pub(super) fn set_all(&self, way: Way, pool: &Path) {
        let [here, away] = ["store", "store-away"].map(|name| pool.join(name));
        match (self, way) {
            (Self::Bucket { ways, .. }, way) => ways.iter().for_each(|proxy| proxy.set(way)),
            (Self::Folder, Way::Open) => std::fs::rename(away, here).unwrap(),
            (Self::Folder, Way::Closed) => std::fs::rename(here, away).unwrap(),
            (Self::Folder, Way::Silent) => panic!("a folder does not hang"),
        }
    }
}
