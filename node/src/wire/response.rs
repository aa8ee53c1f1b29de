//! Writes answers (PROTOCOL.md 4): the layout is the dialect's, every value is escaped. Status codes are not here.

use super::dialect::Dialect;
use jiff::civil::DateTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape;
use schema::package::{StorePath, Update};
use schema::topology::{PoolUrls, PublicUrl};
use schema::version::FirmwareVersion;
use std::borrow::Cow;

/// What a phone is told: the files that it shall fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// One for each offered module; none is "no update".
    pub files: Vec<AnswerFile<'a>>,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFile<'a> {
    /// `CPE.nbt`
    pub file_name: &'a str,
    /// `CPE.cat`; empty when the package brought none.
    pub signature_file_name: &'a str,
    /// Its version.
    pub version: FirmwareVersion,
    /// The time stamp of the image.
    pub time_stamp: DateTime,
    /// The folder for phones inside, without a slash at the end; empty when it is not configured.
    pub base_url: String,
    /// The folder for phones outside, likewise.
    pub external_base_url: String,
}

impl<'a> AnswerFile<'a> {
    /// The image of an update, at the addresses of the pool.
    pub fn new(update: &'a Update, urls: &PoolUrls) -> Self {
        let image = update.image();
        let folder =
            |base: &Option<PublicUrl>| base.as_ref().map_or(String::new(), |base| join(base, image.path.folder()));
        Self {
            file_name: image.name.as_str(),
            signature_file_name: update.signature().map_or("", |file| file.name.as_str()),
            version: update.version(),
            time_stamp: image.time_stamp,
            base_url: folder(&urls.internal_files),
            external_base_url: folder(&urls.external_files),
        }
    }
}

/// The URL of a stored file; its path alone when the pool has no such base (ours).
pub fn file_url(base: Option<&PublicUrl>, path: &StorePath) -> String {
    base.map_or_else(|| encode(path.as_str()).into_owned(), |base| join(base, path.as_str()))
}

fn join(base: &PublicUrl, path: &str) -> String {
    [base.as_str(), "/", &encode(path)].concat()
}

/// What stands in a path as it is: letters, digits and the marks that no program takes for anything else.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, ENCODED).into()
}

/// Writes an answer.
pub fn render_response(dialect: &Dialect, answer: &Answer<'_>) -> String {
    let texts: Vec<[String; 2]> =
        answer.files.iter().map(|file| [file.version.to_string(), time_stamp(file.time_stamp)]).collect();
    let values = answer.files.iter().zip(&texts).map(|(file, [version, time_stamp])| {
        [
            file.file_name,
            file.signature_file_name,
            version.as_str(),
            time_stamp.as_str(),
            file.base_url.as_str(),
            file.external_base_url.as_str(),
        ]
    });
    dialect.fill(&values.collect::<Vec<_>>())
}

/// Writes a refusal (ours): phones ignore it, people who test with a browser read it.
pub fn render_error(message: &str) -> String {
    let message =
        escape::escape(message.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), " "));
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error><Message>{message}</Message></Error>")
}

fn time_stamp(date: DateTime) -> String {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::xml::{self, Step, XmlError};
    use jiff::civil::date;
    use proptest::prelude::*;

    fn file() -> AnswerFile<'static> {
        AnswerFile {
            file_name: "CPE.nbt",
            signature_file_name: "CPE.cat",
            version: "3.5.6907.0".parse().unwrap(),
            time_stamp: date(2008, 12, 16).at(4, 43, 58, 0),
            base_url: "http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE"
                .into(),
            external_base_url:
                "https://ucext.demo.local/DeviceUpdateFiles_Ext/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE".into(),
        }
    }

    #[test]
    fn no_update_is_told_in_exactly_these_bytes() {
        let text = render_response(&Dialect::default(), &Answer::default());
        let expected = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Response><NumOfFiles>0</NumOfFiles></Response>";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_file_is_told_with_both_folders() {
        insta::assert_snapshot!(render_response(&Dialect::default(), &Answer { files: vec![file()] }), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <Response><NumOfFiles>1</NumOfFiles><File><FileName>CPE.nbt</FileName><SignatureFileName>CPE.cat</SignatureFileName>
        <Version>3.5.6907.0</Version><TimeStamp>2008-12-16T04:43:58</TimeStamp>
        <BaseURL>http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE</BaseURL>
        <ExternalBaseURL>https://ucext.demo.local/DeviceUpdateFiles_Ext/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE</ExternalBaseURL></File></Response>
        "#);
    }

    #[test]
    fn what_is_absent_is_empty_and_what_is_hostile_is_escaped() {
        let hostile = AnswerFile {
            file_name: "a&b<c>'\".ld",
            signature_file_name: "",
            base_url: String::new(),
            external_base_url: "{version}".into(),
            ..file()
        };
        insta::assert_snapshot!(render_response(&Dialect::default(), &Answer { files: vec![file(), hostile] }), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <Response><NumOfFiles>2</NumOfFiles><File><FileName>CPE.nbt</FileName><SignatureFileName>CPE.cat</SignatureFileName>
        <Version>3.5.6907.0</Version><TimeStamp>2008-12-16T04:43:58</TimeStamp>
        <BaseURL>http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE</BaseURL>
        <ExternalBaseURL>https://ucext.demo.local/DeviceUpdateFiles_Ext/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE</ExternalBaseURL></File><File><FileName>a&amp;b&lt;c&gt;&apos;&quot;.ld</FileName><SignatureFileName></SignatureFileName>
        <Version>3.5.6907.0</Version><TimeStamp>2008-12-16T04:43:58</TimeStamp>
        <BaseURL></BaseURL>
        <ExternalBaseURL>{version}</ExternalBaseURL></File></Response>
        "#);
    }

    #[test]
    fn an_error_is_a_small_document() {
        insta::assert_snapshot!(render_error("the model \"a<b>\" & more\n\0"), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <Error><Message>the model &quot;a&lt;b&gt;&quot; &amp; more  </Message></Error>
        "#);
    }

    #[test]
    fn urls_are_encoded_and_bases_may_be_missing() {
        let base = PublicUrl::parse("http://ocs.demo.local/DeviceUpdateFiles_Int/").unwrap();
        let path = StorePath::parse("UCPhone/Acme & Co/X+1/(A)/ENU/1.0.0.0/CPE/a@b=c.nbt").unwrap();
        let encoded = "UCPhone/Acme%20%26%20Co/X%2B1/%28A%29/ENU/1.0.0.0/CPE/a%40b%3Dc.nbt";
        assert_eq!(file_url(Some(&base), &path), format!("http://ocs.demo.local/DeviceUpdateFiles_Int/{encoded}"));
        assert_eq!(file_url(None, &path), encoded);
    }

    proptest! {
        #[test]
        fn any_text_makes_a_well_formed_error(message in ".{0,60}") {
            let well_formed = xml::walk(&render_error(&message), |_| Ok::<_, XmlError>(()));
            prop_assert_eq!(well_formed, Ok(()));
        }

        #[test]
        fn any_answer_is_well_formed_and_counts_its_files(
            names in proptest::collection::vec("[ -~é]{0,20}", 0..5),
        ) {
            let files = names.iter().map(|name| AnswerFile { file_name: name, ..file() }).collect();
            let text = render_response(&Dialect::default(), &Answer { files });
            let mut opened = 0;
            xml::walk(&text, |step| {
                opened += usize::from(matches!(step, Step::Open("File")));
                Ok::<_, XmlError>(())
            }).unwrap();
            prop_assert_eq!(opened, names.len());
            let counted = format!("<NumOfFiles>{}</NumOfFiles>", names.len());
            prop_assert!(text.contains(&counted));
        }
    }
}
