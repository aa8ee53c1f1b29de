//! What those who watch a node rely on: what it answers them, that Prometheus' own programs take it, that alert rules,
//! dashboard and documents name only what there is, and that its log can be believed.

mod dashboard;
mod endpoints;
mod log_lines;
mod names;
mod prometheus;
mod promql;
mod scrape;

use scrape::Scrape;
use std::path::{Path, PathBuf};
use tests::node::TestNode;
use tests::phone::{Answer, Phone};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// Asks the management listener.
async fn ask(node: &TestNode, path: &str, headers: &[(&str, &str)]) -> Answer {
    let phone = Phone::new(node.management()).over_tls(&node.ca_file(), "localhost");
    phone.ask("GET", path, headers, b"").await.unwrap()
}

/// What a node tells in the classic format.
async fn scraped(node: &TestNode) -> Scrape {
    Scrape::parse(ask(node, "/metrics", &[]).await.text())
}
