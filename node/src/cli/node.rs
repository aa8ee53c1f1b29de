//! `ucupdates node`: list, remove: the nodes of the pools and how they stand.

use crate::api::types::nodes::NodeBody;
use crate::cli::DryRun;
use crate::cli::output::{Console, Outcome, Wrap, printable, table};
use anyhow::Result;
use clap::Subcommand;

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes: their versions, when they last reported, and whether they serve
    #[command(after_help = "\
Examples:
  ucupdates node list
  ucupdates node list --site Redmond --json

A node is serving, draining (it was told to stop), stopped (it ended in order) or silent (it has not reported for three \
times as long as it should: killed, hung or cut off). A new node is there as soon as it was started with the pool's \
configuration.")]
    List {
        /// Of this pool alone
        #[arg(long, value_name = "FQDN")]
        pool: Option<String>,
        /// Of this site alone
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
    },
    /// Remove a node that is gone for good; refused while it lives
    #[command(after_help = "\
Examples:
  ucupdates node remove node3 --dry-run
  ucupdates node remove node3 --pool pool02.contoso.com")]
    Remove {
        /// The node's name
        name: String,
        /// Its pool [default: that of the node which is asked]
        #[arg(long, value_name = "FQDN")]
        pool: Option<String>,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

impl NodeCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::List { pool, site } => {
                let filter = given([("pool", pool), ("site", site)]);
                let nodes: Vec<NodeBody> = console.client()?.get("/nodes", &filter).await?;
                console.show(&nodes, |nodes, width| list(nodes, width))?;
            }
            Self::Remove { name, pool, dry_run } => {
                let dry = dry_run.dry_run.to_string();
                let which = given([("name", Some(name)), ("pool", pool), ("dry_run", Some(dry))]);
                let node: NodeBody = console.client()?.delete("/nodes", &which).await?;
                console.show(&node, |node, _| dry_run.told(&removed(node)))?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// A query of what is given.
fn given<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn removed(node: &NodeBody) -> String {
    printable(&format!("removed node {} of pool {}, which was {}", node.name, node.pool, node.state))
}

fn list(nodes: &[NodeBody], width: Option<u16>) -> String {
    if nodes.is_empty() {
        return "no such nodes: `ucupdates pool list` shows pools and their sites".to_owned();
    }
    let row = |node: &NodeBody| {
        let NodeBody { name, pool, site, version, state, heartbeat_age_s, .. } = node;
        vec![name.clone(), pool.clone(), site.clone(), version.clone(), state.clone(), ago(*heartbeat_age_s)]
    };
    let columns = [
        ("NAME", Wrap::Words),
        ("POOL", Wrap::Words),
        ("SITE", Wrap::Words),
        ("VERSION", Wrap::Never),
        ("STATE", Wrap::Never),
        ("LAST REPORT", Wrap::Never),
    ];
    table(&columns, nodes.iter().map(row), width)
}

/// In one unit, the largest of which there are two at least.
fn ago(seconds: i64) -> String {
    let units = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    let (count, unit) = units
        .into_iter()
        .map(|(length, unit)| (seconds / length, unit))
        .find(|(count, _)| *count >= 2)
        .unwrap_or((seconds.max(0), "s"));
    format!("{count} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_a_table() {
        let node = |name: &str, state: &str, heartbeat_age_s| NodeBody {
            name: name.into(),
            pool: "pool01.contoso.com".into(),
            site: "Redmond".into(),
            version: "0.1.0".into(),
            state: state.into(),
            heartbeat_at: "2026-03-06T17:07:20Z".into(),
            heartbeat_age_s,
        };
        let nodes = [node("node1", "serving", 7), node("node2", "silent", 119), node("node3", "stopped", 200_000)];
        insta::assert_snapshot!(list(&nodes, None), @r"
        NAME   POOL                SITE     VERSION  STATE    LAST REPORT
        node1  pool01.contoso.com  Redmond  0.1.0    serving  7 s ago
        node2  pool01.contoso.com  Redmond  0.1.0    silent   119 s ago
        node3  pool01.contoso.com  Redmond  0.1.0    stopped  2 days ago
        ");
        assert_eq!(
            [0, 120, 7199, 7200, -3].map(ago).join(", "),
            "0 s ago, 2 minutes ago, 119 minutes ago, 2 hours ago, 0 s ago"
        );
        insta::assert_snapshot!(removed(&nodes[2]), @"removed node node3 of pool pool01.contoso.com, which was stopped");
    }
}
