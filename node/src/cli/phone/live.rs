//! Watches a run: looks at the model again, decides what was in doubt, shows a line of how it goes, and ends when the
//! phones are done, the time is up, or Ctrl+C is pressed.

use crate::cli::output::size;
use crate::cli::phone::source::ModelSource;
use crate::simulation::phone::Phone;
use crate::simulation::run::{Decide, Simulation};
use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a terminal's line is written anew.
const LINE_INTERVAL: Duration = Duration::from_millis(200);

/// How often a line is written where it stays.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Lets the phones live until they are done or the limit is reached.
pub(super) async fn watch(
    simulation: &Arc<Simulation>,
    phones: Vec<Phone>,
    limit: Duration,
    mut source: Option<&mut ModelSource>,
) -> Result<()> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut line = Line::new();
    let mut interrupts =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).context("listening for Ctrl+C")?;
    simulation.start(phones, &tasks, &stop);
    let deadline = tokio::time::Instant::now() + limit;
    let mut ticks = interval(LINE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let look = source.as_ref().map_or(Duration::MAX, |source| source.interval());
    let mut next_look = Instant::now() + look.min(Duration::from_secs(3600));
    let mut which = Decide::Due;
    loop {
        tokio::select! {
            () = tasks.wait() => if simulation.decide_doubts(Decide::Due) == 0 { break } else { sleep(LINE_INTERVAL).await },
            () = sleep_until(deadline), if !stop.is_cancelled() => stop.cancel(),
            _ = interrupts.recv() => {
                stop.cancel();
                which = Decide::All;
                break;
            }
            _ = ticks.tick() => {}
        }
        if let Some(source) = source.as_mut().filter(|_| next_look <= Instant::now()) {
            match source.changed().await {
                Ok(Some(model)) => simulation.model_changed(model),
                Ok(None) => {}
                // Half written, perhaps: the old one counts on.
                Err(error) => line.say(&format!("the model is not read again: {error:#}")),
            }
            next_look = Instant::now() + look;
        }
        simulation.decide_doubts(Decide::Due);
        line.show(simulation);
    }
    tasks.wait().await;
    simulation.decide_doubts(which);
    line.end();
    Ok(())
}

/// The line of how it goes, on standard error.
struct Line {
    bar: Option<ProgressBar>,
    written: Instant,
    said: String,
}

impl Line {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}").expect("a constant template");
            ProgressBar::new_spinner().with_style(style)
        });
        Self { bar, written: Instant::now(), said: String::new() }
    }

    fn show(&mut self, simulation: &Simulation) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text(simulation));
                bar.tick();
            }
            None if self.written.elapsed() >= LOG_INTERVAL => {
                self.written = Instant::now();
                eprintln!("{}", text(simulation));
            }
            None => {}
        }
    }

    /// Says something once, not every time that it is so.
    fn say(&mut self, text: &str) {
        if self.said != text {
            text.clone_into(&mut self.said);
            match &self.bar {
                Some(bar) => bar.println(text),
                None => eprintln!("{text}"),
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn text(simulation: &Simulation) -> String {
    let (statistics, standing) = (simulation.statistics(), simulation.standing());
    format!(
        "{} s: {} of {} phones booted, {} have what they shall have; {} checks, {} downloads ({}), {} failed attempts, {} wrong",
        simulation.elapsed().as_secs(),
        standing.booted,
        standing.phones,
        standing.satisfied,
        statistics.check_times.count(),
        statistics.downloads,
        size(statistics.download_bytes),
        statistics.all_failed_attempts(),
        statistics.wrong,
    )
}
