//! The certificates of the node's listeners and the TLS settings of all of them: TLS 1.2 and 1.3, an ECDSA and an RSA
//! certificate chosen by what the client can verify. Where certificates come from is in [`private`] and
//! [`configured_certificates`]. No key is ever logged.

mod expiry;
mod facts;
mod names;
mod pem;
pub mod private;
pub mod served;
mod tickets;

pub use crate::tls::facts::CertificateFacts;
pub use crate::tls::names::{BOOTSTRAP_NAME, CertificateNames};
pub use crate::tls::private::private_certificates;
pub use crate::tls::served::{CertificateSource, ServedCertificates};
pub use crate::tls::tickets::Tickets;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm, SupportedCipherSuite};
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate chain and its key, as PEM files. Both may be one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by its chain.
    pub chain: PathBuf,
    /// The key: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub key: PathBuf,
}

/// Certificates that can't be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Two configured certificates have keys of one kind, or there is none.
    #[error("give one certificate with an ECDSA key, one with an RSA key, or one of each: {0}")]
    Choice(String),
    /// A certificate can't be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The machine gives no random numbers, or the TLS library refuses a key.
    #[error("cannot make a key for session tickets")]
    TicketKey,
}

/// Certificates with their keys, ready to serve: at least one.
#[derive(Debug, Clone)]
pub struct Certificates {
    ecdsa: Option<Arc<CertifiedKey>>,
    rsa: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// What each of them says, ECDSA first.
    pub fn facts(&self) -> Vec<CertificateFacts> {
        self.ecdsa.iter().chain(&self.rsa).filter_map(|certified| CertificateFacts::of(certified)).collect()
    }

    /// Whether there is one with an ECDSA key, and one with an RSA key.
    pub fn kinds(&self) -> (bool, bool) {
        (self.ecdsa.is_some(), self.rsa.is_some())
    }
}

/// Installs the one crypto provider of the process, aws-lc-rs. Call it first; further calls do nothing.
pub fn install_crypto_provider() {
    // An error means that a provider is installed already: by an earlier call, as nothing else installs one.
    let _ = provider().install_default();
}

/// aws-lc-rs with its SHA-256 suites first: they cost less than those of SHA-384 (DESIGN.md 9: 23 % of a handshake).
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // Stable, so that AES stays before ChaCha20. The version of TLS is not chosen by this order.
    provider.cipher_suites.sort_by_key(|suite| !uses_sha256(suite));
    provider
}

fn uses_sha256(suite: &SupportedCipherSuite) -> bool {
    let name = suite.suite().as_str().unwrap_or_default();
    name.ends_with("SHA256")
}

/// The certificates in these files: at most one with an ECDSA key and one with an RSA key.
pub fn configured_certificates(files: &[CertificateFiles]) -> Result<Certificates, TlsError> {
    let mut certificates = Certificates { ecdsa: None, rsa: None };
    for pair in files {
        let certified = Arc::new(pem::read_pair(pair, &provider())?);
        let place = match certified.key.algorithm() {
            SignatureAlgorithm::ECDSA => &mut certificates.ecdsa,
            SignatureAlgorithm::RSA => &mut certificates.rsa,
            other => {
                let problem = format!("an ECDSA or RSA key is expected, not {other:?}: phones know no other");
                return Err(TlsError::Content { path: pair.key.clone(), problem });
            }
        };
        if place.replace(certified).is_some() {
            return Err(TlsError::Choice(format!("{} is a second one of its kind", pair.chain.display())));
        }
    }
    if certificates.ecdsa.is_none() && certificates.rsa.is_none() {
        return Err(TlsError::Choice("none is given".to_owned()));
    }
    Ok(certificates)
}

/// The TLS settings of a listener that serves these certificates, and gives and takes tickets of these keys, whichever they
/// are at the time.
pub fn server_config(
    certificates: Arc<ServedCertificates>,
    tickets: Arc<Tickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.ignore_client_order = true;
    config.ticketer = tickets;
    // Of the tickets that a phone gets it uses one, a day later or never.
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Certificates {
    /// The ECDSA certificate for a client that can verify it, else the RSA one. Names don't matter: some phones
    /// send none (PROTOCOL.md 2). The signature schemes of a TLS 1.2 client are only those that one of its suites can
    /// be used with: rustls sees to that.
    fn for_client(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        self.ecdsa.iter().chain(&self.rsa).find(usable).cloned()
    }

    /// Whether a client would see no difference.
    fn same_as(&self, other: &Self) -> bool {
        let chain = |certified: &Option<Arc<CertifiedKey>>| certified.as_ref().map(|certified| certified.cert.clone());
        chain(&self.ecdsa) == chain(&other.ecdsa) && chain(&self.rsa) == chain(&other.rsa)
    }
}

#[cfg(test)]
mod tests;
