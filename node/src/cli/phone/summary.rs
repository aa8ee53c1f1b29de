//! The summary of a run: for people a table and sentences, for programs JSON. Pure but for reading the run's numbers.

use crate::cli::output::{Wrap, printable, size, table};
use crate::simulation::run::Simulation;
use crate::simulation::statistics::TimesSummary;
use serde::Serialize;
use std::collections::BTreeMap;

/// What happened, in all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    /// How long it ran.
    pub(super) seconds: f64,
    /// Phones.
    pub(super) phones: usize,
    /// Those that booted.
    pub(super) booted: usize,
    /// Those that were last told that there is nothing for them.
    pub(super) satisfied: usize,
    /// Update requests that were answered.
    pub(super) checks: u64,
    /// Their answers, by the reason that the model gives; without a model `offered` and `nothing`.
    pub(super) answers: BTreeMap<&'static str, u64>,
    /// From the first packet to the answer's last byte, TLS included.
    pub(super) check_times: Option<TimesSummary>,
    /// Files that were downloaded whole, and right.
    pub(super) downloads: u64,
    /// Their bytes.
    pub(super) download_bytes: u64,
    /// From the request to the last byte, waiting between attempts included.
    pub(super) download_times: Option<TimesSummary>,
    /// Downloads that went on where they had broken off.
    pub(super) resumed: u64,
    /// Updates that were installed.
    pub(super) installs: u64,
    /// Attempts that failed, by kind.
    pub(super) failed_attempts: BTreeMap<&'static str, u64>,
    /// Checks and downloads that succeeded at a later attempt.
    pub(super) retried: u64,
    /// Checks and downloads that were given up.
    pub(super) failed: u64,
    /// The first of them, in sentences.
    pub(super) failures: Vec<String>,
    /// Nothing, where something had to be offered, when that is allowed.
    pub(super) withheld: u64,
    /// Answers and files that were wrong.
    pub(super) wrong: u64,
    /// The first of them, in sentences.
    pub(super) wrong_answers: Vec<String>,
}

impl Summary {
    /// The numbers of a run, as they are now.
    pub(super) fn new(simulation: &Simulation) -> Self {
        let (statistics, standing) = (simulation.statistics(), simulation.standing());
        Self {
            seconds: (simulation.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            phones: standing.phones,
            booted: standing.booted,
            satisfied: standing.satisfied,
            checks: statistics.check_times.count(),
            answers: statistics.answers,
            check_times: statistics.check_times.summary(),
            downloads: statistics.downloads,
            download_bytes: statistics.download_bytes,
            download_times: statistics.download_times.summary(),
            resumed: statistics.resumed,
            installs: statistics.installs,
            failed_attempts: statistics.failed_attempts,
            retried: statistics.retried,
            failed: statistics.failed,
            failures: statistics.failed_told,
            withheld: statistics.withheld,
            wrong: statistics.wrong,
            wrong_answers: statistics.wrong_told,
        }
    }
}

/// The summary for people.
pub(super) fn text(summary: &Summary, width: Option<u16>) -> String {
    let Summary { phones, booted, satisfied, seconds, checks, downloads, download_bytes, .. } = summary;
    let mut rows = vec![
        row("phones", format!("{phones}, of which {booted} booted in {seconds:.1} s")),
        row("have what they shall have", satisfied.to_string()),
        row("checks answered", checks.to_string()),
    ];
    rows.extend(summary.answers.iter().map(|(reason, number)| row(&format!("  {reason}"), number.to_string())));
    rows.extend(summary.check_times.map(|times| row("  time", latency(times))));
    rows.push(row("downloads", format!("{downloads} ({}), {} resumed", size(*download_bytes), summary.resumed)));
    rows.extend(summary.download_times.map(|times| row("  time", latency(times))));
    rows.push(row("installed", summary.installs.to_string()));
    let failed_attempts: u64 = summary.failed_attempts.values().sum();
    rows.push(row("failed attempts", format!("{failed_attempts}, {} mended by another", summary.retried)));
    rows.extend(summary.failed_attempts.iter().map(|(kind, number)| row(&format!("  {kind}"), number.to_string())));
    rows.push(row("given up", summary.failed.to_string()));
    if summary.withheld > 0 {
        rows.push(row("told of nothing for now", summary.withheld.to_string()));
    }
    rows.push(row("wrong answers", summary.wrong.to_string()));
    // A table without headings begins with an empty line for them.
    let mut text = table(&[("", Wrap::Words), ("", Wrap::Words)], rows, width).trim_start().to_owned();
    for (heading, sentences, all) in
        [("Wrong", &summary.wrong_answers, summary.wrong), ("Given up", &summary.failures, summary.failed)]
    {
        if all > 0 {
            text += &format!("\n\n{heading} (the first {} of {all}):", sentences.len());
        }
        for sentence in sentences {
            text += &format!("\n  {}", printable(sentence));
        }
    }
    text
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn latency(times: TimesSummary) -> String {
    let TimesSummary { p50_ms, p90_ms, p99_ms, max_ms } = times;
    format!("half within {p50_ms:.1} ms, 90 % {p90_ms:.1}, 99 % {p99_ms:.1}, all {max_ms:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_people_what_happened() {
        let times = TimesSummary { p50_ms: 3.25, p90_ms: 11.3, p99_ms: 21.8, max_ms: 23.0 };
        let summary = Summary {
            seconds: 30.04,
            phones: 200,
            booted: 200,
            satisfied: 199,
            checks: 217,
            answers: BTreeMap::from([("offered", 17), ("up_to_date", 200)]),
            check_times: Some(times),
            downloads: 34,
            download_bytes: 51_000_000,
            download_times: Some(times),
            resumed: 1,
            installs: 17,
            failed_attempts: BTreeMap::from([("refused", 3), ("cut_download", 1)]),
            retried: 2,
            failed: 1,
            failures: vec!["phone 1: a check failed: refused: x".to_owned()],
            withheld: 0,
            wrong: 2,
            wrong_answers: vec!["phone 2 got\u{1b} a wrong answer".to_owned()],
        };
        insta::assert_snapshot!(text(&summary, None), @r"
        phones                     200, of which 200 booted in 30.0 s
        have what they shall have  199
        checks answered            217
          offered                  17
          up_to_date               200
          time                     half within 3.2 ms, 90 % 11.3, 99 % 21.8, all 23.0
        downloads                  34 (48.64 MiB), 1 resumed
          time                     half within 3.2 ms, 90 % 11.3, 99 % 21.8, all 23.0
        installed                  17
        failed attempts            4, 2 mended by another
          cut_download             1
          refused                  3
        given up                   1
        wrong answers              2

        Wrong (the first 1 of 2):
          phone 2 got� a wrong answer

        Given up (the first 1 of 1):
          phone 1: a check failed: refused: x
        ");
    }
}
