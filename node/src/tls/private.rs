//! A private certificate authority with two certificates, for pools that have none of their own: made on first start,
//! in one folder, as PEM files. The authority's key is RSA, so that phones that know no ECDSA can verify the chain. The
//! authority is kept as long as it is valid, because phones learn it once (row X06); certificates are made anew when
//! names change or time runs out. The time is an argument.

use super::facts::names_of;
use super::pem::{content, read};
use super::{CertificateFiles, CertificateNames, Certificates, TlsError, configured_certificates};
use crate::durable;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType, date_time_ymd,
};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const AUTHORITY_DAYS: i32 = 3653;
/// What browsers accept of a private authority at most.
const CERTIFICATE_DAYS: i32 = 825;
/// Certificates are made anew this long before they expire.
const RENEW_DAYS: i32 = 30;

/// The file in the folder that administrators give to whoever must trust the private authority.
pub const AUTHORITY_FILE: &str = "ca.pem";
const AUTHORITY_KEY_FILE: &str = "ca.key";

/// The certificates in `folder`, made there by a private authority when they are missing, can't be read, have other
/// names, or expire within 30 days. Takes some tenths of a second when keys are made: call it where blocking is
/// allowed.
pub fn private_certificates(folder: &Path, names: &CertificateNames, now: Timestamp) -> Result<Certificates, TlsError> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|source| TlsError::File { action: "create", path: folder.to_owned(), source })?;
    let authority = Authority::load_or_make(folder, names, now)?;
    let pairs = ["ecdsa", "rsa"].map(|kind| CertificateFiles {
        chain: folder.join(format!("{kind}.pem")),
        key: folder.join(format!("{kind}.key")),
    });
    if pairs.iter().all(|pair| authority.still_good(pair, names, now))
        && let Ok(certificates) = configured_certificates(&pairs)
    {
        return Ok(certificates);
    }
    tracing::info!(folder = %folder.display(), "making certificates");
    let [ecdsa, rsa] = &pairs;
    authority.issue(ecdsa, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, names, now)?;
    authority.issue(rsa, KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?, names, now)?;
    configured_certificates(&pairs)
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The key is written first and kept for ever: a crash in between leaves a key without certificate, which the
    /// next start makes; and phones that know the authority know the renewed one too.
    fn load_or_make(folder: &Path, names: &CertificateNames, now: Timestamp) -> Result<Self, TlsError> {
        let (path, key_path) = (folder.join(AUTHORITY_FILE), folder.join(AUTHORITY_KEY_FILE));
        let key = if key_path.exists() {
            let text = read_text(&key_path)?;
            KeyPair::from_pem(&text).map_err(|error| content(&key_path, format!("is no private key: {error}")))?
        } else if path.exists() {
            // A new authority would lock out every phone that trusts this one: a person must decide.
            let problem = format!("its key {} is missing; restore it, or remove both", key_path.display());
            return Err(content(&path, problem));
        } else {
            let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
            write(&key_path, &key.serialize_pem())?;
            key
        };
        if !path.exists() || expires_soon(&path, now)? {
            tracing::info!(path = %path.display(), "making a private certificate authority");
            write(&path, &authority_params(names, now).self_signed(&key)?.pem())?;
        }
        let pem = read_text(&path)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key);
        let issuer = issuer.map_err(|error| content(&path, format!("is no certificate authority: {error}")))?;
        Ok(Self { pem, issuer })
    }

    /// Whether the stored certificate is of this authority, has exactly these names, and lasts.
    fn still_good(&self, pair: &CertificateFiles, names: &CertificateNames, now: Timestamp) -> bool {
        let Ok(text) = read_text(&pair.chain) else { return false };
        if !text.ends_with(&self.pem) || expires_soon(&pair.chain, now).unwrap_or(true) {
            return false;
        }
        let stored = first_certificate(&pair.chain, names_of);
        stored.is_ok_and(|(dns, addresses)| dns == names.dns && addresses == names.addresses)
    }

    fn issue(
        &self,
        files: &CertificateFiles,
        key: KeyPair,
        names: &CertificateNames,
        now: Timestamp,
    ) -> Result<(), TlsError> {
        let certificate = certificate_params(names, now)?.signed_by(&key, &self.issuer)?;
        write(&files.key, &key.serialize_pem())?;
        write(&files.chain, &(certificate.pem() + &self.pem))
    }
}

fn authority_params(names: &CertificateNames, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "ucupdates private authority");
    params.distinguished_name.push(DnType::CommonName, names.common_name.as_str());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, AUTHORITY_DAYS);
    params
}

fn certificate_params(names: &CertificateNames, now: Timestamp) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.common_name.as_str());
    for name in &names.dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, CERTIFICATE_DAYS);
    Ok(params)
}

/// From the day before, for phones whose clock is a little late (row X08).
fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i32) {
    let day = |timestamp: Timestamp| {
        let date = timestamp.to_zoned(TimeZone::UTC).date();
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now - DAY);
    params.not_after = day(now + DAY * days);
}

fn expires_soon(path: &Path, now: Timestamp) -> Result<bool, TlsError> {
    let until_s = first_certificate(path, |certificate| certificate.validity().not_after.timestamp())?;
    Ok(until_s < (now + DAY * RENEW_DAYS).as_second())
}

/// What `of` finds in the first certificate of a PEM file.
fn first_certificate<T>(path: &Path, of: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<T, TlsError> {
    let text = read(path)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).map_err(|error| content(path, error.to_string()))?;
    let parsed = X509Certificate::from_der(&pem.contents);
    let (_, certificate) = parsed.map_err(|error| content(path, error.to_string()))?;
    Ok(of(&certificate))
}

fn read_text(path: &Path) -> Result<String, TlsError> {
    String::from_utf8(read(path)?).map_err(|_| content(path, "is not PEM".to_owned()))
}

/// Writes a file whole or not at all, readable by this service only.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let written = durable::replace(path, text.as_bytes());
    written.map_err(|source| TlsError::File { action: "write", path: path.to_owned(), source })
}
