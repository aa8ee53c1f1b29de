//! The runtime that runs the node's tasks: read at each scrape, inside it. What is not stable in tokio is not here.

use super::process::gauge;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::time::Duration;
use tokio::runtime::Handle;

/// Reads the runtime that the scrape runs in; outside of one there is nothing to tell.
#[derive(Debug)]
pub(super) struct Runtime;

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Ok(handle) = Handle::try_current() else { return Ok(()) };
        let runtime = handle.metrics();
        let count = |count: usize| ConstGauge::new(count as u64);
        let workers = runtime.num_workers();
        gauge(&mut encoder, "runtime_workers", "Threads that run tasks", None, count(workers))?;
        gauge(&mut encoder, "runtime_tasks", "Tasks that have not ended", None, count(runtime.num_alive_tasks()))?;
        let help = "Tasks that could run and wait for a thread, without those that a thread has taken already";
        gauge(&mut encoder, "runtime_queued_tasks", help, None, count(runtime.global_queue_depth()))?;
        let busy: Duration = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker)).sum();
        let busy = ConstCounter::new(busy.as_secs_f64());
        let help = "Time that all threads together were busy running tasks.";
        busy.encode(encoder.encode_descriptor("runtime_busy", help, Some(&Unit::Seconds), MetricType::Counter)?)
    }
}
