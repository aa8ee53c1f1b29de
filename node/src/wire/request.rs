//! Reads update requests (PROTOCOL.md 3): any well-formed XML whose names the dialect knows, as element text or
//! attribute, at any depth. A value that is read is bounded and trimmed, and otherwise what the phone sent.

use super::dialect::{Dialect, Field, ModuleField};
use super::xml::{self, Step, XmlError};
use jiff::civil::DateTime;
use schema::audit::NO_TIME_STAMP;
use schema::version::FirmwareVersion;
use std::borrow::Cow;

/// Modules of a request at most (ours).
pub const MODULE_LIMIT: usize = 64;

/// Bytes of a value at most (ours).
pub const VALUE_LIMIT_BYTES: usize = 256;

/// What a phone says of itself. Texts are as it wrote them, empty when it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdateRequest {
    /// `UCPhone`, `RoundTable`
    pub device_type: String,
    /// The MAC address.
    pub mac: String,
    /// The serial number.
    pub serial: String,
    /// The vendor, which is the rule's brand.
    pub vendor: String,
    /// The model.
    pub model: String,
    /// The hardware revision.
    pub revision: String,
    /// Windows' three letters.
    pub locale: String,
    /// The last signed-in account, `name@domain`.
    pub user: String,
    /// The phone's own clock; nothing when it can't be read, because nothing depends on it.
    pub request_date_time: Option<DateTime>,
    /// What it has and wants to be told a version of.
    pub modules: Vec<Module>,
}

/// A file that a phone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// `cpe.nbt`
    pub file_name: String,
    /// [`FirmwareVersion::NONE`] when nothing is installed.
    pub version: FirmwareVersion,
    /// Logged, never compared; nothing when the phone has none or it can't be read.
    pub time_stamp: Option<DateTime>,
}

/// Why a body is not an update request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not XML that is accepted.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Well-formed, and no name in it is known.
    #[error("the body is not an update request: it holds no field that is known")]
    NoKnownField,
    /// A value over [`VALUE_LIMIT_BYTES`].
    #[error("the value of {0} is longer than 256 bytes")]
    ValueTooLong(String),
    /// Over [`MODULE_LIMIT`].
    #[error("the request names more than 64 modules")]
    TooManyModules,
    /// A module with a version and without a name can't be answered.
    #[error("a module has no file name")]
    ModuleWithoutName,
    /// Without its version, a phone would be sent what it has, for ever; so it is told of nothing (ours).
    #[error("the module {0:?} has no version")]
    ModuleWithoutVersion(String),
    /// Likewise.
    #[error("the module {file_name:?} has the version {version:?}, expected four numbers joined by dots")]
    UnreadableVersion {
        /// The module.
        file_name: String,
        /// What it has for a version.
        version: String,
    },
}

/// Reads a request. Of several occurrences of a field the first one that isn't blank counts; fields inside a module
/// are the module's.
pub fn parse_request(dialect: &Dialect, bytes: &[u8]) -> Result<UpdateRequest, RequestError> {
    let mut collector = Collector::default();
    xml::walk(&xml::decode(bytes)?, |step| collector.step(dialect, step))?;
    let Collector { mut fields, modules, known, .. } = collector;
    if !known {
        return Err(RequestError::NoKnownField);
    }
    let mut field = |field: Field| std::mem::take(&mut fields[field as usize]);
    Ok(UpdateRequest {
        device_type: field(Field::DeviceType),
        mac: field(Field::MacAddress),
        serial: field(Field::SerialNumber),
        vendor: field(Field::Vendor),
        model: field(Field::Model),
        revision: field(Field::Revision),
        locale: field(Field::Locale),
        user: field(Field::User),
        request_date_time: read_date(&field(Field::RequestDateTime)),
        modules,
    })
}

/// The values of a module, by their [`ModuleField`]; empty where there is none.
type ModuleValues = [String; ModuleField::COUNT];

/// What has been seen so far.
#[derive(Debug, Default)]
struct Collector {
    /// By their [`Field`]; empty where there is none.
    fields: [String; Field::COUNT],
    modules: Vec<Module>,
    open: Vec<Element>,
    /// The modules among the open elements: what is inside belongs to the last.
    open_modules: Vec<ModuleValues>,
    known: bool,
}

/// What a name means where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Module,
    Field(Field),
    ModuleField(ModuleField),
    Nothing,
}

/// An open element.
#[derive(Debug)]
struct Element {
    meaning: Meaning,
    text: String,
}

impl Collector {
    fn step(&mut self, dialect: &Dialect, step: Step<'_>) -> Result<(), RequestError> {
        match step {
            Step::Open(name) => {
                let meaning = if dialect.is_module(name) { Meaning::Module } else { self.meaning(dialect, name) };
                if meaning == Meaning::Module {
                    self.known = true;
                    self.open_modules.push(ModuleValues::default());
                }
                self.open.push(Element { meaning, text: String::new() });
            }
            Step::Attribute(name, value) => self.keep(self.meaning(dialect, name), name, value.into_owned())?,
            Step::Text(text) => {
                let named = |element: &&mut Element| element.meaning != Meaning::Nothing;
                if let Some(element) = self.open.last_mut().filter(named) {
                    element.text += text;
                }
            }
            Step::Close(name) => match self.open.pop() {
                Some(Element { meaning: Meaning::Module, .. }) => self.close_module()?,
                Some(Element { meaning, text }) => self.keep(meaning, name, text)?,
                None => {}
            },
        }
        Ok(())
    }

    /// What a name that is no module's means here.
    fn meaning(&self, dialect: &Dialect, name: &str) -> Meaning {
        match self.open_modules.is_empty() {
            true => dialect.field(name).map_or(Meaning::Nothing, Meaning::Field),
            false => dialect.module_field(name).map_or(Meaning::Nothing, Meaning::ModuleField),
        }
    }

    /// Keeps a value, unless it is blank or an earlier one was not.
    fn keep(&mut self, meaning: Meaning, name: &str, value: String) -> Result<(), RequestError> {
        let place = match meaning {
            Meaning::Field(field) => {
                self.known = true;
                Some(&mut self.fields[field as usize])
            }
            Meaning::ModuleField(field) => self.open_modules.last_mut().map(|values| &mut values[field as usize]),
            Meaning::Module | Meaning::Nothing => None,
        };
        let trimmed = value.trim();
        let Some(place) = place.filter(|place| place.is_empty() && !trimmed.is_empty()) else { return Ok(()) };
        if trimmed.len() > VALUE_LIMIT_BYTES {
            return Err(RequestError::ValueTooLong(name.to_owned()));
        }
        *place = if trimmed.len() == value.len() { value } else { trimmed.to_owned() };
        Ok(())
    }

    /// A module element without any field is a container and no module.
    fn close_module(&mut self) -> Result<(), RequestError> {
        let Some(mut values) = self.open_modules.pop() else { return Ok(()) };
        if values.iter().all(String::is_empty) {
            return Ok(());
        }
        if self.modules.len() == MODULE_LIMIT {
            return Err(RequestError::TooManyModules);
        }
        let file_name = std::mem::take(&mut values[ModuleField::FileName as usize]);
        if file_name.is_empty() {
            return Err(RequestError::ModuleWithoutName);
        }
        let time_stamp = read_date(&values[ModuleField::TimeStamp as usize]);
        self.modules.push(Module {
            version: read_version(&file_name, &values)?,
            file_name,
            time_stamp: time_stamp.filter(|date| *date != NO_TIME_STAMP),
        });
        Ok(())
    }
}

/// A version as one text, or in parts of which missing ones are 0.
fn read_version(file_name: &str, values: &ModuleValues) -> Result<FirmwareVersion, RequestError> {
    let value = |field: ModuleField| values[field as usize].as_str();
    let parts = [ModuleField::Major, ModuleField::Minor, ModuleField::Build, ModuleField::Qfe].map(value);
    let version = match value(ModuleField::Version) {
        "" if parts.iter().all(|part| part.is_empty()) => {
            return Err(RequestError::ModuleWithoutVersion(file_name.to_owned()));
        }
        "" => Cow::Owned(parts.map(|part| if part.is_empty() { "0" } else { part }).join(".")),
        version => Cow::Borrowed(version),
    };
    FirmwareVersion::parse(&version)
        .map_err(|_| RequestError::UnreadableVersion { file_name: file_name.to_owned(), version: version.into_owned() })
}

/// ISO 8601. A time zone is dropped: the phone's words are kept, not its meaning (ours).
fn read_date(text: &str) -> Option<DateTime> {
    let date: DateTime = text.trim_end_matches(['Z', 'z']).parse().ok()?;
    (1..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    const REFERENCE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>
<RequestDateTime>2009-03-06T17:10:39</RequestDateTime><MacAddress>0021630F207B</MacAddress>
<SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540</Model><Revision>A</Revision>
<Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>1.0.522.34</Version>
<TimeStamp>2008-12-16T04:43:58</TimeStamp></Module></Modules></Request>"#;

    fn expected() -> UpdateRequest {
        UpdateRequest {
            device_type: "UCPhone".into(),
            mac: "0021630F207B".into(),
            serial: "C185H001209".into(),
            vendor: "LG-Nortel".into(),
            model: "IP8540".into(),
            revision: "A".into(),
            locale: "ENU".into(),
            user: "ruisilva@demo.local".into(),
            request_date_time: Some(date(2009, 3, 6).at(17, 10, 39, 0)),
            modules: vec![module("cpe.nbt", "1.0.522.34", Some(date(2008, 12, 16).at(4, 43, 58, 0)))],
        }
    }

    fn module(file_name: &str, version: &str, time_stamp: Option<DateTime>) -> Module {
        Module { file_name: file_name.into(), version: version.parse().unwrap(), time_stamp }
    }

    fn read(text: &str) -> Result<UpdateRequest, RequestError> {
        parse_request(&Dialect::default(), text.as_bytes())
    }

    fn modules(inner: &str) -> Vec<Module> {
        read(&format!("<Request>{inner}</Request>")).unwrap().modules
    }

    #[test]
    fn the_reference_request_is_read() {
        assert_eq!(read(REFERENCE), Ok(expected()));
    }

    #[test]
    fn the_same_fields_are_read_from_other_layouts() {
        let attributes = r#"<s:Envelope xmlns:s="u" xmlns:model="v"><s:Body><x:req xmlns:x="w" DEVICETYPE="UCPhone"
            username="ruisilva@demo.local"><clock currenttime="2009-03-06 17:10:39Z"/><hw MAC="0021630F207B"
            serial=" C185H001209 " brand="LG-Nortel" model="IP8540" hardwarerevision="A" locale="ENU"/>
            <Files><file name="cpe.nbt" version="1.0.522.34" date="2008-12-16T04:43:58+05:00"/></Files>
            </x:req></s:Body></s:Envelope>"#;
        assert_eq!(read(attributes), Ok(expected()));
        let upper = REFERENCE.to_ascii_uppercase().replace("<?XML VERSION=\"1.0\" ENCODING=\"UTF-8\"?>", "");
        assert_eq!(read(&upper).unwrap().modules.len(), 1);
        let escaped = REFERENCE
            .replace("ENU<", "<![CDATA[E]]><!-- N -->N&#85;<")
            .replace("<Version>1.0.522.34</Version>", "<QFE>34</QFE><Build>522</Build><Major>1</Major>");
        assert_eq!(read(&escaped), Ok(expected()));
        let utf16: Vec<u8> = format!("\u{feff}{REFERENCE}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(parse_request(&Dialect::default(), &utf16), Ok(expected()));
    }

    #[test]
    fn the_first_occurrence_that_is_not_blank_counts() {
        let request =
            read("<a Model=''><Model> </Model><b><Model>X</Model></b><Model>Y</Model><User><Name/></User></a>");
        let request = request.unwrap();
        assert_eq!((request.model.as_str(), request.user.as_str()), ("X", ""));
        let user = read("<a><User UserID='x@y'>later</User></a>").unwrap().user;
        assert_eq!(user, "x@y");
    }

    #[test]
    fn fields_inside_a_module_are_the_modules() {
        let inner = "<Module><Model>no</Model><v><Version>1.2</Version></v><FileName>a.nbt</FileName></Module>
            <Version>9</Version><Image name='b.ld' version='0.0.0.0' date='1601-01-01T00:00:00'/>";
        let request = read(&format!("<Request><Name>no</Name>{inner}<Model>yes</Model></Request>")).unwrap();
        assert_eq!(request.model, "yes");
        assert_eq!(request.modules, [module("a.nbt", "1.2", None), module("b.ld", "0.0.0.0", None)]);
    }

    #[test]
    fn modules_stand_inside_containers_of_the_same_names() {
        let inner = "<File><Component Name='a' Version='1'/><Component Name='b' Version='2'/></File><Image/>";
        assert_eq!(modules(inner), [module("a", "1", None), module("b", "2", None)]);
    }

    #[test]
    fn versions_are_read_and_dates_may_be_unreadable() {
        let versions = |inner: &str| modules(&format!("<Module><Name>a</Name>{inner}</Module>"))[0].version.to_string();
        assert_eq!(versions("<Version> 3.5.6907 </Version>"), "3.5.6907.0");
        assert_eq!(versions("<Minor>5</Minor>"), "0.5.0.0");
        assert_eq!(modules("<Module Name='a' Version='1' Date='yesterday'/>"), [module("a", "1", None)]);
        let clock = |text: &str| read(&format!("<a><DateTime>{text}</DateTime></a>")).unwrap().request_date_time;
        for text in
            ["", "x", "2009-13-06T17:10:39", "06-03-2009 17:10:39", "-002009-03-06T17:10:39", "0000-01-01T00:00"]
        {
            assert_eq!(clock(text), None, "{text}");
        }
        assert_eq!(clock("2009-03-06T17:10:39.5Z").map(|date| date.second()), Some(39));
    }

    #[test]
    fn what_is_no_update_request_is_refused_with_the_reason() {
        let check = |text: &str, expected: RequestError| assert_eq!(read(text), Err(expected), "{text:.80}");
        check("<html><body>hello</body></html>", RequestError::NoKnownField);
        check("<a><Version>1</Version><Name>x</Name></a>", RequestError::NoKnownField);
        check("<a><Module Version='1'/></a>", RequestError::ModuleWithoutName);
        check("<a><Module Name='x'/></a>", RequestError::ModuleWithoutVersion("x".into()));
        check("<a><Module Name='x' Version=' '/></a>", RequestError::ModuleWithoutVersion("x".into()));
        let unreadable = RequestError::UnreadableVersion { file_name: "x".into(), version: "v1".into() };
        check("<a><Module Name='x' Version='v1'/></a>", unreadable);
        let long = "x".repeat(VALUE_LIMIT_BYTES + 1);
        check(&format!("<a><Model>{long}</Model></a>"), RequestError::ValueTooLong("Model".into()));
        check(&format!("<a><Module Name='{long}'/></a>"), RequestError::ValueTooLong("Name".into()));
        check(&format!("<a>{}</a>", "<Module Name='x' Version='1'/>".repeat(65)), RequestError::TooManyModules);
        check("<!DOCTYPE a><a Model='x'/>", RequestError::Xml(XmlError::Dtd));
        assert!(matches!(read("<a Model='x'>"), Err(RequestError::Xml(XmlError::IllFormed(_)))));
        let large = format!("<a><Model>x</Model>{}</a>", " ".repeat(64 * 1024));
        check(&large, RequestError::Xml(XmlError::TooLarge));
    }

    #[test]
    fn a_request_with_a_known_field_and_nothing_in_it_is_a_request() {
        assert_eq!(read("<Request><MacAddress/></Request>"), Ok(UpdateRequest::default()));
    }

    fn value() -> impl Strategy<Value = String> {
        "[!-~é]([ -~é]{0,20}[!-~é])?"
    }

    fn some_module() -> impl Strategy<Value = Module> {
        let time_stamp =
            proptest::option::of((1970i16..2100, 1i8..=12).prop_map(|(y, m)| date(y, m, 3).at(4, 5, 6, 0)));
        (value(), any::<[u32; 4]>(), time_stamp).prop_map(|(file_name, [a, b, c, d], time_stamp)| Module {
            file_name,
            version: FirmwareVersion::new(a, b, c, d),
            time_stamp,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            texts in proptest::collection::vec(value(), 8),
            modules in proptest::collection::vec(some_module(), 0..5),
            as_attributes: bool,
        ) {
            let names = ["DeviceType", "Mac", "Serial", "Brand", "Model", "Revision", "Locale", "User"];
            let escaped = |text: &str| quick_xml::escape::escape(text).into_owned();
            let element = |(name, text): (&str, &String)| match as_attributes {
                true => format!("<x {name}=\"{}\"/>", escaped(text)),
                false => format!("<{name}>{}</{name}>", escaped(text)),
            };
            let fields: String = names.into_iter().zip(&texts).map(element).collect();
            let parts: String = modules.iter().map(|module| {
                let date = module.time_stamp.map_or(String::new(), |date| format!("<Date>{date}</Date>"));
                format!("<File Name=\"{}\"><Version>{}</Version>{date}</File>", escaped(&module.file_name), module.version)
            }).collect();
            let request = read(&format!("<r>{fields}<m>{parts}</m></r>")).unwrap();
            let read_texts = [request.device_type, request.mac, request.serial, request.vendor, request.model,
                request.revision, request.locale, request.user];
            prop_assert_eq!(&read_texts[..], &texts[..]);
            prop_assert_eq!(request.modules, modules);
        }

        #[test]
        fn a_request_cut_anywhere_is_refused(at in 0..REFERENCE.len() - 1) {
            prop_assert!(read(&REFERENCE[..at]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, at in 0..REFERENCE.len(), byte: u8) {
            let _ = parse_request(&Dialect::default(), &bytes);
            let mut changed = REFERENCE.as_bytes().to_vec();
            changed[at] = byte;
            let _ = parse_request(&Dialect::default(), &changed);
        }
    }
}
