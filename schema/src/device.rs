//! What names a device: MAC address, serial number, and the key that rules are matched by (PROTOCOL.md 3, 5, 6).
//! Names compare without regard to case and keep the case they were written in.

use crate::ParseError;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A MAC address of six or more bytes, held as upper-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(String);

/// Pairs that a MAC address has at least (row T05), and at most (ours; the longest link-layer address in use has 20).
const MAC_PAIRS: std::ops::RangeInclusive<usize> = 6..=20;

impl MacAddress {
    /// Reads hex pairs, all joined by nothing, by `-` or by `:` (row T05).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let error = || {
            ParseError::new(
                "MAC address",
                text,
                "six or more pairs of hex digits, joined by nothing, '-' or ':', such as 0021630F207B",
            )
        };
        let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
        let digits = match separator {
            None => text.to_owned(),
            Some(separator @ ('-' | ':')) => {
                let pairs: Vec<&str> = text.split(separator).collect();
                if pairs.iter().any(|pair| pair.len() != 2) {
                    return Err(error());
                }
                pairs.concat()
            }
            Some(_) => return Err(error()),
        };
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || digits.len() % 2 != 0 || !MAC_PAIRS.contains(&(digits.len() / 2)) {
            return Err(error());
        }
        Ok(Self(digits.to_ascii_uppercase()))
    }

    /// The upper-case hex digits, without separators.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A serial number: letters, digits, `-` and `_` (row T04), compared without regard to case (ours).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SerialNumber(Name);

impl SerialNumber {
    /// Reads one to 64 letters, digits, hyphens and underscores.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > NAME_LIMIT_BYTES || !text.bytes().all(allowed) {
            let expected = "1 to 64 letters, digits, '-' and '_'";
            return Err(ParseError::new("serial number", text, expected));
        }
        Ok(Self(Name(text.to_owned())))
    }

    /// The serial number in the case it was written in.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Bytes a [`Name`] has at most (ours).
pub const NAME_LIMIT_BYTES: usize = 64;

/// A device type, brand, model, revision, locale, update type or file name. It is compared without regard to case, and
/// means the same as a segment of a path on any file system, of an object store's key and of a URL, and as a field of
/// the audit log (all ours): that leaves letters, digits, space and some punctuation, no space or dot at an end.
#[derive(Debug, Clone)]
pub struct Name(String);

impl Name {
    /// Reads 1 to 64 characters that can stand anywhere a name has to.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let expected = "1 to 64 ASCII letters, digits, spaces and - _ . + ( ) & @ ' ! =, no space or dot at an end";
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.+()&@'!=".contains(&byte);
        let at_end = |c| c == ' ' || c == '.';
        let fits = (1..=NAME_LIMIT_BYTES).contains(&text.len());
        if !fits || !text.bytes().all(allowed) || text.starts_with(at_end) || text.ends_with(at_end) {
            return Err(ParseError::new("name", text, expected));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name in the case it was written in.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file name without its last extension: `CPE` for `CPE.nbt` (PROTOCOL.md 5, update type).
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.0.as_str(), |(stem, _)| stem)
    }

    /// The last extension in lower case, without its dot; empty when there is none.
    pub fn extension(&self) -> String {
        self.0.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let folded = |name: &Self| name.0.to_ascii_lowercase();
        folded(self).cmp(&folded(other))
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // In one piece: a hash takes many small ones slowly. The byte past the end ends the name.
        let mut folded = [0xff; NAME_LIMIT_BYTES + 1];
        for (into, byte) in folded.iter_mut().zip(self.0.bytes()) {
            *into = byte.to_ascii_lowercase();
        }
        state.write(&folded[..=self.0.len().min(NAME_LIMIT_BYTES)]);
    }
}

/// What a rule is matched by, besides its pool (PROTOCOL.md 5): all six without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    /// `UCPhone`, `RoundTable`, or any other plain string.
    pub device_type: Name,
    /// The vendor: `Polycom`, `LG-Nortel`.
    pub brand: Name,
    /// `CX600`, `IP8540`.
    pub model: Name,
    /// The hardware revision: `A`.
    pub revision: Name,
    /// Windows' three letters: `ENU`.
    pub locale: Name,
    /// The stem of the image's file name: `CPE`.
    pub update_type: Name,
}

impl fmt::Display for DeviceKey {
    /// `UCPhone/Polycom/CX600/A/ENU/CPE`: for people and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_type, brand, model, revision, locale, update_type } = self;
        write!(f, "{device_type}/{brand}/{model}/{revision}/{locale}/{update_type}")
    }
}

/// `Display` and `FromStr` of a type that wraps a text and has `as_str` and `parse`.
macro_rules! text_type {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                Self::parse(text)
            }
        }
    )*};
}
pub(crate) use text_type;

text_type!(MacAddress, SerialNumber, Name);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mac(text: &str) -> Option<String> {
        MacAddress::parse(text).ok().map(|mac| mac.to_string())
    }

    #[test]
    fn mac_addresses_compare_by_their_hex_digits() {
        let expected = Some("0021630F207B".to_owned());
        for text in ["0021630F207B", "0021630f207b", "00-21-63-0F-20-7B", "00:21:63:0f:20:7b", " 0021630F207B "] {
            assert_eq!(mac(text), expected, "{text:?}");
        }
        assert_eq!(mac("01-02-03-04-05-06-07-08").as_deref(), Some("0102030405060708"));
    }

    #[test]
    fn what_is_no_mac_address_is_refused() {
        let long = "00".repeat(21);
        for text in [
            "",
            "0021630F20",
            "00-21-63-0F-20",
            "0021630F207",
            "00-21:63-0F-20-7B",
            "0-021-630F-207B",
            "00216G0F207B",
            "é021630F207B",
            "00--21630F207B",
            &long,
        ] {
            assert_eq!(mac(text), None, "{text:?}");
        }
    }

    #[test]
    fn serial_numbers_are_letters_digits_hyphen_and_underscore() {
        assert!(SerialNumber::parse("AB37_679e").is_ok());
        assert_eq!(SerialNumber::parse("c185h001209"), SerialNumber::parse("C185H001209"));
        for text in ["", "AB 37", "AB37\n1", "AB37;", "ÄB37"] {
            assert!(SerialNumber::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_compare_without_case_and_can_stand_in_a_path() {
        assert_eq!(Name::parse("LG-Nortel").unwrap(), Name::parse("lg-nortel").unwrap());
        assert_eq!(Name::parse("CPE.nbt").unwrap().stem(), "CPE");
        assert_eq!(Name::parse("CPE.NBT").unwrap().extension(), "nbt");
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "C:",
            "a*",
            " a",
            "a ",
            "a.",
            "a\n",
            "a\0",
            "ä",
            "a#b",
            "a;b",
            "a%b",
            "a,b",
            "a~b",
            &"a".repeat(65),
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_mac_address_is_the_same_with_any_separator(bytes in proptest::collection::vec(any::<u8>(), 6..=20)) {
            let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let joined = MacAddress::parse(&pairs.concat()).unwrap();
            prop_assert_eq!(&MacAddress::parse(&pairs.join("-")).unwrap(), &joined);
            prop_assert_eq!(&MacAddress::parse(&pairs.join(":")).unwrap(), &joined);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = (MacAddress::parse(&text), SerialNumber::parse(&text), Name::parse(&text));
        }
    }
}
