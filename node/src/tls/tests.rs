//! Certificates on disk and what is served of them. Handshakes with real clients are whole-system tests.

use super::*;
use crate::tls::private::AUTHORITY_FILE;
use jiff::{SignedDuration, Timestamp};
use schema::topology::PoolFqdn;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn now() -> Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

fn names(extra: &str) -> CertificateNames {
    CertificateNames::of_pool(&PoolFqdn::parse("pool01.contoso.com").unwrap(), [], [extra])
}

fn first_of(certificates: &Certificates) -> Vec<u8> {
    certificates.ecdsa.as_ref().unwrap().cert[0].to_vec()
}

fn pair(folder: &Path, chain: &str, key: &str) -> CertificateFiles {
    CertificateFiles { chain: folder.join(chain), key: folder.join(key) }
}

#[test]
fn certificates_are_made_once_and_kept_while_names_and_time_allow() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("tls");
    let make = |extra, days| {
        let at = now() + SignedDuration::from_hours(24) * days;
        first_of(&private_certificates(&folder, &names(extra), at).unwrap())
    };
    let first = make("a.example", 0);
    let authority = fs::read(folder.join(AUTHORITY_FILE)).unwrap();
    assert_eq!(make("a.example", 0), first);
    assert_eq!(make("a.example", 794), first);
    let renewed = make("a.example", 796);
    assert_ne!(renewed, first, "30 days before the end");
    let other_names = make("b.example", 796);
    assert_ne!(other_names, renewed);
    assert_eq!(fs::read(folder.join(AUTHORITY_FILE)).unwrap(), authority, "phones learn the authority once");
    let key = fs::read(folder.join("ca.key")).unwrap();
    make("b.example", 3650);
    assert_ne!(fs::read(folder.join(AUTHORITY_FILE)).unwrap(), authority);
    assert_eq!(fs::read(folder.join("ca.key")).unwrap(), key, "the renewed authority has the same key");
}

#[test]
fn only_the_service_reads_what_is_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("tls");
    private_certificates(&folder, &names("a.example"), now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 6, "{files:?}");
    assert!(files.iter().all(|path| mode(path) == 0o600));
}

#[test]
fn a_torn_certificate_is_made_anew_and_a_lost_authority_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let make = || private_certificates(folder.path(), &names("a.example"), now());
    let first = first_of(&make().unwrap());
    // As after a crash between the new key and the new certificate.
    fs::copy(folder.path().join("ca.key"), folder.path().join("rsa.key")).unwrap();
    assert_ne!(first_of(&make().unwrap()), first);
    fs::remove_file(folder.path().join("ca.key")).unwrap();
    let error = make().unwrap_err().to_string();
    assert!(error.contains("ca.key is missing; restore it, or remove both"), "{error}");
}

#[test]
fn configured_certificates_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    private_certificates(folder, &names("a.example"), now()).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(folder.join("encrypted"), encrypted).unwrap();
    fs::write(folder.join("torn"), "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    let check = |pairs: &[(&str, &str)], expected: &str| {
        let pairs: Vec<_> = pairs.iter().map(|(chain, key)| pair(folder, chain, key)).collect();
        let error = configured_certificates(&pairs).unwrap_err().to_string();
        assert!(error.contains(expected), "{pairs:?}: {error}");
    };
    check(&[], "none is given");
    check(&[("absent", "rsa.key")], "cannot read");
    check(&[("empty", "rsa.key")], "holds no certificate");
    check(&[("rsa.key", "rsa.key")], "holds no certificate");
    check(&[("torn", "rsa.key")], "is not PEM");
    check(&[("rsa.pem", "rsa.pem")], "holds no private key");
    check(&[("rsa.pem", "encrypted")], "the key is encrypted");
    check(&[("rsa.pem", "ca.key")], "is not the key of the first certificate in");
    check(&[("rsa.pem", "rsa.key"), ("ca.pem", "ca.key")], "is a second one of its kind");
    assert!(configured_certificates(&[pair(folder, "rsa.pem", "rsa.key")]).unwrap().ecdsa.is_none());
}

#[test]
fn suites_of_sha256_come_first() {
    let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    assert_eq!(suites[..2], ["TLS13_AES_128_GCM_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(suites[2], "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(suites.len(), aws_lc_rs::DEFAULT_CIPHER_SUITES.len());
}

#[test]
fn settings_are_those_that_were_measured() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = private_certificates(folder.path(), &names("a.example"), now()).unwrap();
    let config = server_config(ServedCertificates::new(certificates), Tickets::new().unwrap()).unwrap();
    assert_eq!(config.max_early_data_size, 0, "a request that is sent twice must not be answered twice");
    assert!(config.ignore_client_order && config.ticketer.enabled());
    assert_eq!(config.send_tls13_tickets, 1);
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
}
