//! What Standard Edition remembers from one start to the next, in `standard.toml` of its data folder.

use super::StandardArgs;
use crate::config::NodeSettings;
use crate::durable;
use anyhow::Context as _;
use schema::topology::{NodeName, PoolFqdn};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    node: String,
    pool: String,
    address: Option<String>,
    domains: Vec<String>,
    announced: Vec<String>,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct State {
    /// The node's name: the host's at the first start.
    pub node: NodeName,
    /// The pool's FQDN: the host's name at the first start.
    pub pool: PoolFqdn,
    /// How phones reach this machine.
    pub address: Option<String>,
    /// DNS domains that DHCP gives to phones.
    pub domains: Vec<String>,
    /// The four addresses of the pool that were set by the last start.
    pub announced: Vec<String>,
}

const FILE: &str = "standard.toml";

impl State {
    /// What is remembered in this data folder; of a new one, the host's name.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let file: StateFile = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let StateFile { node, pool, address, domains, announced } = file;
        Ok(Self { node: NodeName::parse(&node)?, pool: PoolFqdn::parse(&pool)?, address, domains, announced })
    }

    fn new() -> anyhow::Result<Self> {
        let node = NodeSettings::default().name;
        let pool = PoolFqdn::parse(node.as_str())?;
        Ok(Self { node, pool, address: None, domains: Vec::new(), announced: Vec::new() })
    }

    /// Takes over what the options say.
    pub fn remember(&mut self, args: &StandardArgs) {
        if args.address.is_some() {
            self.address.clone_from(&args.address);
        }
        if !args.domains.is_empty() {
            self.domains.clone_from(&args.domains);
        }
    }

    /// Writes the file whole or not at all.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let file = StateFile {
            node: self.node.to_string(),
            pool: self.pool.to_string(),
            address: self.address.clone(),
            domains: self.domains.clone(),
            announced: self.announced.clone(),
        };
        let text = toml::to_string(&file).context("writing what is remembered as TOML")?;
        let path = folder.join(FILE);
        durable::replace(&path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }
}
