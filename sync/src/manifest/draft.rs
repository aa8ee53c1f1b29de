//! An update whose files are known becomes one whose files have roles, or a refusal.

use super::description::Fields;
use super::error::ManifestError;
use super::group::{Groups, base_name};
use super::{PlannedFile, PlannedUpdate};
use schema::device::{DeviceKey, Name};
use schema::package::{FileRole, UpdateTarget};
use schema::rule_set::SteppingStone;
use std::collections::HashSet;

/// An update whose files are known and whose roles are not.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its number in the description, from 1; 0 when its path alone made it.
    pub(super) number: usize,
    pub(super) fields: Fields,
    /// Its files, as places in the list of paths.
    pub(super) files: Vec<usize>,
    /// The file that the description names as signature.
    pub(super) signature: Option<usize>,
}

impl Draft {
    /// Decides which file is what.
    pub(super) fn finish(mut self, paths: &[&str], groups: &Groups) -> Result<PlannedUpdate, ManifestError> {
        let image = self.image(paths)?;
        let image_name = self.name(paths[image])?;
        let stem = Name::parse(image_name.stem()).map_err(|error| self.refused_name(&error))?;
        let update_type = self.fields.update_type.take().unwrap_or(stem);
        let signature = self.signature.or_else(|| beside(paths[image], groups));
        self.files.extend(signature);
        self.files.sort_unstable();
        self.files.dedup();
        let mut files = Vec::new();
        let mut names = HashSet::new();
        for index in self.files.iter().copied() {
            let name = self.name(paths[index])?;
            let role = match index {
                _ if index == image => FileRole::Image,
                _ if Some(index) == signature => FileRole::Signature,
                _ => FileRole::Other,
            };
            if !names.insert(name.clone()) {
                return Err(ManifestError::SameName { update: self.label(), file: name.to_string() });
            }
            files.push(PlannedFile { index, name, role });
        }
        let (target, version) = self.target(update_type)?;
        Ok(PlannedUpdate { target, version, files })
    }

    /// The image: the only file that is no `.cat`, else the only one whose stem is the update type. An `.xml` beside
    /// an image of the same stem describes it (ours).
    fn image(&self, paths: &[&str]) -> Result<usize, ManifestError> {
        let has = |index: usize, extension: &str| paths[index].to_ascii_lowercase().ends_with(extension);
        let is_candidate = |index: &usize| !has(*index, ".cat") && Some(*index) != self.signature;
        let all: Vec<usize> = self.files.iter().copied().filter(is_candidate).collect();
        let expected = self.fields.update_type.as_ref().map_or("", Name::as_str);
        let is_of_type = |index: &usize| {
            let name = base_name(paths[*index]);
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            expected.is_empty() || stem.eq_ignore_ascii_case(expected)
        };
        let of_type: Vec<usize> = all.iter().copied().filter(is_of_type).collect();
        let not_xml: Vec<usize> = of_type.iter().copied().filter(|index| !has(*index, ".xml")).collect();
        match (&all[..], &of_type[..], &not_xml[..]) {
            ([], _, _) => Err(ManifestError::NoImage { update: self.label() }),
            ([image], _, _) | (_, [image], _) | (_, _, [image]) => Ok(*image),
            _ => {
                let files: Vec<&str> = all.iter().map(|index| base_name(paths[*index])).collect();
                let expected = if expected.is_empty() { "as its update type".to_owned() } else { expected.to_owned() };
                Err(ManifestError::AmbiguousImage { update: self.label(), files: files.join(", "), expected })
            }
        }
    }

    fn target(&self, update_type: Name) -> Result<(UpdateTarget, schema::version::FirmwareVersion), ManifestError> {
        fn there<T: Clone>(value: Option<&T>, number: usize, field: &'static str) -> Result<T, ManifestError> {
            value.cloned().ok_or(ManifestError::MissingField { number, field })
        }
        let (fields, number) = (&self.fields, self.number);
        let locale = there(fields.locale.as_ref(), number, "the locale")?;
        if fields.interim {
            // What is known of interim builds is the original's one (PROTOCOL.md 5); so it is the default (ours).
            let stone = SteppingStone::of_the_original();
            let device_type = fields.device_type.clone().unwrap_or(stone.device_type);
            let target = UpdateTarget::Interim { device_type, locale, update_type };
            return Ok((target, fields.version.unwrap_or(stone.via)));
        }
        let key = DeviceKey {
            device_type: there(fields.device_type.as_ref(), number, "the device type")?,
            brand: there(fields.brand.as_ref(), number, "the brand")?,
            model: there(fields.model.as_ref(), number, "the model")?,
            revision: there(fields.revision.as_ref(), number, "the revision")?,
            locale,
            update_type,
        };
        Ok((UpdateTarget::Device(key), there(fields.version.as_ref(), number, "the version")?))
    }

    fn name(&self, path: &str) -> Result<Name, ManifestError> {
        Name::parse(base_name(path)).map_err(|error| self.refused_name(&error))
    }

    fn refused_name(&self, error: &schema::ParseError) -> ManifestError {
        ManifestError::FileName { update: self.label(), reason: error.to_string() }
    }

    /// What a refusal calls the update.
    fn label(&self) -> String {
        if self.number > 0 {
            return format!("updateInfo.xml, update {}", self.number);
        }
        let Fields { interim, device_type, brand, model, revision, locale, version, update_type } = &self.fields;
        let names = [device_type, brand, model, revision, locale, update_type];
        let names: Vec<&str> = names.into_iter().flatten().map(Name::as_str).collect();
        let kind = if *interim { "interim " } else { "" };
        let version = version.map_or(String::new(), |version| format!(" {version}"));
        format!("{kind}{}{version}", names.join("/"))
    }
}

/// The security catalog with the image's stem, in the image's folder (PROTOCOL.md 8).
fn beside(image: &str, groups: &Groups) -> Option<usize> {
    let stem_end = image.rfind('.').filter(|dot| !image[*dot..].contains('/')).unwrap_or(image.len());
    groups.at(&format!("{}.cat", &image[..stem_end]))
}
