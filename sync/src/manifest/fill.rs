//! Brings the description and the paths together: each update gets its files, and the fields that the description
//! leaves out from where they lie.

use super::UPDATE_LIMIT;
use super::description::{DescribedFile, DescribedUpdate, Fields, check_count};
use super::draft::Draft;
use super::error::ManifestError;
use super::group::{Group, Groups, base_name};
use super::place::Place;
use std::collections::HashMap;

/// Files of all updates of one description, those counted again that several updates mean (ours).
const FILE_LIMIT: usize = 100_000;

/// The updates that the paths alone tell: one for each place.
pub(super) fn from_paths(paths: &[&str], groups: &Groups) -> Vec<Draft> {
    groups.groups.iter().flat_map(|group| whole_group(0, &Fields::default(), group, paths)).collect()
}

/// The updates of a description.
pub(super) fn described(
    updates: &[DescribedUpdate],
    paths: &[&str],
    groups: &Groups,
) -> Result<Vec<Draft>, ManifestError> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut files = 0;
    for (update, number) in updates.iter().zip(1..) {
        let before = drafts.len();
        let homes = homes(update, paths, groups);
        // An update that leaves out much means many devices, and the next one may mean them again.
        check_count("updates", drafts.len() + homes.len(), UPDATE_LIMIT)?;
        match update.files[..] {
            [] if homes.is_empty() => return Err(ManifestError::NoFiles { number }),
            [] => drafts.extend(homes.iter().flat_map(|home| whole_group(number, &update.fields, home, paths))),
            _ if homes.is_empty() => drafts.push(named_files(update, number, None, paths, groups)?),
            _ => {
                for home in homes {
                    drafts.push(named_files(update, number, Some(home), paths, groups)?);
                }
            }
        }
        files += drafts[before..].iter().map(|draft| draft.files.len()).sum::<usize>();
        check_count("files", files, FILE_LIMIT)?;
    }
    Ok(drafts)
}

/// The groups that an update speaks of: none when it says itself where its files are.
fn homes<'a>(update: &DescribedUpdate, paths: &[&str], groups: &'a Groups) -> Vec<&'a Group> {
    if update.files.iter().any(|file| file.path.is_some()) {
        return Vec::new();
    }
    let holds_first = |group: &Group| match update.files.first() {
        Some(file) => in_group(&file.name, group, paths).is_some(),
        None => true,
    };
    groups.groups.iter().filter(|group| update.fields.agree(&group.place) && holds_first(group)).collect()
}

fn in_group(name: &str, group: &Group, paths: &[&str]) -> Option<usize> {
    group.files.iter().copied().find(|index| base_name(paths[*index]).eq_ignore_ascii_case(name))
}

/// All files of a group: one update, or, as interim builds share a folder, one for each stem (ours).
fn whole_group(number: usize, said: &Fields, group: &Group, paths: &[&str]) -> Vec<Draft> {
    let fields = said.clone().or(Some(&group.place));
    let draft = |files: Vec<usize>| Draft { number, fields: fields.clone(), files, signature: None };
    let Place::Interim { .. } = group.place else {
        return vec![draft(group.files.clone())];
    };
    let mut order: Vec<Vec<usize>> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for index in &group.files {
        let stem = stem(paths[*index]);
        if said.update_type.as_ref().is_some_and(|said| !said.as_str().eq_ignore_ascii_case(stem)) {
            continue;
        }
        let number = *numbers.entry(stem.to_lowercase()).or_insert_with(|| {
            order.push(Vec::new());
            order.len() - 1
        });
        order[number].push(*index);
    }
    order.into_iter().map(draft).collect()
}

fn stem(path: &str) -> &str {
    let name = base_name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The files that a description names.
fn named_files(
    update: &DescribedUpdate,
    number: usize,
    home: Option<&Group>,
    paths: &[&str],
    groups: &Groups,
) -> Result<Draft, ManifestError> {
    let mut files = Vec::new();
    let mut signature = None;
    for file in &update.files {
        files.push(find(&file.name, file, home, number, paths, groups)?);
        if let Some(name) = &file.signature {
            let found = find(name, file, home, number, paths, groups)?;
            files.push(found);
            signature = signature.or(Some(found));
        }
    }
    files.sort_unstable();
    files.dedup();
    let place = home.map(|group| &group.place).or_else(|| files.iter().find_map(|index| groups.place_of(*index)));
    Ok(Draft { number, fields: update.fields.clone().or(place), files, signature })
}

/// The file that is meant by a name: by the path that the description gives, in the place that its fields name, or
/// the only one of that name whose path says nothing.
fn find(
    name: &str,
    file: &DescribedFile,
    home: Option<&Group>,
    number: usize,
    paths: &[&str],
    groups: &Groups,
) -> Result<usize, ManifestError> {
    if let Some(path) = &file.path {
        let full = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let found = groups.at(&full).or_else(|| groups.at(path).filter(|_| base_name(path).eq_ignore_ascii_case(name)));
        return found.ok_or(ManifestError::MissingFile { number, file: full });
    }
    if let Some(home) = home {
        return in_group(name, home, paths).ok_or(ManifestError::MissingFile { number, file: name.to_owned() });
    }
    let named = groups.named(name);
    let mut unplaced = named.iter().copied().filter(|index| groups.place_of(*index).is_none());
    match (unplaced.next(), unplaced.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => Err(ManifestError::AmbiguousFile { number, file: name.to_owned() }),
        (None, _) if named.is_empty() => Err(ManifestError::MissingFile { number, file: name.to_owned() }),
        (None, _) => Err(ManifestError::NoFiles { number }),
    }
}
