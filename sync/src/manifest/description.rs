//! `updateInfo.xml`: its updates and files, as far as it says (PROTOCOL.md 7).

use super::UPDATE_LIMIT;
use super::error::ManifestError;
use super::place::Place;
use super::xml::{self, Element};
use schema::ParseError;
use schema::device::Name;
use schema::version::FirmwareVersion;

/// What a description lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedUpdates {
    /// Its updates, in its order.
    pub updates: Vec<DescribedUpdate>,
}

/// An `Update` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedUpdate {
    pub(super) fields: Fields,
    /// Its `File` elements.
    pub files: Vec<DescribedFile>,
}

/// What is said of an update; what is not said can be in a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fields {
    pub(super) interim: bool,
    pub(super) device_type: Option<Name>,
    pub(super) brand: Option<Name>,
    pub(super) model: Option<Name>,
    pub(super) revision: Option<Name>,
    pub(super) locale: Option<Name>,
    pub(super) version: Option<FirmwareVersion>,
    pub(super) update_type: Option<Name>,
}

/// A `File` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedFile {
    /// Its name, without a path.
    pub name: String,
    /// The name of its security catalog.
    pub signature: Option<String>,
    /// Its folder in the cabinet, with `/`.
    pub path: Option<String>,
}

impl DescribedUpdates {
    /// Reads `updateInfo.xml`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let document = xml::read(bytes).map_err(|reason| ManifestError::Xml { reason })?;
        let elements = document.descendants("update");
        let updates = elements.iter().zip(1..).map(|(element, number)| update(element, number));
        let updates = updates.collect::<Result<Vec<_>, _>>()?;
        let files = updates.iter().map(|update| update.files.len()).sum();
        check_count("updates", updates.len(), UPDATE_LIMIT)?;
        check_count("files", files, UPDATE_LIMIT)?;
        Ok(Self { updates })
    }
}

/// Refuses more updates or files than the limit.
pub(super) fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), ManifestError> {
    if count > limit {
        return Err(ManifestError::TooMany { what, limit });
    }
    Ok(())
}

fn update(element: &Element, number: usize) -> Result<DescribedUpdate, ManifestError> {
    let field = |error: ParseError| ManifestError::Field { number, reason: error.to_string() };
    let name = |names: &[&str]| element.field(names).map(Name::parse).transpose().map_err(field);
    let fields = Fields {
        interim: element.field(&["interim"]).is_some_and(is_true),
        device_type: name(&["devicetype"])?,
        brand: name(&["brand", "vendor"])?,
        model: name(&["model"])?,
        revision: name(&["revision"])?,
        locale: name(&["locale"])?,
        version: element.field(&["version"]).map(FirmwareVersion::parse).transpose().map_err(field)?,
        update_type: name(&["updatetype"])?,
    };
    let files = element.descendants("file").into_iter().map(|element| file(element, number));
    Ok(DescribedUpdate { fields, files: files.collect::<Result<_, _>>()? })
}

fn is_true(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes")
}

fn file(element: &Element, number: usize) -> Result<DescribedFile, ManifestError> {
    let reason = "a File has no name, expected it as attribute or child, such as name=\"CPE.nbt\"";
    let missing = || ManifestError::Field { number, reason: reason.to_owned() };
    let name = element.field(&["name", "filename"]).ok_or_else(missing)?.replace('\\', "/");
    let trimmed = |path: &str| path.replace('\\', "/").trim_matches('/').to_owned();
    let path = element.field(&["path"]).map(trimmed);
    let signature = element.field(&["signature"]).map(str::to_owned);
    Ok(match name.rsplit_once('/') {
        Some((folder, name)) => {
            DescribedFile { name: name.to_owned(), signature, path: path.or(Some(trimmed(folder))) }
        }
        None => DescribedFile { name, signature, path },
    })
}

impl Fields {
    /// Whether a file at this place can be meant.
    pub(super) fn agree(&self, place: &Place) -> bool {
        fn fits<T: PartialEq>(said: Option<&T>, found: &T) -> bool {
            said.is_none_or(|said| said == found)
        }
        match place {
            Place::Device { key, version } => {
                !self.interim
                    && fits(self.device_type.as_ref(), &key.device_type)
                    && fits(self.brand.as_ref(), &key.brand)
                    && fits(self.model.as_ref(), &key.model)
                    && fits(self.revision.as_ref(), &key.revision)
                    && fits(self.locale.as_ref(), &key.locale)
                    && fits(self.update_type.as_ref(), &key.update_type)
                    && fits(self.version.as_ref(), version)
            }
            Place::Interim { locale } => self.interim && fits(self.locale.as_ref(), locale),
        }
    }

    /// These, and what they leave out from the place.
    pub(super) fn or(self, place: Option<&Place>) -> Self {
        match place {
            Some(Place::Device { key, version }) => Self {
                interim: self.interim,
                device_type: self.device_type.or_else(|| Some(key.device_type.clone())),
                brand: self.brand.or_else(|| Some(key.brand.clone())),
                model: self.model.or_else(|| Some(key.model.clone())),
                revision: self.revision.or_else(|| Some(key.revision.clone())),
                locale: self.locale.or_else(|| Some(key.locale.clone())),
                version: self.version.or(Some(*version)),
                update_type: self.update_type.or_else(|| Some(key.update_type.clone())),
            },
            Some(Place::Interim { locale }) => {
                Self { interim: true, locale: self.locale.or_else(|| Some(locale.clone())), ..self }
            }
            None => self,
        }
    }
}
