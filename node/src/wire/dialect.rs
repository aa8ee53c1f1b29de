//! The dialect: element names of requests and layout of responses, as data, because those of the original are not
//! public (PROTOCOL.md 3 and 4). Read once, checked as a whole; must not hold what fields mean.

use super::xml::{self, XmlError};
use quick_xml::escape;
use serde::Deserialize;
use std::borrow::Cow;

/// The dialect that is built in, annotated.
pub const DEFAULT_TEXT: &str = include_str!("../../../deploy/dialect.toml");

/// Names and templates, checked.
#[derive(Debug)]
pub struct Dialect {
    fields: Names<Field>,
    module_fields: Names<ModuleField>,
    modules: Names<()>,
    update: Template,
    file: Template,
}

/// A field of a request, outside of its modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `UCPhone`
    DeviceType,
    /// The MAC address.
    MacAddress,
    /// The serial number.
    SerialNumber,
    /// The brand.
    Vendor,
    /// The model.
    Model,
    /// The hardware revision.
    Revision,
    /// The locale.
    Locale,
    /// The last signed-in account.
    User,
    /// The phone's clock.
    RequestDateTime,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = Self::RequestDateTime as usize + 1;
}

/// A field of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModuleField {
    /// `cpe.nbt`
    FileName,
    /// The four numbers together.
    Version,
    /// The first number.
    Major,
    /// The second.
    Minor,
    /// The third.
    Build,
    /// The fourth.
    Qfe,
    /// When the installed file was made.
    TimeStamp,
}

impl ModuleField {
    /// How many there are.
    pub const COUNT: usize = Self::TimeStamp as usize + 1;
}

/// Why a dialect can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DialectError {
    /// Not the TOML that is expected; the text says where.
    #[error("the dialect can't be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// A field has no name.
    #[error("the dialect has no name for {0}")]
    NoName(&'static str),
    /// A name that no element can have.
    #[error("the dialect's name {0:?} is not the name of an XML element: give it without prefix and spaces")]
    Name(String),
    /// One name for two fields.
    #[error("the dialect has the name {0:?} for two fields")]
    Ambiguous(String),
    /// A placeholder that does not exist there, or a brace that belongs to none.
    #[error("the dialect's template {template} has {placeholder}; it may have {allowed}")]
    Placeholder {
        /// `update` or `file`
        template: &'static str,
        /// What stands in the braces.
        placeholder: String,
        /// What may.
        allowed: String,
    },
    /// A template lacks what no phone can do without.
    #[error("the dialect's template {template} lacks {{{placeholder}}}")]
    Lacks {
        /// `update` or `file`
        template: &'static str,
        /// What is missing.
        placeholder: &'static str,
    },
    /// The templates do not make XML.
    #[error("the dialect's templates do not make well-formed XML: {0}")]
    IllFormed(#[from] XmlError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    request: RequestText,
    response: ResponseText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestText {
    device_type: Vec<String>,
    mac_address: Vec<String>,
    serial_number: Vec<String>,
    vendor: Vec<String>,
    model: Vec<String>,
    revision: Vec<String>,
    locale: Vec<String>,
    user: Vec<String>,
    request_date_time: Vec<String>,
    module: Vec<String>,
    module_fields: ModuleText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleText {
    file_name: Vec<String>,
    version: Vec<String>,
    major: Vec<String>,
    minor: Vec<String>,
    build: Vec<String>,
    qfe: Vec<String>,
    time_stamp: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseText {
    update: String,
    file: String,
}

/// Bytes that most answers need for a file, and around the files; longer ones are written as well.
const ANSWER_BYTES: usize = 512;

const UPDATE_PLACEHOLDERS: [&str; 2] = ["number_of_files", "files"];
const FILE_PLACEHOLDERS: [&str; 6] =
    ["file_name", "signature_file_name", "version", "time_stamp", "base_url", "external_base_url"];

impl Dialect {
    /// Reads and checks the TOML of a dialect.
    pub fn parse(text: &str) -> Result<Self, DialectError> {
        let Text { request, response } = toml::from_str(text)?;
        let RequestText { module, module_fields, .. } = &request;
        let fields = Names::read([
            ("device_type", Field::DeviceType, &request.device_type),
            ("mac_address", Field::MacAddress, &request.mac_address),
            ("serial_number", Field::SerialNumber, &request.serial_number),
            ("vendor", Field::Vendor, &request.vendor),
            ("model", Field::Model, &request.model),
            ("revision", Field::Revision, &request.revision),
            ("locale", Field::Locale, &request.locale),
            ("user", Field::User, &request.user),
            ("request_date_time", Field::RequestDateTime, &request.request_date_time),
        ])?;
        let modules = Names::read([("module", (), module)])?;
        if let Some((name, ())) = modules.0.iter().find(|(name, ())| fields.find(name).is_some()) {
            return Err(DialectError::Ambiguous(name.clone()));
        }
        let module_fields = Names::read([
            ("file_name", ModuleField::FileName, &module_fields.file_name),
            ("version", ModuleField::Version, &module_fields.version),
            ("major", ModuleField::Major, &module_fields.major),
            ("minor", ModuleField::Minor, &module_fields.minor),
            ("build", ModuleField::Build, &module_fields.build),
            ("qfe", ModuleField::Qfe, &module_fields.qfe),
            ("time_stamp", ModuleField::TimeStamp, &module_fields.time_stamp),
        ])?;
        let update = Template::parse("update", &response.update, &UPDATE_PLACEHOLDERS, &UPDATE_PLACEHOLDERS)?;
        let file = Template::parse("file", &response.file, &FILE_PLACEHOLDERS, &["file_name"])?;
        let dialect = Self { fields, module_fields, modules, update, file };
        for count in 0..=2 {
            let files = vec![FILE_PLACEHOLDERS.map(|_| "x"); count];
            xml::walk(&dialect.fill(&files), |_| Ok::<_, XmlError>(()))?;
        }
        Ok(dialect)
    }

    /// The field that an element or attribute of this local name is.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.find(name)
    }

    /// The field that it is inside of a module.
    pub fn module_field(&self, name: &str) -> Option<ModuleField> {
        self.module_fields.find(name)
    }

    /// Whether an element of this local name is a module.
    pub fn is_module(&self, name: &str) -> bool {
        self.modules.find(name).is_some()
    }

    /// An answer with these files; the values in the order file name, signature file name, version, time stamp, base
    /// URL, external base URL.
    pub fn fill(&self, files: &[[&str; 6]]) -> String {
        let mut files_text = String::with_capacity(ANSWER_BYTES * files.len());
        for values in files {
            self.file.fill(&mut files_text, values.map(escape::escape).each_ref().map(Cow::as_ref));
        }
        let mut text = String::with_capacity(ANSWER_BYTES + files_text.len());
        self.update.fill(&mut text, [&files.len().to_string(), &files_text]);
        text
    }
}

impl Default for Dialect {
    /// The one that is built in.
    fn default() -> Self {
        Self::parse(DEFAULT_TEXT).expect("a constant that the tests parse")
    }
}

/// Names of fields, found without regard to case. There are few: looking at each costs less than a hash.
#[derive(Debug)]
struct Names<F>(Vec<(String, F)>);

impl<F: Copy> Names<F> {
    fn read<const N: usize>(fields: [(&'static str, F, &Vec<String>); N]) -> Result<Self, DialectError> {
        let mut names = Self(Vec::new());
        for (title, field, aliases) in fields {
            if aliases.is_empty() {
                return Err(DialectError::NoName(title));
            }
            for alias in aliases {
                let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                if alias.is_empty() || !alias.chars().all(allowed) {
                    return Err(DialectError::Name(alias.clone()));
                }
                if names.find(alias).is_some() {
                    return Err(DialectError::Ambiguous(alias.clone()));
                }
                names.0.push((alias.to_ascii_lowercase(), field));
            }
        }
        Ok(names)
    }

    fn find(&self, name: &str) -> Option<F> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// Literal text and placeholders in turns.
#[derive(Debug)]
struct Template {
    head: String,
    /// Which of the values comes next, and the literal text behind it.
    rest: Vec<(usize, String)>,
}

impl Template {
    fn parse(
        template: &'static str,
        text: &str,
        allowed: &[&'static str],
        required: &[&'static str],
    ) -> Result<Self, DialectError> {
        let refused = |placeholder: String| DialectError::Placeholder {
            template,
            placeholder,
            allowed: allowed.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", "),
        };
        let mut pieces = text.split('{');
        let head = pieces.next().unwrap_or_default().to_owned();
        let mut rest = Vec::new();
        for piece in pieces {
            let (name, literal) = piece.split_once('}').ok_or_else(|| refused("an open brace".to_owned()))?;
            let place = allowed.iter().position(|known| *known == name);
            rest.push((place.ok_or_else(|| refused(format!("{{{name}}}")))?, literal.to_owned()));
        }
        if rest.iter().map(|(_, literal)| literal).chain([&head]).any(|literal| literal.contains('}')) {
            return Err(refused("a closing brace that none opens".to_owned()));
        }
        let present = |name: &&str| rest.iter().any(|(place, _)| allowed[*place] == *name);
        match required.iter().find(|name| !present(name)) {
            Some(placeholder) => Err(DialectError::Lacks { template, placeholder }),
            None => Ok(Self { head, rest }),
        }
    }

    /// `values` stand in the order of the placeholders that are allowed, and are put in as they are.
    fn fill<const N: usize>(&self, into: &mut String, values: [&str; N]) {
        *into += &self.head;
        for (place, literal) in &self.rest {
            *into += values[*place];
            *into += literal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(from: &str, to: &str) -> String {
        assert!(DEFAULT_TEXT.contains(from), "{from}");
        Dialect::parse(&DEFAULT_TEXT.replace(from, to)).map_or_else(|error| error.to_string(), |_| "good".to_owned())
    }

    #[test]
    fn the_dialect_that_is_built_in_has_the_names_of_the_protocol() {
        let dialect = Dialect::parse(DEFAULT_TEXT).unwrap();
        let fields = [
            (Field::DeviceType, "DeviceType"),
            (Field::MacAddress, "MacAddress MACAddress MAC"),
            (Field::SerialNumber, "SerialNumber Serial"),
            (Field::Vendor, "Vendor Brand"),
            (Field::Model, "Model"),
            (Field::Revision, "Revision HardwareRevision"),
            (Field::Locale, "Locale"),
            (Field::User, "UserID UserName User"),
            (Field::RequestDateTime, "RequestDateTime DateTime CurrentTime"),
        ];
        for (field, names) in fields {
            assert!(names.split(' ').all(|name| dialect.field(name) == Some(field)), "{names}");
        }
        let module_fields = [
            (ModuleField::FileName, "FileName Name"),
            (ModuleField::Version, "Version"),
            (ModuleField::Major, "Major"),
            (ModuleField::Minor, "Minor"),
            (ModuleField::Build, "Build"),
            (ModuleField::Qfe, "QFE"),
            (ModuleField::TimeStamp, "TimeStamp Date"),
        ];
        for (field, names) in module_fields {
            assert!(names.split(' ').all(|name| dialect.module_field(name) == Some(field)), "{names}");
        }
        assert!("Module File Component Image".split(' ').all(|name| dialect.is_module(name)));
        assert!(!dialect.is_module("Modules") && dialect.field("Version").is_none());
    }

    #[test]
    fn names_match_without_regard_to_case() {
        let dialect = Dialect::default();
        assert_eq!(dialect.field("mACaDDRESS"), Some(Field::MacAddress));
        assert_eq!(dialect.module_field("qfe"), Some(ModuleField::Qfe));
        assert!(dialect.is_module("MODULE"));
    }

    #[test]
    fn a_malformed_dialect_is_refused_with_what_is_wrong() {
        assert_eq!(edited("\"CurrentTime\"", "\"Clock\""), "good");
        assert_eq!(edited("[\"DeviceType\"]", "[]"), "the dialect has no name for device_type");
        assert_eq!(edited("\"Model\"", "\"vendor\""), "the dialect has the name \"vendor\" for two fields");
        assert_eq!(edited("\"Component\"", "\"Model\""), "the dialect has the name \"model\" for two fields");
        assert!(edited("\"Model\"", "\"a:b\"").contains("\"a:b\" is not the name of an XML element"));
        assert!(edited("model =", "modell =").contains("unknown field `modell`"), "{}", edited("model =", "modell ="));
        assert!(edited("[response]", "").contains("can't be read"));
        assert_eq!(
            edited("{files}", "{file}"),
            "the dialect's template update has {file}; it may have {number_of_files}, {files}"
        );
        assert_eq!(edited("{files}<", "<"), "the dialect's template update lacks {files}");
        assert!(edited("{file_name}", "{file_name").contains("template file has"));
        assert!(edited("{file_name}", "}{file_name}").contains("a closing brace that none opens"));
        assert!(edited("</File>", "</Fil>").contains("do not make well-formed XML"));
        assert!(edited("</Response>", "").contains("do not make well-formed XML"));
    }
}
