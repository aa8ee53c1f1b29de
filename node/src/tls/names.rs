//! The names that a certificate made here is valid for. Which of them phones ask for is in PROTOCOL.md 1 and 12.

use schema::topology::PoolFqdn;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name that phones look for before any sign-in, alone and in the DNS domain that DHCP gives them.
pub const BOOTSTRAP_NAME: &str = "ucupdates-r2";

/// The name that some old builds look for instead (row X03: the sources disagree which, so both are answered to).
const OLD_BOOTSTRAP_NAME: &str = "ucupdates";

/// The longest common name that X.509 allows.
const COMMON_NAME_CHARS: usize = 64;

/// The names of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    pub(super) common_name: String,
    pub(super) dns: BTreeSet<String>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl CertificateNames {
    /// The names of a pool: its FQDN, `ucupdates-r2` and `ucupdates`, alone and in each of the phones' DNS domains
    /// (when none is given, the pool's own domain), this machine under its local names, and the extra names or
    /// addresses.
    pub fn of_pool<'a>(
        fqdn: &PoolFqdn,
        domains: impl IntoIterator<Item = &'a str>,
        extra: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut domains: Vec<&str> = domains.into_iter().collect();
        if let (true, Some((_, own))) = (domains.is_empty(), fqdn.as_str().split_once('.')) {
            domains.push(own);
        }
        let mut names = Self {
            common_name: fqdn.as_str().to_owned(),
            dns: [fqdn.as_str(), "localhost"].map(str::to_owned).into(),
            addresses: [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into(),
        };
        if names.common_name.chars().count() > COMMON_NAME_CHARS {
            BOOTSTRAP_NAME.clone_into(&mut names.common_name);
        }
        for name in [BOOTSTRAP_NAME, OLD_BOOTSTRAP_NAME] {
            names.dns.insert(name.to_owned());
            names.dns.extend(domains.iter().map(|domain| format!("{name}.{}", domain.to_ascii_lowercase())));
        }
        for name in extra {
            match name.parse::<IpAddr>() {
                Ok(address) => names.addresses.insert(address.to_canonical()),
                Err(_) => names.dns.insert(name.to_ascii_lowercase()),
            };
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_phones_and_people_ask_for() {
        let fqdn = PoolFqdn::parse("Pool01.Contoso.com").unwrap();
        let dns = |names: &CertificateNames| names.dns.iter().cloned().collect::<Vec<_>>().join(" ");
        let own = CertificateNames::of_pool(&fqdn, [], []);
        assert_eq!(
            dns(&own),
            "localhost pool01.contoso.com ucupdates ucupdates-r2 ucupdates-r2.contoso.com ucupdates.contoso.com"
        );
        let given =
            CertificateNames::of_pool(&fqdn, ["Branch.example"], ["10.1.1.90", "fd00::1", "Updates.contoso.com"]);
        assert_eq!(
            dns(&given),
            "localhost pool01.contoso.com ucupdates ucupdates-r2 ucupdates-r2.branch.example ucupdates.branch.example \
             updates.contoso.com"
        );
        let addresses: Vec<String> = given.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.1.1.90", "127.0.0.1", "::1", "fd00::1"]);
    }

    #[test]
    fn a_common_name_is_never_too_long_for_a_certificate() {
        let fqdn = PoolFqdn::parse(&format!("{}.{}.com", "a".repeat(40), "b".repeat(40))).unwrap();
        assert_eq!(CertificateNames::of_pool(&fqdn, [], []).common_name, "ucupdates-r2");
    }
}
