//! The line of a scenario, for a person: on standard output, and in the file that `tests/chaos.sh` makes a table of.

use std::io::Write as _;
use std::time::Duration;
use tests::simulated::PhoneRun;

/// Names of the columns, as `tests/chaos.sh` prints them.
const COLUMNS: [&str; 13] = [
    "scenario",
    "seconds",
    "checks",
    "downloads",
    "MB",
    "failed",
    "wrong",
    "repeated",
    "withheld",
    "resumed",
    "p50_ms",
    "p99_ms",
    "converged_s",
];

/// Writes the line of a scenario.
pub fn write(scenario: &str, run: &PhoneRun, converged: Duration) {
    let times = |name: &str| run.summary["check_times"][name].as_f64().unwrap_or_default();
    let repeated: u64 = run.summary["failed_attempts"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
    let cells = [
        scenario.to_owned(),
        format!("{:.0}", run.summary["seconds"].as_f64().unwrap()),
        run.number("checks").to_string(),
        run.number("downloads").to_string(),
        (run.number("download_bytes") / 1_000_000).to_string(),
        run.number("failed").to_string(),
        run.number("wrong").to_string(),
        repeated.to_string(),
        run.number("withheld").to_string(),
        run.number("resumed").to_string(),
        format!("{:.1}", times("p50_ms")),
        format!("{:.1}", times("p99_ms")),
        format!("{:.2}", converged.as_secs_f64()),
    ];
    println!(
        "{}",
        COLUMNS.iter().zip(&cells).map(|(name, cell)| format!("{name} {cell}")).collect::<Vec<_>>().join(", ")
    );
    let Some(path) = std::env::var_os("UCUPDATES_CHAOS_TABLE") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    // One write, because scenarios run beside one another.
    file.write_all(format!("{}\n", cells.join("\t")).as_bytes()).unwrap();
}
