//! Element names of requests and layout of responses, as data.

/// How phones write requests and want answers written.
#[derive(Debug)]
pub struct Dialect {}

impl Default for Dialect {
    /// The one that is built in: `deploy/dialect.toml`.
    fn default() -> Self {
        Self {}
    }
}
