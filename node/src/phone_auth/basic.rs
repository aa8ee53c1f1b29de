//! The `Authorization` header of HTTP Basic (RFC 7617, UTF-8). What can't be read is no credentials.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;

/// The longest header that is read: a name and a password have a few hundred bytes at most.
const LIMIT_BYTES: usize = 2048;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as the phone sent them.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads the header's value.
    pub(super) fn read(header: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = header.to_str().ok().filter(|text| text.len() <= LIMIT_BYTES)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        if name.is_empty() || decoded.chars().any(char::is_control) {
            return None;
        }
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_clients_write_them() {
        let check = |header: &str, expected: Option<(&str, &str)>| {
            let read = Credentials::read(&HeaderValue::from_str(header).unwrap());
            let read = read.as_ref().map(|credentials| (credentials.name.as_str(), credentials.password.as_str()));
            assert_eq!(read, expected, "{header}");
        };
        let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        check(&basic("phones@contoso.com:secret"), Some(("phones@contoso.com", "secret")));
        check(&basic("a:b:c"), Some(("a", "b:c")));
        check(&basic("jürgen:größe"), Some(("jürgen", "größe")));
        check(&basic("a:"), Some(("a", "")));
        check("basic YTpi", Some(("a", "b")));
        check("BASIC  YTpi ", Some(("a", "b")));
        check("Basic YTpiYw", Some(("a", "bc")));
        check("Basic YTpiYw==", Some(("a", "bc")));
        check(&basic("no colon"), None);
        check(&basic(":nobody"), None);
        check(&basic("a\r\nb:c"), None);
        check("Basic", None);
        check("Basic !!!", None);
        check("Basic /////w==", None);
        check("Bearer YTpi", None);
        check("NTLM TlRMTVNTUAABAAAA", None);
        check(&basic(&"a:".repeat(2000)), None);
    }
}
