//! Whose claims are abandoned: those of a node that this one has not seen report for a while. What counts is whether the
//! time of its report changes, not what it is: clocks of two machines differ. No clock of its own.

use jiff::Timestamp;
use schema::store::Node;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use sync::drop_folder::Claim;

/// What this node has seen of others that hold claims.
#[derive(Debug)]
pub(super) struct Silence {
    patience: Duration,
    seen: HashMap<String, (Option<Timestamp>, Instant)>,
}

impl Silence {
    /// A node that has not reported for so long is silent.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, seen: HashMap::new() }
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Those of the claims whose node is silent, or is not known at all, since so long.
    pub(super) fn abandoned(&mut self, claims: Vec<Claim>, nodes: &[Node], now: Instant) -> Vec<Claim> {
        let heartbeat = |claimant: &str| {
            let (name, pool) = claimant.split_once('@')?;
            let is = |node: &&Node| {
                node.name.as_str().eq_ignore_ascii_case(name) && node.pool.as_str().eq_ignore_ascii_case(pool)
            };
            nodes.iter().find(is).map(|node| node.heartbeat_at)
        };
        let mut seen = HashMap::new();
        for claim in &claims {
            let heartbeat = heartbeat(&claim.claimant);
            let before = self.seen.get(&claim.claimant).filter(|(before, _)| *before == heartbeat);
            let since = before.map_or(now, |(_, since)| *since);
            seen.insert(claim.claimant.clone(), (heartbeat, since));
        }
        self.seen = seen;
        let silent = |claim: &Claim| {
            self.seen.get(&claim.claimant).is_some_and(|(_, since)| now.duration_since(*since) >= self.patience)
        };
        claims.into_iter().filter(silent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::store::NodeState;
    use schema::topology::{NodeName, PoolFqdn, SiteName};
    use std::ffi::OsStr;
    use sync::drop_folder::DropFolder;

    #[test]
    fn a_node_leaves_its_claims_when_its_reports_stop() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.cab"), "x").unwrap();
        let (name, pool) = (NodeName::parse("node2").unwrap(), PoolFqdn::parse("pool01.contoso.com").unwrap());
        let claim = DropFolder::new(folder.path(), &name, &pool).claim(OsStr::new("a.cab")).unwrap().unwrap();
        let began = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(90));
        let mut look = |second: u64, reported: Option<i64>| {
            let node = |second| Node {
                pool: pool.clone(),
                site: SiteName::parse("Redmond").unwrap(),
                name: name.clone(),
                program_version: "1".to_owned(),
                state: NodeState::Silent,
                heartbeat_at: Timestamp::from_second(second).unwrap(),
                heartbeat_age_s: 0,
            };
            let nodes: Vec<Node> = reported.map(node).into_iter().collect();
            silence.abandoned(vec![claim.clone()], &nodes, began + Duration::from_secs(second)).len()
        };
        // Its clock may be years off.
        assert_eq!([look(0, Some(7)), look(89, Some(7))], [0, 0]);
        assert_eq!([look(90, Some(37)), look(179, Some(37)), look(180, Some(37))], [0, 0, 1]);
        // It is not known any more.
        assert_eq!([look(181, None), look(270, None), look(271, None)], [0, 0, 1]);
    }
}
