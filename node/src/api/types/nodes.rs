//! Bodies of `/nodes`.

use schema::store::Node;
use serde::{Deserialize, Serialize};

/// A node of a pool, as it last reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBody {
    /// Its name.
    pub name: String,
    /// Its pool's FQDN.
    pub pool: String,
    /// The site of its pool.
    pub site: String,
    /// The version of its program.
    pub version: String,
    /// `serving`, `draining` (told to stop), `stopped` (ended in order), `silent` (has not reported for too long).
    pub state: String,
    /// When it last reported (RFC 3339, UTC).
    pub heartbeat_at: String,
    /// How many seconds ago that was, by the database's clock.
    pub heartbeat_age_s: i64,
}

impl From<Node> for NodeBody {
    fn from(node: Node) -> Self {
        Self {
            name: node.name.to_string(),
            pool: node.pool.to_string(),
            site: node.site.as_str().to_owned(),
            version: node.program_version,
            state: node.state.as_str().to_owned(),
            heartbeat_at: node.heartbeat_at.to_string(),
            heartbeat_age_s: node.heartbeat_age_s,
        }
    }
}
