//! Firmware versions: four numbers, compared numerically (PROTOCOL.md 5).
//! Must not hold what a version means for a rule; that is `rule`.

use crate::ParseError;
use std::fmt;
use std::str::FromStr;

/// A firmware version such as `4.0.7577.4387`: major, minor, build, QFE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion([u32; 4]);

impl FirmwareVersion {
    /// `0.0.0.0`: a phone's word for "nothing installed" (PROTOCOL.md 3).
    pub const NONE: Self = Self([0; 4]);

    /// A version of the given major, minor, build and QFE number.
    pub const fn new(major: u32, minor: u32, build: u32, qfe: u32) -> Self {
        Self([major, minor, build, qfe])
    }

    /// Reads one to four decimal numbers joined by dots; missing ones are 0. White space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("version", text, "one to four numbers joined by dots, such as 4.0.7577.4387");
        let mut numbers = [0; 4];
        let mut slots = numbers.iter_mut();
        for part in text.trim().split('.') {
            let slot = slots.next().ok_or_else(error)?;
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(error());
            }
            *slot = part.parse().map_err(|_| error())?;
        }
        Ok(Self(numbers))
    }

    /// The next lower version; `0.0.0.0` has none and stays.
    pub fn before(self) -> Self {
        let Self(mut numbers) = self;
        for number in numbers.iter_mut().rev() {
            match number.checked_sub(1) {
                Some(less) => {
                    *number = less;
                    return Self(numbers);
                }
                None => *number = u32::MAX,
            }
        }
        self
    }

    /// Whether this is `0.0.0.0`.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, qfe] = self.0;
        write!(f, "{major}.{minor}.{build}.{qfe}")
    }
}

impl FromStr for FirmwareVersion {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_four_numbers_compared_numerically() {
        let parse = |text| FirmwareVersion::parse(text).unwrap();
        assert!(parse("1.0.522.98") < parse("1.0.522.103"));
        assert!(parse("4.0.7577.4387") < parse("4.0.7577.40000"));
        assert!(parse("10") > parse("9.9.9.9"));
        assert_eq!(parse("3.5"), parse("3.5.0.0"));
        assert_eq!(parse(" 3.5.6907 ").to_string(), "3.5.6907.0");
        assert_eq!(parse("0.0.0.0"), FirmwareVersion::NONE);
    }

    #[test]
    fn nothing_stands_between_a_version_and_the_one_before() {
        let before = |text| FirmwareVersion::parse(text).unwrap().before().to_string();
        assert_eq!(before("4.1.0.1"), "4.1.0.0");
        assert_eq!(before("4.1.0.0"), "4.0.4294967295.4294967295");
        assert_eq!(before("0.0.0.0"), "0.0.0.0");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", ".", "1.", "1..2", "1.2.3.4.5", "v1", "-1", "+1", "1.2.3.4294967296", "1,2", "١"] {
            assert!(FirmwareVersion::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(numbers: [u32; 4]) {
            let version = FirmwareVersion(numbers);
            prop_assert_eq!(FirmwareVersion::parse(&version.to_string()), Ok(version));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = FirmwareVersion::parse(&text);
        }
    }
}
