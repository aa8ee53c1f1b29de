//! The node's own log: structured lines on standard error. The message stands alone and identifiers are fields. Never
//! secrets, cookies or bodies.
//!
//! Levels: `error` for what somebody must act on, `warn` for what the administrator should know, `info` for what changed,
//! `debug` for each request.

mod fields;
mod lossy;

pub use lossy::LogGuard;

use crate::config::{LogFormat, LogSettings};
use anyhow::Context as _;
use fields::OneLineFields;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging; once a process. The last lines are written when the guard is dropped.
pub fn start(settings: &LogSettings) -> anyhow::Result<LogGuard> {
    let filter = EnvFilter::try_new(&settings.filter).context("[log] filter is not valid")?;
    let (lines, guard) = lossy::start(std::io::stderr(), &lossy::LOST).context("starting the log's thread")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines.clone());
    let started = match settings.format {
        // A journal or a file gets no colours.
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).fmt_fields(OneLineFields).try_init(),
        // Fields stand beside the message, not in an object of their own: so they are asked for by their names.
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))?;
    Ok(guard)
}

/// A sentence when lines of the log were lost within the last minute.
pub fn trouble() -> Option<String> {
    lossy::LOST.trouble()
}
