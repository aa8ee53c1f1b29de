//! `ucupdates replica list`: how far the update files have come on each node of every pool; and the waiting for them, which
//! `ucupdates import --wait` does too.

use crate::api::types::replicas::{FailedBody, ReplicaBody, ReplicaStateBody, ReplicasBody};
use crate::cli::client::Client;
use crate::cli::output::{Console, Outcome, Wrap, count, printable, size, table};
use anyhow::Result;
use clap::Subcommand;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a node is asked how far all of them are.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What to do with replicas.
#[derive(Debug, Subcommand)]
pub enum ReplicaCommand {
    /// Show what each node holds, lacks and fetches, and what failed
    #[command(after_help = "\
Examples:
  ucupdates replica list
  ucupdates replica list --watch

Every node fetches by itself what rules need. A node that does not report is shown as silent.")]
    List {
        /// Show it again and again, until Ctrl+C
        #[arg(long)]
        watch: bool,
    },
}

impl ReplicaCommand {
    /// Asks the node, and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let Self::List { watch } = self;
        let client = console.client()?;
        loop {
            let replicas: ReplicasBody = client.get("/replicas", &()).await?;
            console.show(&replicas, list)?;
            if !watch {
                return Ok(Outcome::Done);
            }
            tokio::time::sleep(ASK_EVERY * 4).await;
            println_between();
        }
    }
}

/// An empty line between two pictures; on a terminal the last picture goes.
fn println_between() {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() { "\u{1b}[2J\u{1b}[H" } else { "\n" };
    let _ = out.write_all(text.as_bytes());
}

fn list(replicas: &ReplicasBody, width: Option<u16>) -> String {
    let nodes = &replicas.nodes;
    if nodes.is_empty() {
        return "no node has reported yet".to_owned();
    }
    let columns = [
        ("POOL", Wrap::Words),
        ("NODE", Wrap::Words),
        ("STATE", Wrap::Words),
        ("FILES", Wrap::Never),
        ("HELD", Wrap::Never),
        ("GENERATION", Wrap::Never),
    ];
    let row = |node: &ReplicaBody| {
        let told = node.replica.as_ref();
        let of_told = |text: &dyn Fn(&ReplicaStateBody) -> String| told.map_or_else(|| "-".to_owned(), text);
        vec![
            node.pool.clone(),
            node.node.clone(),
            state(node, replicas.generation),
            of_told(&|told| format!("{} of {}", told.held_files, told.needed_files)),
            of_told(&|told| format!("{} of {}", size(told.held_bytes), size(told.needed_bytes))),
            of_told(&|told| told.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string())),
        ]
    };
    let mut parts = vec![table(&columns, nodes.iter().map(row), width)];
    for node in nodes {
        parts.extend(remarks(node));
    }
    parts.join("\n")
}

fn state(node: &ReplicaBody, generation: i64) -> String {
    if let Some(since) = &node.silent_since {
        return format!("silent since {since}");
    }
    match &node.replica {
        None => "has not told yet".to_owned(),
        Some(told) if told.held_files == told.needed_files && told.generation < Some(generation) => "behind".to_owned(),
        Some(told) if told.held_files == told.needed_files => "ready".to_owned(),
        Some(told) if told.settled => "incomplete".to_owned(),
        Some(_) => "fetching".to_owned(),
    }
}

/// What is on its way, and what failed, a line each.
fn remarks(node: &ReplicaBody) -> Vec<String> {
    let Some(told) = node.replica.as_ref().filter(|_| node.silent_since.is_none()) else { return Vec::new() };
    let name = &node.node;
    let fetching = told.fetching.iter().map(|file| {
        let (done, whole, rate) = (size(file.done_bytes), size(file.size_bytes), size(file.bytes_per_s));
        format!("{name} fetches {}: {done} of {whole}, {rate}/s", file.path)
    });
    let failed = told.failed.iter().map(|file| {
        let next = file.next_try.as_ref().map(|at| format!("; next try at {at}")).unwrap_or_default();
        format!("{name} could not fetch {}: {}{next}", file.path, file.told)
    });
    let more = told.failed_files.saturating_sub(told.failed.len() as u64);
    let more = (more > 0).then(|| format!("{name} could not fetch {more} more"));
    let lines: Vec<String> = fetching.chain(failed).chain(more).collect();
    lines.iter().map(|line| printable(line)).collect()
}

/// How a node stands towards what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// It has not got there yet.
    Coming,
    /// It holds everything.
    Ready,
    /// It could not fetch something, and tries again: why.
    Retrying(String),
    /// It could not fetch something, and a person has to mend that: why.
    Failed(String),
    /// It is not waited for: since when it is silent.
    Silent(String),
}

fn progress(node: &ReplicaBody, generation: i64) -> Progress {
    if let Some(since) = &node.silent_since {
        return Progress::Silent(since.clone());
    }
    let Some(told) = node.replica.as_ref().filter(|told| told.generation >= Some(generation)) else {
        return Progress::Coming;
    };
    match told.failed.first() {
        _ if told.held_files == told.needed_files => Progress::Ready,
        Some(failed) if told.settled => {
            let hopeless = told.failed.iter().find(|failed| HOPELESS.contains(&failed.reason.as_str()));
            let why = |failed: &FailedBody| format!("{}: {}", failed.path, failed.told);
            hopeless.map_or_else(|| Progress::Retrying(why(failed)), |failed| Progress::Failed(why(failed)))
        }
        _ => Progress::Coming,
    }
}

/// Reasons of a failure that passes by no waiting.
const HOPELESS: [&str; 2] = ["wrong_bytes", "no_room"];

/// Waits until every living node of the pools (of all, when none is named) holds what its rules need, as of now.
pub(super) async fn wait(client: &Client, pools: &[String], timeout: Duration) -> Result<Outcome> {
    let deadline = Instant::now() + timeout;
    let mut shown = Shown::new();
    let mut generation = None;
    loop {
        let replicas: ReplicasBody = client.get("/replicas", &()).await?;
        // What is waited for is what had changed when the waiting began; what others change meanwhile is theirs.
        let generation = *generation.get_or_insert(replicas.generation);
        let chosen = |node: &&ReplicaBody| pools.is_empty() || pools.iter().any(|pool| is_named(pool, node));
        let nodes: Vec<(&ReplicaBody, Progress)> =
            replicas.nodes.iter().filter(chosen).map(|node| (node, progress(node, generation))).collect();
        for (node, progress) in &nodes {
            shown.tell(node, progress);
        }
        let late = Instant::now() > deadline;
        let coming = nodes.iter().any(|(_, progress)| matches!(progress, Progress::Coming | Progress::Retrying(_)));
        if late || !coming {
            shown.finish();
            return Ok(sum_up(&nodes));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A pool is named by its FQDN, or by its identity `service:WebServer:<FQDN>`.
fn is_named(pool: &str, node: &ReplicaBody) -> bool {
    pool.rsplit(':').next().is_some_and(|fqdn| fqdn.trim().eq_ignore_ascii_case(&node.pool))
}

/// What a person sees: a bar for each node on a terminal, else a line for each change.
struct Shown {
    bars: Option<MultiProgress>,
    nodes: BTreeMap<(String, String), (ProgressBar, String)>,
}

impl Shown {
    fn new() -> Self {
        let watched = std::io::stderr().is_terminal();
        let bars = watched.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars, nodes: BTreeMap::new() }
    }

    fn tell(&mut self, node: &ReplicaBody, progress: &Progress) {
        let words = match progress {
            Progress::Coming => "replicating".to_owned(),
            Progress::Ready => "ready".to_owned(),
            Progress::Retrying(why) => format!("tries again: {why}"),
            Progress::Failed(why) => format!("failed: {why}"),
            Progress::Silent(since) => format!("silent since {since}, not waited for"),
        };
        let words = printable(&words);
        let key = (node.pool.clone(), node.node.clone());
        let bars = &self.bars;
        let (bar, last) = self.nodes.entry(key).or_insert_with(|| (new_bar(bars.as_ref(), &node.node), String::new()));
        if let Some(told) = &node.replica {
            let on_the_way: u64 = told.fetching.iter().map(|file| file.done_bytes).sum();
            bar.set_length(told.needed_bytes);
            bar.set_position(told.held_bytes.saturating_add(on_the_way).min(told.needed_bytes));
        }
        bar.set_message(words.clone());
        if *last != words {
            if self.bars.is_none() {
                let _ = writeln!(std::io::stderr(), "{}: {words}", printable(&node.node));
            }
            *last = words;
        }
    }

    fn finish(&self) {
        for (bar, _) in self.nodes.values() {
            bar.abandon();
        }
    }
}

fn sum_up(nodes: &[(&ReplicaBody, Progress)]) -> Outcome {
    let living = nodes.iter().filter(|(_, progress)| !matches!(progress, Progress::Silent(_))).count();
    let ready = nodes.iter().filter(|(_, progress)| *progress == Progress::Ready).count();
    let mut err = std::io::stderr();
    let _ = match living - ready {
        0 => writeln!(err, "{} ready", count(ready, "node is", "nodes are")),
        behind => writeln!(err, "{} not ready; see `ucupdates replica list`", count(behind, "node is", "nodes are")),
    };
    Outcome::refused_if(ready < living)
}

fn new_bar(bars: Option<&MultiProgress>, node: &str) -> ProgressBar {
    let Some(bars) = bars else { return ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {bytes}/{total_bytes} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    bars.add(ProgressBar::new(0).with_style(style).with_prefix(printable(node)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::replicas::FetchingBody;

    fn node(name: &str, held_files: u64, settled: bool) -> ReplicaBody {
        let replica = ReplicaStateBody {
            reported_at: "2026-01-05T12:00:00Z".into(),
            generation: Some(12),
            needed_files: 4,
            needed_bytes: 40 << 20,
            held_files,
            held_bytes: held_files * (10 << 20),
            settled,
            ..ReplicaStateBody::default()
        };
        let (pool, node) = ("pool01.contoso.com".into(), name.into());
        ReplicaBody { pool, node, silent_since: None, replica: Some(replica) }
    }

    fn pool() -> ReplicasBody {
        let mut nodes =
            vec![node("node1", 4, true), node("node2", 2, false), node("node3", 3, true), node("node4", 4, true)];
        nodes[1].replica.as_mut().unwrap().fetching = vec![FetchingBody {
            path: "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt".into(),
            done_bytes: 3 << 20,
            size_bytes: 10 << 20,
            bytes_per_s: 1 << 20,
        }];
        let failed = nodes[2].replica.as_mut().unwrap();
        failed.failed_files = 1;
        failed.failed = vec![FailedBody {
            path: "OCInterim/ENU/CPE.nbt".into(),
            reason: "missing".into(),
            told: "the store has no such file".into(),
            next_try: Some("2026-01-05T12:00:05Z".into()),
        }];
        nodes[3].silent_since = Some("2026-01-05T11:00:00Z".into());
        nodes.push(ReplicaBody { replica: None, ..node("node5", 0, false) });
        ReplicasBody { generation: 12, nodes }
    }

    #[test]
    fn each_node_shows_what_it_holds_fetches_and_could_not_fetch() {
        let text = list(&pool(), None);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["POOL", "NODE", "STATE", "FILES", "HELD", "GENERATION"]);
        let states = ["ready", "fetching", "incomplete", "silent", "has"];
        assert_eq!(lines[1..6].iter().map(|line| line[2]).collect::<Vec<_>>(), states);
        assert!(text.contains("2 of 4") && text.contains("20.00 MiB of 40.00 MiB"), "{text}");
        assert!(
            text.contains("node2 fetches UCPhone/") && text.contains("CPE.nbt: 3.00 MiB of 10.00 MiB, 1.00 MiB/s"),
            "{text}"
        );
        let failed =
            "node3 could not fetch OCInterim/ENU/CPE.nbt: the store has no such file; next try at 2026-01-05T12:00:05Z";
        assert!(text.contains(failed), "{text}");
        assert_eq!(list(&ReplicasBody::default(), None), "no node has reported yet");
    }

    #[test]
    fn living_nodes_are_waited_for_until_they_hold_what_had_changed() {
        let check = |generation, expected: [&str; 5]| {
            let pool = pool();
            let words = pool.nodes.iter().map(|node| match progress(node, generation) {
                Progress::Coming => "coming",
                Progress::Ready => "ready",
                Progress::Retrying(_) => "retrying",
                Progress::Failed(_) => "failed",
                Progress::Silent(_) => "silent",
            });
            assert_eq!(words.collect::<Vec<_>>(), expected);
        };
        check(12, ["ready", "coming", "retrying", "silent", "coming"]);
        check(13, ["coming", "coming", "coming", "silent", "coming"]);
    }
}
