//! What a certificate says of itself: for logs, metrics, and for finding out what is wrong with one. Pure.

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says, and how many stand behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// In hexadecimal digits, as `openssl x509 -serial` shows it.
    pub serial: String,
    /// It is valid from this time on.
    pub not_before: Timestamp,
    /// It expires at this time.
    pub not_after: Timestamp,
    /// Its DNS names, in lower case; a wildcard as it is.
    pub dns: BTreeSet<String>,
    /// Its IP addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it is its own issuer.
    pub self_signed: bool,
    /// Certificates that are served after it.
    pub behind: usize,
}

impl CertificateFacts {
    /// Of the first certificate of a chain; none when it can't be read.
    pub(super) fn of(certified: &CertifiedKey) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certified.cert.first()?).ok()?;
        let (dns, addresses) = names_of(&certificate);
        let validity = certificate.validity();
        Some(Self {
            serial: hex::encode_upper(certificate.raw_serial()),
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            dns: dns.into_iter().map(|name| name.to_ascii_lowercase()).collect(),
            addresses,
            self_signed: certificate.subject() == certificate.issuer(),
            behind: certified.cert.len() - 1,
        })
    }

    /// Whether a client that asks for this name takes the certificate.
    pub fn is_good_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        self.dns.contains(&name)
            || wildcard.is_some_and(|wildcard| self.dns.contains(&wildcard))
            || name.parse().is_ok_and(|address| self.addresses.contains(&address))
    }
}

/// The DNS names and IP addresses of a certificate.
pub(super) fn names_of(certificate: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let (mut dns, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                dns.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).ok();
                addresses.extend(v4.or_else(|| <[u8; 16]>::try_from(*bytes).map(IpAddr::from).ok()));
            }
            _ => {}
        }
    }
    (dns, addresses)
}
