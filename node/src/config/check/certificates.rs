//! What is wrong with certificates of one's own: files, keys, time, names, chain. The time is an argument.

use super::machine::open_to_all;
use super::problem::Findings;
use crate::config::Config;
use crate::tls::{self, BOOTSTRAP_NAME, CertificateFacts, CertificateFiles, TlsError};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;

/// A certificate that expires within this time is told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Tells what phones or the node would stumble over.
pub(super) fn check(config: &Config, now: Timestamp, findings: &mut Findings) {
    if findings.is_wrong("tls") {
        return;
    }
    tls::install_crypto_provider();
    let settings = &config.tls;
    let pairs = [
        ("ecdsa", &settings.ecdsa_certificate_file, &settings.ecdsa_key_file),
        ("rsa", &settings.rsa_certificate_file, &settings.rsa_key_file),
    ];
    let mut files = Vec::new();
    for (kind, chain, key) in pairs {
        if let (Some(chain), Some(key)) = (chain, key) {
            pair(kind, chain, key, (config, now), findings);
            files.push(CertificateFiles { chain: chain.clone(), key: key.clone() });
        }
    }
    if files.is_empty() || findings.is_wrong("tls") && tls::configured_certificates(&files).is_err() {
        return;
    }
    match tls::configured_certificates(&files) {
        Err(error) => {
            let mend = "give one pair with an ECDSA P-256 key and one with an RSA key, or only one of them";
            findings.error("tls.rsa_certificate_file", format!("[tls] {error}"), mend);
        }
        Ok(certificates) if !certificates.kinds().1 => {
            let mend = "add a certificate with an RSA key: rsa_certificate_file, rsa_key_file";
            let problem = "[tls] there is no RSA certificate: phones that know no ECDSA are refused";
            findings.warning("tls.ecdsa_certificate_file", problem, mend);
        }
        Ok(_) => {}
    }
}

fn pair(kind: &str, chain: &Path, key: &Path, (config, now): (&Config, Timestamp), findings: &mut Findings) {
    let [certificate_setting, key_setting] = ["certificate", "key"].map(|what| format!("tls.{kind}_{what}_file"));
    let files = [CertificateFiles { chain: chain.to_owned(), key: key.to_owned() }];
    match tls::configured_certificates(&files) {
        Err(error) => {
            let about_key =
                matches!(&error, TlsError::File { path, .. } | TlsError::Content { path, .. } if path == key);
            let setting = if about_key { &key_setting } else { &certificate_setting };
            findings.error(setting, format!("[tls] {error}"), mend(&error, kind));
        }
        Ok(certificates) => {
            for facts in certificates.facts() {
                validity(&certificate_setting, chain, &facts, now, findings);
                names(&certificate_setting, chain, &facts, config, findings);
            }
        }
    }
    if open_to_all(key) {
        let shown = key.display();
        let mend = format!("chown root:ucupdates {shown} && chmod 0640 {shown}");
        findings.warning(&key_setting, format!("[tls] the key {shown} can be read by everyone here"), mend);
    }
}

fn mend(error: &TlsError, kind: &str) -> String {
    match error {
        TlsError::File { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            format!("put {} there, or mend the name", path.display())
        }
        TlsError::File { path, .. } => {
            let shown = path.display();
            format!("let the service read it: chown root:ucupdates {shown} && chmod 0640 {shown}")
        }
        TlsError::Content { problem, .. } if problem.contains("is not the key of") => {
            format!("name the two that belong together: {kind}_certificate_file and {kind}_key_file")
        }
        _ => "store it as PEM: the certificate first, then those of its authorities; the key without a password"
            .to_owned(),
    }
}

fn validity(setting: &str, chain: &Path, facts: &CertificateFacts, now: Timestamp, findings: &mut Findings) {
    let shown = chain.display();
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    if facts.not_after <= now {
        let mend = "put a renewed certificate there: a node that runs takes it without a restart";
        findings.warning(setting, format!("[tls] {shown} expired on {}: phones refuse it", day(facts.not_after)), mend);
    } else if facts.not_after <= now + SOON {
        let mend = "renew it: a node that runs takes the new one without a restart";
        findings.warning(setting, format!("[tls] {shown} expires on {}", day(facts.not_after)), mend);
    } else if facts.not_before > now {
        let mend = "wait until then, or mend this machine's clock";
        findings.warning(setting, format!("[tls] {shown} is not valid before {}", day(facts.not_before)), mend);
    }
    if facts.behind == 0 && !facts.self_signed {
        let mend = format!("append the intermediate authorities' certificates: cat intermediate.pem >> {shown}");
        let problem =
            format!("[tls] {shown} holds one certificate and not those of its authorities: phones can't verify it");
        findings.warning(setting, problem, mend);
    }
}

/// The names that phones ask for.
fn names(setting: &str, chain: &Path, facts: &CertificateFacts, config: &Config, findings: &mut Findings) {
    let in_domain = |domain: &String| format!("{BOOTSTRAP_NAME}.{domain}");
    let own = config.pool.fqdn.as_str();
    let own_domain = own.split_once('.').map(|(_, domain)| domain.to_owned());
    let domains =
        if config.tls.domains.is_empty() { own_domain.into_iter().collect() } else { config.tls.domains.clone() };
    let wanted = [own.to_owned(), BOOTSTRAP_NAME.to_owned()].into_iter().chain(domains.iter().map(in_domain));
    let missing: Vec<String> = wanted.filter(|name| !facts.is_good_for(name)).collect();
    if !missing.is_empty() {
        let problem = format!(
            "[tls] {} is not good for {}: phones that ask for it refuse TLS",
            chain.display(),
            missing.join(", ")
        );
        findings.warning(setting, problem, "have a certificate made with these as subject alternative names (DNS)");
    }
}
