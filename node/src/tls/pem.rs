//! Reading a certificate chain and its key from PEM files, with errors that a person can act on.

use super::{CertificateFiles, TlsError};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::path::Path;

/// Larger files are no certificates.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// Reads a chain and the key of its first certificate.
pub(super) fn read_pair(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.chain)?;
    let key = read_key(&files.key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let problem = format!("is not the key of the first certificate in {}", files.chain.display());
            content(&files.key, problem)
        }
        Error::InvalidCertificate(error) => {
            content(&files.chain, format!("the first certificate cannot be used: {error:?}"))
        }
        error => content(&files.key, format!("the key cannot be used: {error}")),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| content(path, format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(content(path, "holds no certificate; expected '-----BEGIN CERTIFICATE-----'".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
        content(
            path,
            match error {
                pem::Error::NoItemsFound if encrypted => {
                    "the key is encrypted; store it without a password, readable by this service only".to_owned()
                }
                pem::Error::NoItemsFound => "holds no private key; expected '-----BEGIN PRIVATE KEY-----'".to_owned(),
                error => format!("is not PEM: {error}"),
            },
        )
    })
}

/// The bytes of a file that a person may have mistaken for another.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { action: "read", path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > LIMIT_BYTES {
        return Err(content(path, "is too large for a certificate".to_owned()));
    }
    std::fs::read(path).map_err(failed)
}

pub(super) fn content(path: &Path, problem: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), problem }
}
