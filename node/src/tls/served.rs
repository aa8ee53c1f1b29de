//! The certificates that listeners serve now, and their renewal while the node runs: files of one's own are taken when
//! they change, private certificates are made anew before they expire. A pair that can't be used is told, and the old
//! one stays. Connections that stand are not touched.

use super::{CertificateFacts, CertificateFiles, CertificateNames, Certificates, TlsError};
use super::{configured_certificates, private_certificates};
use crate::metrics::{KeyKind, Metrics};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sync::clock::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often certificate files are looked at. A share tells nobody that a file changed: looking is all that works
/// everywhere, and a few small files cost nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Where the certificates of a node come from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// Files that somebody else renews.
    Configured(Vec<CertificateFiles>),
    /// A private authority in this folder.
    Private {
        /// The folder.
        folder: PathBuf,
        /// What its certificates are good for.
        names: CertificateNames,
    },
}

impl CertificateSource {
    /// The certificates as they should be served now. Reads files, and may make keys: call it where blocking is allowed.
    pub fn certificates(&self, now: Timestamp) -> Result<Certificates, TlsError> {
        match self {
            Self::Configured(files) => configured_certificates(files),
            Self::Private { folder, names } => private_certificates(folder, names, now),
        }
    }
}

/// The certificates that are served: one value for all listeners.
#[derive(Debug)]
pub struct ServedCertificates(ArcSwap<Certificates>);

impl ServedCertificates {
    /// Serves these.
    pub fn new(certificates: Certificates) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(certificates)))
    }

    /// What each of them says.
    pub fn facts(&self) -> Vec<CertificateFacts> {
        self.0.load().facts()
    }
}

impl ResolvesServerCert for ServedCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().for_client(&hello)
    }
}

/// Keeps what is served up to date.
pub struct Renewal {
    source: CertificateSource,
    served: Arc<ServedCertificates>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Why the last look failed: told once, not with every look.
    failed: Option<String>,
}

impl Renewal {
    /// For what is served of this source.
    pub fn new(
        source: CertificateSource,
        served: Arc<ServedCertificates>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let renewal = Self { source, served, metrics, clock, failed: None };
        renewal.show();
        renewal
    }

    /// Tells the metrics when what is served expires.
    fn show(&self) {
        for (kind, expires_s) in [KeyKind::Ecdsa, KeyKind::Rsa].into_iter().zip(self.served.0.load().expire_s()) {
            self.metrics.upkeep.certificate(kind, expires_s);
        }
    }

    /// Looks until `stop`: every few seconds, and when `asked` changes. What is cancelled is only the waiting.
    pub async fn run(mut self, mut asked: watch::Receiver<()>, stop: CancellationToken) {
        loop {
            let next = async {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                    Ok(()) = asked.changed() => {
                        self.failed = None;
                        tracing::info!("looking at the certificates");
                    }
                }
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
            self = self.look().await;
        }
    }

    /// Reads the certificates, and serves them when they are others.
    async fn look(mut self) -> Self {
        let (source, now) = (self.source.clone(), self.clock.now());
        let read = tokio::task::spawn_blocking(move || source.certificates(now)).await;
        match read {
            Ok(Ok(certificates)) => {
                self.failed = None;
                if !certificates.same_as(&self.served.0.load()) {
                    self.served.0.store(Arc::new(certificates));
                    self.show();
                    for CertificateFacts { serial, not_after, .. } in self.served.facts() {
                        tracing::info!(serial, %not_after, "a new certificate is served");
                    }
                }
            }
            Ok(Err(error)) => self.tell(error.to_string()),
            Err(error) => self.tell(error.to_string()),
        }
        self
    }

    fn tell(&mut self, error: String) {
        if self.failed.as_ref() != Some(&error) {
            tracing::warn!(error, "the certificates can't be read; those that were served go on being served");
            self.failed = Some(error);
        }
    }
}
