//! Reads the answer to an update request as a strict phone would (PROTOCOL.md 4): everything that can be wrong without
//! knowing the rules is said in a sentence. Pure.

use crate::wire::xml::{self, Step, XmlError};
use http::{HeaderMap, HeaderName, StatusCode, header};
use schema::version::FirmwareVersion;

/// A file that a phone is told to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedFile {
    /// `CPE.nbt`
    pub file_name: String,
    /// `CPE.cat`; empty when there is none.
    pub signature_file_name: String,
    /// Its version.
    pub version: FirmwareVersion,
    /// The folder for phones inside.
    pub base_url: String,
    /// The folder for phones outside.
    pub external_base_url: String,
}

impl Default for OfferedFile {
    fn default() -> Self {
        Self {
            file_name: String::new(),
            signature_file_name: String::new(),
            version: FirmwareVersion::NONE,
            base_url: String::new(),
            external_base_url: String::new(),
        }
    }
}

/// What a phone was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// These files; none is "no update".
    Files(Vec<OfferedFile>),
    /// To sign in first: 401 with a challenge.
    SignIn,
}

/// Why an answer is wrong whatever the rules are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongAnswer(pub String);

impl From<XmlError> for WrongAnswer {
    fn from(error: XmlError) -> Self {
        wrong(format!("the answer's XML cannot be read: {error}"))
    }
}

fn wrong(text: impl Into<String>) -> WrongAnswer {
    WrongAnswer(text.into())
}

/// Reads an answer. Status codes of 500 and more are failures of the service and never get here.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Told, WrongAnswer> {
    if status == StatusCode::UNAUTHORIZED {
        well_formed(body)?;
        let challenged = headers.contains_key(header::WWW_AUTHENTICATE);
        return if challenged { Ok(Told::SignIn) } else { Err(wrong("401 without WWW-Authenticate")) };
    }
    if status != StatusCode::OK {
        return Err(wrong(format!("the status is {status}, expected 200")));
    }
    expect_header(headers, header::CONTENT_TYPE, "text/xml; charset=utf-8")?;
    expect_header(headers, header::CACHE_CONTROL, "no-store")?;
    let read = Reader::read(body)?;
    let promised = read.promised.ok_or_else(|| wrong("the answer has no NumOfFiles"))?;
    if promised != read.files.len() {
        return Err(wrong(format!("NumOfFiles is {promised} and {} files follow", read.files.len())));
    }
    Ok(Told::Files(read.files))
}

fn expect_header(headers: &HeaderMap, name: HeaderName, expected: &str) -> Result<(), WrongAnswer> {
    match headers.get(&name).and_then(|value| value.to_str().ok()) {
        Some(value) if value.eq_ignore_ascii_case(expected) => Ok(()),
        Some(value) => Err(wrong(format!("{name} is {value:?}, expected {expected:?}"))),
        None => Err(wrong(format!("the answer has no {name}"))),
    }
}

fn well_formed(body: &[u8]) -> Result<(), WrongAnswer> {
    xml::walk(&xml::decode(body)?, |_| Ok::<_, WrongAnswer>(()))
}

/// What has been read so far: the open elements' names, and the values of the file that is open.
#[derive(Default)]
struct Reader {
    open: Vec<(String, String)>,
    values: Vec<(String, String)>,
    promised: Option<usize>,
    files: Vec<OfferedFile>,
}

impl Reader {
    fn read(body: &[u8]) -> Result<Self, WrongAnswer> {
        let mut reader = Self::default();
        xml::walk(&xml::decode(body)?, |step| reader.step(step))?;
        Ok(reader)
    }

    fn step(&mut self, step: Step<'_>) -> Result<(), WrongAnswer> {
        match step {
            Step::Open(name) if self.open.is_empty() && name != "Response" => {
                return Err(wrong(format!("the answer's root is {name}, expected Response")));
            }
            Step::Open(name) => self.open.push((name.to_owned(), String::new())),
            Step::Text(text) => {
                if let Some((_, value)) = self.open.last_mut() {
                    *value += text;
                }
            }
            Step::Attribute(..) => {}
            Step::Close(_) => {
                if let Some((name, value)) = self.open.pop() {
                    self.close(&name, value.trim())?;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, name: &str, value: &str) -> Result<(), WrongAnswer> {
        match (self.open.len(), name) {
            (1, "NumOfFiles") => {
                let number = value.parse().map_err(|_| wrong(format!("NumOfFiles is {value:?}")))?;
                self.promised = Some(number);
            }
            (1, "File") => {
                let file = offered(&std::mem::take(&mut self.values))?;
                self.files.push(file);
            }
            (2, _) => self.values.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
        Ok(())
    }
}

fn offered(values: &[(String, String)]) -> Result<OfferedFile, WrongAnswer> {
    let value = |name: &str| {
        let found = values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| wrong(format!("a file has no {name}")))
    };
    let version = value("Version")?;
    let file = OfferedFile {
        file_name: value("FileName")?,
        signature_file_name: value("SignatureFileName")?,
        version: version.parse().map_err(|_| wrong(format!("the version {version:?} is none")))?,
        base_url: value("BaseURL")?,
        external_base_url: value("ExternalBaseURL")?,
    };
    if file.file_name.is_empty() || file.file_name.contains(['/', '\\']) {
        return Err(wrong(format!("the file name is {:?}", file.file_name)));
    }
    let time_stamp = value("TimeStamp")?;
    if time_stamp.parse::<jiff::civil::DateTime>().is_err() {
        return Err(wrong(format!("the time stamp {time_stamp:?} is none")));
    }
    for (name, url) in [("BaseURL", &file.base_url), ("ExternalBaseURL", &file.external_base_url)] {
        check_base(name, url)?;
    }
    Ok(file)
}

/// A directory without a trailing slash, or empty.
fn check_base(name: &str, url: &str) -> Result<(), WrongAnswer> {
    let absolute = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        "" => Ok(()),
        _ if url.ends_with('/') => Err(wrong(format!("{name} ends with a slash: {url}"))),
        _ if !absolute => Err(wrong(format!("{name} is no http or https address: {url:?}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const FILE: &str = "<File><FileName>CPE.nbt</FileName><SignatureFileName>CPE.cat</SignatureFileName>\
        <Version>3.5.6907.0</Version><TimeStamp>2008-12-16T04:43:58</TimeStamp><BaseURL>http://a/b</BaseURL>\
        <ExternalBaseURL></ExternalBaseURL></File>";

    fn headers() -> HeaderMap {
        let value = HeaderValue::from_static;
        HeaderMap::from_iter([
            (header::CONTENT_TYPE, value("text/xml; charset=utf-8")),
            (header::CACHE_CONTROL, value("no-store")),
        ])
    }

    fn told(inner: &str) -> Result<Told, String> {
        let body = format!("<Response>{inner}</Response>");
        read(StatusCode::OK, &headers(), body.as_bytes()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn right_answers_are_read() {
        assert_eq!(told("<NumOfFiles>0</NumOfFiles>"), Ok(Told::Files(vec![])));
        let Ok(Told::Files(files)) = told(&format!("<NumOfFiles>1</NumOfFiles>{FILE}")) else { panic!("not read") };
        assert_eq!((files[0].base_url.as_str(), files[0].version.to_string().as_str()), ("http://a/b", "3.5.6907.0"));
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        let one = |from: &str, to: &str| format!("<NumOfFiles>1</NumOfFiles>{}", FILE.replace(from, to));
        let cases = [
            ("<NumOfFiles>1</NumOfFiles>".to_owned(), "NumOfFiles is 1 and 0 files follow"),
            (FILE.to_owned(), "the answer has no NumOfFiles"),
            ("<NumOfFiles>x</NumOfFiles>".to_owned(), "NumOfFiles is \"x\""),
            (one("http://a/b", "http://a/b/"), "BaseURL ends with a slash: http://a/b/"),
            (one("http://a/b", "b"), "BaseURL is no http or https address: \"b\""),
            (one("3.5.6907.0", "new"), "the version \"new\" is none"),
            (one("2008-12-16T04:43:58", ""), "the time stamp \"\" is none"),
            (one("<Version>3.5.6907.0</Version>", ""), "a file has no Version"),
            (one("CPE.nbt", "../x"), "the file name is \"../x\""),
        ];
        for (inner, expected) in cases {
            assert_eq!(told(&inner), Err(expected.to_owned()), "{inner}");
        }
        assert!(told("<NumOfFiles>0").unwrap_err().starts_with("the answer's XML cannot be read"));
        let mut without = headers();
        without.remove(header::CACHE_CONTROL);
        let body = b"<Response><NumOfFiles>0</NumOfFiles></Response>";
        assert!(read(StatusCode::OK, &without, body).is_err());
        assert!(read(StatusCode::NOT_FOUND, &headers(), body).is_err());
        assert!(read(StatusCode::UNAUTHORIZED, &headers(), body).is_err());
        assert!(read(StatusCode::OK, &headers(), b"<Answer><NumOfFiles>0</NumOfFiles></Answer>").is_err());
    }
}
