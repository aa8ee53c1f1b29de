//! When the certificates of the listeners expire.

use super::Certificates;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

impl Certificates {
    /// When the ECDSA and the RSA certificate expire, in seconds since 1970; none where there is none.
    pub fn expire_s(&self) -> [Option<i64>; 2] {
        [&self.ecdsa, &self.rsa].map(|certified| certified.as_deref().and_then(expires_s))
    }
}

/// The chain as a whole lasts as long as its first certificate to expire.
fn expires_s(certified: &CertifiedKey) -> Option<i64> {
    let ends = certified.cert.iter().map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().min()
}
