//! The process, as Linux has it in `/proc/self`: read at each scrape, under the names that every client library of
//! Prometheus uses, so that ready-made dashboards find them. What can't be read is left out.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs;

/// Ticks of `/proc/self/stat` in a second: a constant of Linux towards programs, whatever the kernel's own clock does.
const TICKS_A_SECOND: f64 = 100.0;

/// Reads the process at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if let Some(stat) = Stat::read() {
            stat.encode(&mut encoder)?;
        }
        let open = fs::read_dir("/proc/self/fd").map(Iterator::count);
        if let Ok(open) = open {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", None, ConstGauge::new(open as u64))?;
        }
        if let Some(most) = most_open_files() {
            let help = "File descriptors that the process may have open";
            gauge(&mut encoder, "process_max_fds", help, None, ConstGauge::new(most))?;
        }
        Ok(())
    }
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    start_time_seconds: f64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?, booted, u64::try_from(page).ok()?)
    }

    /// The fields after the program's name, which may hold spaces and parentheses (proc(5)).
    fn parse(text: &str, booted: f64, page_bytes: u64) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / TICKS_A_SECOND;
        Some(Self {
            cpu_seconds: seconds(number(14)? + number(15)?),
            threads: number(20)?,
            start_time_seconds: booted + seconds(number(22)?),
            resident_bytes: number(24)? * page_bytes,
        })
    }

    fn encode(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let cpu = ConstCounter::new(self.cpu_seconds);
        let help = "CPU time spent, of the user and of the kernel.";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?)?;
        let resident = ConstGauge::new(self.resident_bytes);
        gauge(encoder, "process_resident_memory", "Resident memory", Some(&Unit::Bytes), resident)?;
        let start = ConstGauge::new(self.start_time_seconds);
        let help = "When the process started, in seconds since 1970";
        gauge(encoder, "process_start_time", help, Some(&Unit::Seconds), start)?;
        gauge(encoder, "process_threads", "Threads", None, ConstGauge::new(self.threads))
    }
}

fn most_open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: impl EncodeMetric,
) -> fmt::Result {
    value.encode(encoder.encode_descriptor(name, &format!("{help}."), unit, MetricType::Gauge)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat_are_counted_from_behind_the_programs_name() {
        let text = "1234 (a) b (c)) S 1 1234 1234 0 -1 4194304 500 0 0 0 250 50 0 0 20 0 7 0 12345 1000000 300 0 0";
        let expected =
            Stat { cpu_seconds: 3.0, threads: 7, start_time_seconds: 1_000_123.45, resident_bytes: 300 * 4096 };
        assert_eq!(Stat::parse(text, 1_000_000.0, 4096), Some(expected));
        assert_eq!(Stat::parse("1234 (a) S 1", 0.0, 4096), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let stat = Stat::read().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..86_400.0).contains(&(now - stat.start_time_seconds)), "{stat:?} at {now}");
        assert!(stat.threads >= 1 && stat.resident_bytes > 1 << 20, "{stat:?}");
        assert!(most_open_files().unwrap() > 10);
    }
}
