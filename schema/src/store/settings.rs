//! How to reach PostgreSQL, and how long to wait for it: every wait has a limit, because a hung server answers
//! nothing at all (DESIGN.md 8).

use super::StoreError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the connection to the Central Management store.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// A PostgreSQL URL or `key=value` text, as tokio-postgres reads it. `sslmode=require` asks for TLS with a
    /// verified certificate; without it the connection is not encrypted.
    pub url: String,
    /// The password, when it does not stand in the URL.
    pub password: Option<String>,
    /// PEM file with the roots that the server's certificate is verified by; the system's when not given.
    pub ca_file: Option<PathBuf>,
    /// Connections that a node holds at most, besides the one that listens.
    pub pool_size: usize,
    /// Limit for opening a connection.
    pub connect_timeout: Duration,
    /// Limit for one operation as a whole: waiting for a free connection, connecting, every statement.
    pub operation_timeout: Duration,
    /// Limit for the statements that announce a package, which may be many rows.
    pub import_timeout: Duration,
    /// Limit for loading the rules of a pool, which may be many rows too.
    pub load_timeout: Duration,
    /// How long an import or a clearing of files waits for another one to end.
    pub import_wait: Duration,
    /// Limit for a migration as a whole, another node's included.
    pub migrate_timeout: Duration,
    /// How often the listening connection is asked whether it still lives.
    pub listen_check_interval: Duration,
    /// The longest pause before the listening connection is made anew.
    pub listen_pause: Duration,
}

impl DatabaseSettings {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            ca_file: None,
            pool_size: 8,
            connect_timeout: Duration::from_millis(1500),
            operation_timeout: Duration::from_secs(2),
            import_timeout: Duration::from_secs(60),
            load_timeout: Duration::from_secs(30),
            import_wait: Duration::from_secs(5),
            migrate_timeout: Duration::from_secs(300),
            listen_check_interval: Duration::from_secs(30),
            listen_pause: Duration::from_secs(5),
        }
    }
}

/// Whether the URL can be read, and holds no password: that belongs into a file of its own.
pub fn check_url(url: &str) -> Result<(), StoreError> {
    let config: tokio_postgres::Config =
        url.parse().map_err(|error: tokio_postgres::Error| StoreError::Settings(format!("url: {error}")))?;
    if config.get_password().is_some() {
        return Err(StoreError::Settings("url holds a password: put it into a file and name that instead".to_owned()));
    }
    Ok(())
}

impl fmt::Debug for DatabaseSettings {
    /// Without password, and without the URL, which may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}
