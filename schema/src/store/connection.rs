//! Opening connections: the pool's, and single ones. Every way to hang has a limit here: connecting, recycling,
//! waiting for a free connection, a peer that is gone without a word.

use super::{DatabaseSettings, StoreError};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where Debian keeps the roots that the system trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a pooled connection may take to show that it lives, before it is thrown away.
const RECYCLE_TIMEOUT: Duration = Duration::from_millis(500);

/// What a connection is made from.
#[derive(Clone)]
pub(super) struct Connector {
    /// Where to connect to, and with which options.
    pub config: Config,
    /// How to encrypt, when the settings ask for it.
    pub tls: Option<MakeRustlsConnect>,
}

impl Connector {
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let mut config: Config = settings
            .url
            .parse()
            .map_err(|error: tokio_postgres::Error| StoreError::Settings(format!("url: {}", causes(&error))))?;
        if let Some(password) = &settings.password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("ucupdates");
        }
        config.connect_timeout(settings.connect_timeout);
        config.keepalives(true).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(10));
        config.options(session_options(settings, config.get_options()));
        let tls = match (config.get_ssl_mode(), &settings.ca_file) {
            (SslMode::Require, ca_file) => Some(tls(ca_file.as_deref().unwrap_or(Path::new(SYSTEM_ROOTS)))?),
            (_, None) => None,
            // Silently unencrypted would not be what whoever names a CA means.
            (_, Some(_)) => {
                return Err(StoreError::Settings("a CA file is given, but the URL lacks sslmode=require".to_owned()));
            }
        };
        Ok(Self { config, tls })
    }

    pub fn pool(&self, settings: &DatabaseSettings) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = match self.tls.clone() {
            Some(tls) => Manager::from_config(self.config.clone(), tls, recycling),
            None => Manager::from_config(self.config.clone(), NoTls, recycling),
        };
        Pool::builder(manager)
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.operation_timeout),
                create: Some(settings.connect_timeout),
                recycle: Some(RECYCLE_TIMEOUT),
            })
            .build()
            .map_err(|error| StoreError::Settings(error.to_string()))
    }
}

/// What the server is asked for at the start of a session: limits for statements and locks, and to notice soon when
/// we are gone, because it would keep our locks. A transaction may idle, whatever the server's default: that of an import
/// does, with its lock, while large files are written.
fn session_options(settings: &DatabaseSettings, own: Option<&str>) -> String {
    let limit_ms = settings.operation_timeout.as_millis();
    format!(
        "-c statement_timeout={limit_ms} -c lock_timeout={limit_ms} -c timezone=UTC \
         -c idle_in_transaction_session_timeout=0 \
         -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 {}",
        own.unwrap_or_default()
    )
}

fn tls(ca_file: &Path) -> Result<MakeRustlsConnect, StoreError> {
    let wrong = |error: &dyn std::fmt::Display| StoreError::Settings(format!("CA file {}: {error}", ca_file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

pub(super) fn pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::timeout("waiting for a free connection"),
        PoolError::Timeout(_) => StoreError::timeout("connecting"),
        // Whatever keeps us from connecting, an administrator mends it outside of this program.
        // The reason has the causes in it: as the source they would be told twice.
        PoolError::Backend(error) => StoreError::Unavailable { reason: causes(&error), source: None },
        error => StoreError::Internal(Box::new(error)),
    }
}

/// The error and what is behind it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
