//! The node's own log: structured lines on standard error. Never secrets, cookies or bodies.

use crate::config::{LogFormat, LogSettings};
use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Starts logging; once a process.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).context("[log] filter is not valid")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}
