//! Simulated phones against a test node: the real `ucupdates phone`, led to the node's sockets.

use crate::binary::{self, Said};
use crate::node::TestNode;
use serde_json::Value;

/// How a run of simulated phones ended.
#[derive(Debug)]
pub struct PhoneRun {
    /// The exit code and what was written.
    pub said: Said,
    /// The summary.
    pub summary: Value,
}

impl PhoneRun {
    /// A number of the summary.
    pub fn number(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("{name} is no number: {self:?}"))
    }

    /// How many answers had this reason.
    pub fn answers(&self, reason: &str) -> u64 {
        self.summary["answers"][reason].as_u64().unwrap_or_default()
    }

    /// The sentences about what was wrong.
    pub fn wrong(&self) -> Vec<&str> {
        self.summary["wrong_answers"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }

    /// The run, of which nothing failed and nothing was wrong.
    pub fn flawless(self) -> Self {
        assert_eq!((self.said.code, self.number("wrong"), self.number("failed")), (0, 0, 0), "{self:?}");
        self
    }
}

impl From<Said> for PhoneRun {
    fn from(said: Said) -> Self {
        let summary = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("no summary: {error}; {said:?}"));
        Self { said, summary }
    }
}

/// `ucupdates phone` with these arguments and a summary in JSON, against the node: phones know its pool by the names that
/// the pool tells them. They ask over TLS unless `--url` says otherwise.
pub fn command(node: &TestNode, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binary::path());
    command.args(["phone", "--json"]).args(arguments).env("UCUPDATES_PROFILE", node.profile_path());
    command.current_dir(node.folder.path()).kill_on_drop(true);
    let addresses = &node.addresses;
    for (name, address) in [
        ("pool01.demo.local:443", addresses.internal_https[0]),
        ("pool01.demo.local:80", addresses.internal_http[0]),
        ("ocs.demo.local:80", addresses.internal_http[0]),
        ("ext.demo.local:443", addresses.external_https[0]),
    ] {
        command.arg("--connect-to").arg(format!("{name}:{address}"));
    }
    if !arguments.contains(&"--url") {
        command.args(["--url", "https://pool01.demo.local/RequestHandler/ucdevice.upx"]);
    }
    command
}

/// Runs [`command`] to its end.
pub async fn phones(node: &TestNode, arguments: &[&str]) -> PhoneRun {
    let said: Said = command(node, arguments).output().await.unwrap().into();
    said.into()
}
