//! Where things stand: sites, pools, nodes, and the addresses that a pool tells its phones (rows C19, C20).

use crate::ParseError;
use crate::device::text_type;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// The name of a site, compared without regard to case; stored as first written.
#[derive(Debug, Clone)]
pub struct SiteName(String);

impl SiteName {
    /// Reads 1 to 64 characters without control characters, `/`, or white space at an end.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let fits = (1..=64).contains(&text.chars().count()) && text.trim() == text;
        if !fits || text.chars().any(|c| c.is_control() || c == '/' || c == ':') {
            let expected = "1 to 64 characters without '/', ':' or control characters";
            return Err(ParseError::new("site name", text, expected));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SiteName {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl Eq for SiteName {}

/// The fully qualified domain name of a pool, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolFqdn(String);

impl PoolFqdn {
    /// Reads a host name: labels of letters, digits and `-`, joined by dots, 253 characters at most.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.len() > 253 || !text.split('.').all(is_label) {
            return Err(ParseError::new("pool FQDN", text, "a host name such as pool01.contoso.com"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
}

/// The name of a node: it stands in the names of its audit files, so it is a host name too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// Reads a host name, short or full.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > 253 || !text.split('.').all(is_label) {
            return Err(ParseError::new("node name", text, "a host name such as node1 or node1.contoso.com"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The folder of a pool's web service below the store's root: `1-WebServices-1` (PROTOCOL.md 8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(String);

impl ServiceId {
    /// Reads 1 to 64 letters, digits and `-`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if !is_label(text) {
            return Err(ParseError::new(
                "service id",
                text,
                "1 to 63 letters, digits and '-', such as 1-WebServices-1",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An absolute http or https URL without query, fragment, credentials or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads such a URL; trailing slashes are dropped, because a base URL has none (PROTOCOL.md 4).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim().trim_end_matches('/');
        let expected = "an http or https URL without query, such as http://pool01.contoso.com/DeviceUpdateFiles_Int";
        let error = || ParseError::new("URL", text, expected);
        let url = Url::parse(text).map_err(|_| error())?;
        let plain =
            url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        let written_plainly =
            text.len() <= 1024 && text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !b"<>\"&'".contains(&byte));
        if !plain || !written_plainly || !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(error());
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(SiteName, PoolFqdn, NodeName, ServiceId, PublicUrl);

/// The four addresses of a pool's device update service (row C19). Nothing is given for what is not configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolUrls {
    /// Where phones inside ask: `updatesServerInternalUrl`.
    pub internal_update: Option<PublicUrl>,
    /// Where phones outside ask: `updatesServerExternalUrl`.
    pub external_update: Option<PublicUrl>,
    /// What `BaseURL` starts with: the update files' folder for phones inside.
    pub internal_files: Option<PublicUrl>,
    /// What `ExternalBaseURL` starts with: the update files' folder for phones outside.
    pub external_files: Option<PublicUrl>,
}

/// A pool: one device update web service, of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The pool's FQDN.
    pub fqdn: PoolFqdn,
    /// The site that it stands in.
    pub site: SiteName,
    /// The folder of its files in the store.
    pub service_id: ServiceId,
    /// What it tells its phones.
    pub urls: PoolUrls,
}

impl Pool {
    /// `service:WebServer:<pool FQDN>` (row I01).
    pub fn identity(&self) -> String {
        format!("service:WebServer:{}", self.fqdn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_plain_and_end_without_a_slash() {
        let parse = |text| PublicUrl::parse(text).map(|url| url.to_string()).ok();
        assert_eq!(
            parse("http://ocs.demo.local/DeviceUpdateFiles_Int/").as_deref(),
            Some("http://ocs.demo.local/DeviceUpdateFiles_Int")
        );
        assert_eq!(parse("https://[::1]:4443/x").as_deref(), Some("https://[::1]:4443/x"));
        for text in [
            "",
            "ocs.demo.local",
            "ftp://a/b",
            "http://a/b?c",
            "http://a/b#c",
            "http://u:p@a/b",
            "http://a/<b>",
            "file:///etc",
            "http://a/b c",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in ["", "..", ".", "a/b", "a\\b", "-a", "a-", "a b", "a\n"] {
            assert!(ServiceId::parse(text).is_err(), "{text:?}");
            assert!(NodeName::parse(text).is_err(), "{text:?}");
            assert!(PoolFqdn::parse(text).is_err() || text.trim() == "a", "{text:?}");
        }
        assert_eq!(PoolFqdn::parse("Pool01.Contoso.COM").unwrap().as_str(), "pool01.contoso.com");
        assert_eq!(SiteName::parse("Redmond").unwrap(), SiteName::parse("redmond").unwrap());
        assert!(SiteName::parse("a/b").is_err() && SiteName::parse(" a").is_err());
    }
}
