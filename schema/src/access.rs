//! The lines and file names of the access log (PROTOCOL.md 10): W3C extended log format, with the fields that
//! administrators know from IIS. Whatever a client sends, a line is one line with as many fields as its header names.
//! Where lines are stored, and when, is not here.

use crate::ParseError;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use std::fmt::{self, Write as _};

/// The fields of a line, in their order.
pub const FIELDS: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) \
    sc-status sc-substatus sc-win32-status time-taken";

/// What a field is that has no value.
pub const ABSENT: char = '-';

/// `sc-win32-status` of a response that was sent to its last byte.
pub const WHOLE: u16 = 0;

/// `sc-win32-status` of a response whose connection ended before that: "the specified network name is no longer
/// available", as IIS writes it.
pub const CUT_OFF: u16 = 64;

/// Bytes of one value that are written; a longer one ends in three dots (ours).
pub const VALUE_LIMIT_BYTES: usize = 2048;

/// Bytes of date, time, and the last fields of a line.
const NUMBERS_BYTES: u64 = 48;

/// One request, as a line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRecord {
    /// When its last byte was sent, or its connection ended.
    pub at: Timestamp,
    /// The fields from `s-ip` to `sc-substatus`, as they are written.
    pub fields: String,
    /// [`WHOLE`] or [`CUT_OFF`].
    pub win32_status: u16,
    /// From its head to its last byte.
    pub took_ms: u64,
}

impl AccessRecord {
    /// The line, without line end.
    pub fn line(&self) -> String {
        let at = Offset::UTC.to_datetime(self.at);
        let (date, time) = (at.date(), at.time());
        let mut line = String::with_capacity(self.fields.len() + 48);
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        // A String takes all that is written to it.
        let _ = write!(line, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} ");
        let _ = write!(line, "{} {} {}", self.fields, self.win32_status, self.took_ms);
        line
    }

    /// Bytes that it takes in memory and on disk, about.
    pub fn size_bytes(&self) -> u64 {
        self.fields.len() as u64 + NUMBERS_BYTES
    }
}

/// The lines before those of a process, the first one's time being `at`.
pub fn header(software: &str, at: Timestamp) -> String {
    let at = Offset::UTC.to_datetime(at);
    let date = at.strftime("%Y-%m-%d %H:%M:%S");
    format!("#Software: {software}\r\n#Version: 1.0\r\n#Date: {date}\r\n#Fields: {FIELDS}")
}

/// Appends a value as a field: a space becomes `+`, and every other byte that is no printable ASCII `%` and two digits
/// (ours), so that no value makes a field or a line.
pub fn push_value(line: &mut String, value: &[u8]) {
    if value.is_empty() {
        line.push(ABSENT);
        return;
    }
    let shown = &value[..value.len().min(VALUE_LIMIT_BYTES)];
    if shown.iter().all(u8::is_ascii_graphic) {
        line.push_str(std::str::from_utf8(shown).unwrap_or_default());
    } else {
        for byte in shown {
            match byte {
                b' ' => line.push('+'),
                0x21..=0x7e => line.push(char::from(*byte)),
                _ => {
                    let _ = write!(line, "%{byte:02X}");
                }
            }
        }
    }
    if shown.len() < value.len() {
        line.push_str("...");
    }
}

/// The name of a file: `u_ex090306.log`, of the day of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFileName {
    /// The day (UTC) of its lines.
    pub day: Date,
    /// 0 for the first file of the day; another one is begun only for a size that no day of phones reaches (ours).
    pub part: u32,
}

const FILE_PREFIX: &str = "u_ex";
const FILE_SUFFIX: &str = ".log";

impl AccessFileName {
    /// Reads a name that [`fmt::Display`] wrote. Two digits of a year are of this century.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parts(text)
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| ParseError::new("access file name", text, "u_ex<yyMMdd>.log"))
    }

    fn parts(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(FILE_PREFIX)?.strip_suffix(FILE_SUFFIX)?.split('_');
        let day = Date::strptime("%Y%m%d", format!("20{}", parts.next()?)).ok()?;
        let part = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        parts.next().is_none().then_some(Self { day, part })
    }

    /// The file that follows on the same day.
    pub fn next(&self) -> Self {
        Self { part: self.part.saturating_add(1), ..self.clone() }
    }
}

impl fmt::Display for AccessFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let year = self.day.year().rem_euclid(100);
        write!(f, "{FILE_PREFIX}{year:02}{:02}{:02}", self.day.month(), self.day.day())?;
        if self.part > 0 {
            write!(f, "_{}", self.part)?;
        }
        f.write_str(FILE_SUFFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn record(fields: &str) -> AccessRecord {
        let at = "2009-03-06T17:07:20.9Z".parse().unwrap();
        AccessRecord { at, fields: fields.into(), win32_status: WHOLE, took_ms: 124 }
    }

    #[test]
    fn the_line_of_the_original_is_written_byte_for_byte() {
        let fields = "10.1.1.90 POST /RequestHandler/ucdevice.upx - 443 - 10.1.1.123 Microsoft+UCPhone+Device 200 0";
        assert_eq!(record(fields).line(), format!("2009-03-06 17:07:20 {fields} 0 124"));
        let header = header("ucupdates 0.1.0", "2009-03-06T16:00:51Z".parse().unwrap());
        let expected = "#Software: ucupdates 0.1.0\r\n#Version: 1.0\r\n#Date: 2009-03-06 16:00:51\r\n#Fields: date time s-ip \
            cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status sc-substatus \
            sc-win32-status time-taken";
        assert_eq!(header, expected);
    }

    #[test]
    fn values_are_one_field_whatever_they_hold() {
        let shown = |value: &[u8]| {
            let mut line = String::new();
            push_value(&mut line, value);
            line
        };
        assert_eq!(shown(b"Microsoft UCPhone Device"), "Microsoft+UCPhone+Device");
        assert_eq!(shown(b""), "-");
        assert_eq!(shown(b"a\r\n#Fields: b\t\0"), "a%0D%0A#Fields:+b%09%00");
        assert_eq!(shown("Grüße".as_bytes()), "Gr%C3%BC%C3%9Fe");
        assert_eq!(shown(b"/a%20b?c=d+e"), "/a%20b?c=d+e");
        assert_eq!(shown(&[b'x'; 5000]), format!("{}...", "x".repeat(VALUE_LIMIT_BYTES)));
    }

    #[test]
    fn a_file_is_named_by_its_day() {
        let first = AccessFileName { day: date(2009, 3, 6), part: 0 };
        assert_eq!(first.to_string(), "u_ex090306.log");
        assert_eq!(first.next().to_string(), "u_ex090306_1.log");
        for name in [&first, &first.next()] {
            assert_eq!(AccessFileName::parse(&name.to_string()).as_ref(), Ok(name));
        }
        for wrong in ["u_ex090306_0.log", "u_ex0903.log", "u_ex091306.log", "u_ex090306.log.tmp", "u_ex..%2f.log"] {
            assert!(AccessFileName::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_a_field_or_a_line(value in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut fields = String::new();
            push_value(&mut fields, &value);
            prop_assert!(fields.bytes().all(|byte| byte.is_ascii_graphic()) && !fields.is_empty());
            prop_assert_eq!(record(&fields).line().split(' ').count(), 5);
        }
    }
}
