//! The lines and file names of the request audit log (PROTOCOL.md 9), which administrators' scripts read: they are
//! written byte for byte as the original did. Where lines are stored, and when, is not here.

use crate::ParseError;
use crate::topology::NodeName;
use crate::version::FirmwareVersion;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{Offset, TimeZone};
use std::fmt;
use std::net::IpAddr;

/// The first line of every file; the misspelling is the original's.
pub const HEADER: &str = "Logging DateTime,User Name,User Host Address,Device Type,Request DateTime,Mac Address,\
    Serial Number,Vendor,Model,Revision,Locale,Requested<FileName;Version;TimeStamp>[# Seperated for Multiple],\
    Response<FileName;Version;TimeStamp>[# Seperated for Multiple]";

/// Columns of a line.
pub const COLUMNS: usize = 13;

/// The time stamp that means "none" (PROTOCOL.md 3): the first moment of Windows' calendar.
pub const NO_TIME_STAMP: DateTime = date(1601, 1, 1).at(0, 0, 0, 0);

/// What stands for a character that would break a column, a module or the line (ours).
const SUBSTITUTE: char = '_';

/// What makes a spreadsheet calculate, at the start of a value.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// Bytes that most lines fit into; longer ones are written as well.
const LINE_BYTES: usize = 512;

/// Of the first column.
const LOGGED_FORMAT: &str = "%m-%d-%Y %H:%M:%S";

/// Of all other dates.
const DATE_FORMAT: &str = "%d-%m-%Y %H:%M:%S";

/// One check of one phone, as a line of the request audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The node's time.
    pub logged_at: Timestamp,
    /// The last signed-in account, as the phone says, else the account it proved; empty when there is none.
    pub user: String,
    /// The phone's address.
    pub host: IpAddr,
    /// `UCPhone`
    pub device_type: String,
    /// The phone's own clock; nothing when it could not be read (ours: an empty column).
    pub request_date_time: Option<DateTime>,
    /// The MAC address as the phone wrote it, as are all texts below.
    pub mac: String,
    /// The serial number.
    pub serial: String,
    /// The brand.
    pub vendor: String,
    /// The model.
    pub model: String,
    /// The hardware revision.
    pub revision: String,
    /// The locale.
    pub locale: String,
    /// What the phone said it has.
    pub requested: Vec<AuditModule>,
    /// What it was offered; empty when nothing.
    pub offered: Vec<AuditModule>,
}

/// A file of the last two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditModule {
    /// `cpe.nbt`; of an offered file the full URL.
    pub file_name: String,
    /// Its version.
    pub version: FirmwareVersion,
    /// Its time stamp; none is written as [`NO_TIME_STAMP`].
    pub time_stamp: Option<DateTime>,
}

impl AuditRecord {
    /// The line, without line end. Whatever the phone sent, it is one line of [`COLUMNS`] columns: what would break it
    /// is replaced by `_`, and so is a first character that would make a spreadsheet calculate (ours; administrators
    /// open these files in Excel, row L18).
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        push_date(&mut line, DateOrder::MonthFirst, Offset::UTC.to_datetime(self.logged_at));
        line.push(',');
        push_unquoted(&mut line, &self.user);
        line.push(',');
        line += &self.host.to_canonical().to_string();
        line.push(',');
        push_unquoted(&mut line, &self.device_type);
        line.push(',');
        if let Some(date) = self.request_date_time {
            push_date(&mut line, DateOrder::DayFirst, date);
        }
        for value in [&self.mac, &self.serial, &self.vendor, &self.model, &self.revision, &self.locale] {
            line.push(',');
            push_quoted(&mut line, value);
        }
        for modules in [&self.requested, &self.offered] {
            line.push(',');
            for (index, module) in modules.iter().enumerate() {
                if index > 0 {
                    line.push('#');
                }
                module.push_field(&mut line);
            }
        }
        line
    }

    /// Bytes that the record takes in memory, about: what a phone sent counts, whatever it is.
    pub fn size_bytes(&self) -> u64 {
        let texts = [&self.user, &self.device_type, &self.mac, &self.serial, &self.vendor, &self.model];
        let texts = texts.into_iter().chain([&self.revision, &self.locale]).map(String::len);
        let modules = self.requested.iter().chain(&self.offered);
        let modules = modules.map(|module| module.file_name.len() + size_of::<AuditModule>());
        (size_of::<Self>() + texts.sum::<usize>() + modules.sum::<usize>()) as u64
    }

    /// Reads a line, with or without its line end. The header is not a line.
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("audit line", line, "13 columns, as the header of the file names them");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
        let mut row = csv::StringRecord::new();
        let found = reader.read_record(&mut row).map_err(|_| error())?;
        let more = reader.read_record(&mut csv::StringRecord::new()).map_err(|_| error())?;
        if !found || more || row.len() != COLUMNS {
            return Err(error());
        }
        let text = |column: usize| row[column].to_owned();
        let request_date_time = (!row[4].is_empty()).then(|| parse_date(DATE_FORMAT, &row[4]).ok_or_else(error));
        Ok(Self {
            logged_at: parse_date(LOGGED_FORMAT, &row[0])
                .and_then(|date| date.to_zoned(TimeZone::UTC).ok())
                .ok_or_else(error)?
                .timestamp(),
            user: text(1),
            host: row[2].parse().map_err(|_| error())?,
            device_type: text(3),
            request_date_time: request_date_time.transpose()?,
            mac: text(5),
            serial: text(6),
            vendor: text(7),
            model: text(8),
            revision: text(9),
            locale: text(10),
            requested: AuditModule::parse_all(&row[11]).ok_or_else(error)?,
            offered: AuditModule::parse_all(&row[12]).ok_or_else(error)?,
        })
    }
}

impl AuditModule {
    fn push_field(&self, line: &mut String) {
        push_unquoted(line, &self.file_name);
        line.push(';');
        *line += &self.version.to_string();
        line.push(';');
        push_date(line, DateOrder::DayFirst, self.time_stamp.unwrap_or(NO_TIME_STAMP));
    }

    fn parse_all(column: &str) -> Option<Vec<Self>> {
        if column.is_empty() {
            return Some(Vec::new());
        }
        column.split('#').map(Self::parse).collect()
    }

    fn parse(field: &str) -> Option<Self> {
        let [file_name, version, time_stamp] = field.split(';').collect::<Vec<_>>()[..] else { return None };
        let time_stamp = parse_date(DATE_FORMAT, time_stamp)?;
        Some(Self {
            file_name: file_name.to_owned(),
            version: FirmwareVersion::parse(version).ok()?,
            time_stamp: (time_stamp != NO_TIME_STAMP).then_some(time_stamp),
        })
    }
}

/// The value on one line, and no formula.
fn inert(value: &str) -> impl Iterator<Item = char> {
    let breaks_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let kept = move |(index, c)| if breaks_line(c) || index == 0 && FORMULA.contains(&c) { SUBSTITUTE } else { c };
    value.chars().enumerate().map(kept)
}

/// Whether nothing in the value has to be looked at one by one: so it is with almost all that phones send.
fn is_plain(value: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'"' | b'#' | b';');
    value.bytes().all(plain) && !value.starts_with(FORMULA)
}

fn push_quoted(line: &mut String, value: &str) {
    line.push('"');
    if is_plain(value) {
        *line += value;
        line.push('"');
        return;
    }
    for c in inert(value) {
        if c == '"' {
            line.push('"');
        }
        line.push(c);
    }
    line.push('"');
}

/// The value where nothing quotes it: also without what ends a column, a module or a field of a module.
fn push_unquoted(line: &mut String, value: &str) {
    if is_plain(value) {
        *line += value;
        return;
    }
    line.extend(inert(value).map(|c| if matches!(c, ',' | '"' | '#' | ';') { SUBSTITUTE } else { c }));
}

/// Of the two numbers that a date begins with.
#[derive(Debug, Clone, Copy)]
enum DateOrder {
    /// The first column.
    MonthFirst,
    /// All others.
    DayFirst,
}

/// `yyyy` has four digits: years outside 1 to 9999 can't be written so that they are read back, and no phone has them.
fn push_date(line: &mut String, order: DateOrder, date: DateTime) {
    let date = if (1..=9999).contains(&date.year()) { date } else { NO_TIME_STAMP };
    let (first, second) = match order {
        DateOrder::MonthFirst => (date.month(), date.day()),
        DateOrder::DayFirst => (date.day(), date.month()),
    };
    let (century, year) = (date.year() / 100, date.year() % 100);
    push_two_digits(line, first.into(), "-");
    push_two_digits(line, second.into(), "-");
    push_two_digits(line, century, "");
    push_two_digits(line, year, " ");
    push_two_digits(line, date.hour().into(), ":");
    push_two_digits(line, date.minute().into(), ":");
    push_two_digits(line, date.second().into(), "");
}

/// A number from 0 to 99, and what stands behind it. `format!` takes five times as long, and a line has up to five dates.
fn push_two_digits(line: &mut String, number: i16, behind: &str) {
    for digit in [number / 10 % 10, number % 10] {
        line.push(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 10)).unwrap_or('0'));
    }
    *line += behind;
}

/// Only what [`format_date`] writes.
fn parse_date(format: &str, text: &str) -> Option<DateTime> {
    DateTime::strptime(format, text).ok().filter(|date| (1..=9999).contains(&date.year()))
}

/// The name of an audit file: `RequestHandlerAuditLog_node1_20090306.log`, and `_1`, `_2` before the extension for
/// those that follow on the same day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditFileName {
    /// The node that wrote it.
    pub node: NodeName,
    /// The day (UTC) of its lines.
    pub day: Date,
    /// 0 for the first file of the day.
    pub part: u32,
}

const FILE_PREFIX: &str = "RequestHandlerAuditLog_";
const FILE_SUFFIX: &str = ".log";

impl AuditFileName {
    /// Reads a name that [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parts(text)
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| ParseError::new("audit file name", text, "RequestHandlerAuditLog_<node>_<yyyyMMdd>.log"))
    }

    fn parts(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(FILE_PREFIX)?.strip_suffix(FILE_SUFFIX)?.split('_');
        let node = NodeName::parse(parts.next()?).ok()?;
        let day = Date::strptime("%Y%m%d", parts.next()?).ok()?;
        let part = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        parts.next().is_none().then_some(Self { node, day, part })
    }

    /// The file that follows on the same day.
    pub fn next(&self) -> Self {
        Self { part: self.part.saturating_add(1), ..self.clone() }
    }
}

impl fmt::Display for AuditFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FILE_PREFIX}{}_{:04}{:02}{:02}", self.node, self.day.year(), self.day.month(), self.day.day())?;
        if self.part > 0 {
            write!(f, "_{}", self.part)?;
        }
        f.write_str(FILE_SUFFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: &str = r#"03-06-2009 17:07:20,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 09:07:20,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,"#;
    const INTERIM: &str = r#"03-06-2009 17:10:39,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:10:39,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,http://ocs.demo.local/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt;1.0.522.103;16-12-2008 04:43:58"#;
    const TARGET: &str = r#"03-06-2009 17:18:54,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:18:53,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;1.0.522.103;16-12-2008 04:43:58,http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt;3.5.6907.0;16-12-2008 04:43:58"#;

    fn module(file_name: &str, version: &str, time_stamp: Option<DateTime>) -> AuditModule {
        AuditModule { file_name: file_name.into(), version: version.parse().unwrap(), time_stamp }
    }

    fn record() -> AuditRecord {
        AuditRecord {
            logged_at: "2009-03-06T17:07:20Z".parse().unwrap(),
            user: "ruisilva@demo.local".into(),
            host: "10.1.1.123".parse().unwrap(),
            device_type: "UCPhone".into(),
            request_date_time: Some(date(2009, 3, 6).at(9, 7, 20, 0)),
            mac: "0021630F207B".into(),
            serial: "C185H001209".into(),
            vendor: "LG-Nortel".into(),
            model: "IP8540".into(),
            revision: "A".into(),
            locale: "ENU".into(),
            requested: vec![module("cpe.nbt", "0.0.0.0", None)],
            offered: vec![],
        }
    }

    #[test]
    fn the_three_real_lines_are_written_byte_for_byte() {
        let packed = Some(date(2008, 12, 16).at(4, 43, 58, 0));
        let base = "http://ocs.demo.local/DeviceUpdateFiles_Int";
        assert_eq!(record().line(), NOTHING);
        let interim = AuditRecord {
            logged_at: "2009-03-06T17:10:39Z".parse().unwrap(),
            request_date_time: Some(date(2009, 3, 6).at(17, 10, 39, 0)),
            offered: vec![module(&format!("{base}/OCInterim/ENU/CPE.nbt"), "1.0.522.103", packed)],
            ..record()
        };
        assert_eq!(interim.line(), INTERIM);
        let url = format!("{base}/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt");
        let target = AuditRecord {
            logged_at: "2009-03-06T17:18:54Z".parse().unwrap(),
            request_date_time: Some(date(2009, 3, 6).at(17, 18, 53, 0)),
            requested: vec![module("cpe.nbt", "1.0.522.103", packed)],
            offered: vec![module(&url, "3.5.6907.0", packed)],
            ..record()
        };
        assert_eq!(target.line(), TARGET);
        for (line, record) in [(NOTHING, record()), (INTERIM, interim), (TARGET, target)] {
            assert_eq!(AuditRecord::parse(line), Ok(record.clone()));
            assert_eq!(AuditRecord::parse(&format!("{line}\r\n")), Ok(record));
        }
    }

    #[test]
    fn the_header_is_the_originals() {
        let start = "Logging DateTime,User Name,User Host Address,Device Type,Request DateTime,Mac Address,";
        let end = "Requested<FileName;Version;TimeStamp>[# Seperated for Multiple],\
            Response<FileName;Version;TimeStamp>[# Seperated for Multiple]";
        assert_eq!(HEADER, format!("{start}Serial Number,Vendor,Model,Revision,Locale,{end}"));
        assert_eq!(HEADER.split(',').count(), COLUMNS);
        assert!(AuditRecord::parse(HEADER).is_err());
    }

    #[test]
    fn hostile_values_are_replaced_where_they_would_break_the_line() {
        let hostile = AuditRecord {
            user: "a,b\"c\r\nd;#".into(),
            host: "::ffff:10.1.1.123".parse().unwrap(),
            device_type: "=cmd|' /C calc'!A0".into(),
            request_date_time: None,
            mac: "a\"b,c\n\u{85}\u{2028}".into(),
            serial: "-2+3".into(),
            requested: vec![module("a;b#c,d", "1.0", None), module("x", "2", None)],
            ..record()
        };
        assert_eq!(
            hostile.line(),
            "03-06-2009 17:07:20,a_b_c__d__,10.1.1.123,_cmd|' /C calc'!A0,,\"a\"\"b,c___\",\"_2+3\",\"LG-Nortel\",\
             \"IP8540\",\"A\",\"ENU\",a_b_c_d;1.0.0.0;01-01-1601 00:00:00#x;2.0.0.0;01-01-1601 00:00:00,"
        );
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let columns = NOTHING.replace("ruisilva@demo.local,", "");
        let two = format!("{NOTHING}\n{NOTHING}");
        let dated = |date: &str| NOTHING.replace("03-06-2009", date);
        let dates = [dated("13-40-2009"), dated("03-06--2009"), dated("03-06-0000")];
        for line in ["", "x", &columns, &two, &dates[0], &dates[1], &dates[2], &NOTHING.replace(';', ":")] {
            assert!(AuditRecord::parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn files_are_named_by_node_day_and_part() {
        let first = AuditFileName { node: NodeName::parse("fe1.contoso.com").unwrap(), day: date(2009, 3, 6), part: 0 };
        assert_eq!(first.to_string(), "RequestHandlerAuditLog_fe1.contoso.com_20090306.log");
        assert_eq!(first.next().next().to_string(), "RequestHandlerAuditLog_fe1.contoso.com_20090306_2.log");
        for name in [&first, &first.next()] {
            assert_eq!(AuditFileName::parse(&name.to_string()).as_ref(), Ok(name));
        }
        let wrong = [
            "RequestHandlerAuditLog_fe1_20090306_0.log",
            "RequestHandlerAuditLog_fe1_20090306_01.log",
            "RequestHandlerAuditLog_fe1_2009036.log",
            "RequestHandlerAuditLog_fe1_20090306_1_2.log",
            "RequestHandlerAuditLog_fe1_20090306.log.tmp",
            "RequestHandlerAuditLog_..%2f_20090306.log",
        ];
        for name in wrong {
            assert!(AuditFileName::parse(name).is_err(), "{name}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\PC{0,20}",
            "[\\x00-\\x7f]{0,20}",
            "[,;#\"\r\n=\\\\]{0,8}",
            ".{0,8}",
            Just("\u{2029}\u{b}".into())
        ]
    }

    fn hostile_module() -> impl Strategy<Value = AuditModule> {
        let time_stamp = proptest::option::of((-9999i16..=9999).prop_map(|year| date(year, 2, 3).at(4, 5, 6, 7)));
        (hostile(), any::<[u32; 4]>(), time_stamp).prop_map(|(file_name, [a, b, c, d], time_stamp)| AuditModule {
            file_name,
            version: FirmwareVersion::new(a, b, c, d),
            time_stamp,
        })
    }

    proptest! {
        #[test]
        fn any_values_stay_one_line_of_thirteen_columns(
            texts in proptest::collection::vec(hostile(), 8),
            requested in proptest::collection::vec(hostile_module(), 0..4),
            offered in proptest::collection::vec(hostile_module(), 0..4),
            host: IpAddr,
        ) {
            let [user, device_type, mac, serial, vendor, model, revision, locale] = <[String; 8]>::try_from(texts).unwrap();
            let record = AuditRecord {
                user, device_type, mac, serial, vendor, model, revision, locale, requested, offered, host, ..record()
            };
            let line = record.line();
            let breaks = line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
            prop_assert!(!breaks, "{line:?}");
            let read = AuditRecord::parse(&line).unwrap();
            prop_assert_eq!(read.line(), line);
            prop_assert_eq!(read.requested.len(), record.requested.len());
            prop_assert_eq!(read.offered.len(), record.offered.len());
            prop_assert_eq!(read.model, inert(&record.model).collect::<String>());
        }

        #[test]
        fn any_line_is_read_or_refused(line in "[0-9:;,#\" a\r\n-]{0,80}") {
            let _ = AuditRecord::parse(&line);
        }
    }
}
