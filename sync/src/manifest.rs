//! What a package's files are for: from `updateInfo.xml` and, where that is silent, from the paths in the cabinet
//! (PROTOCOL.md 7). Values in, values out: pure, and must not unpack or hash.
//!
//! Only `Updates/Updates/Update` with its `version` is known of the original; every other element and attribute name
//! here is ours.

mod description;
mod draft;
mod error;
mod fill;
mod group;
mod place;
mod xml;

pub use description::{DescribedFile, DescribedUpdate, DescribedUpdates};
pub use error::ManifestError;
pub use place::Place;

use group::Groups;
use schema::device::Name;
use schema::package::{FileRole, UpdateTarget};
use schema::version::FirmwareVersion;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

/// The description's name, at the cabinet's root.
pub const DESCRIPTION_NAME: &str = "updateInfo.xml";

/// Updates, and files named, in one description (ours); also updates of one package. Vendors' packages have some dozens.
pub const UPDATE_LIMIT: usize = 10_000;

/// An update that a package holds, as numbers of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedUpdate {
    /// What it is for.
    pub target: UpdateTarget,
    /// Its version.
    pub version: FirmwareVersion,
    /// Its files: exactly one image, at most one signature.
    pub files: Vec<PlannedFile>,
}

/// A file of a planned update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its place in the list of paths that the plan was made from.
    pub index: usize,
    /// The last segment of its path.
    pub name: Name,
    /// What it is.
    pub role: FileRole,
}

/// What a package's files are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The updates, in the order of the description, or of the paths. Empty when nothing says what the files are.
    pub updates: Vec<PlannedUpdate>,
    /// Files that belong to no update, in their order.
    pub ignored: Vec<usize>,
}

/// Sorts the files at `paths` (with `/`) into updates. Without a description, or with one that lists no update, the
/// paths alone decide.
pub fn plan(paths: &[&str], description: Option<&DescribedUpdates>) -> Result<Plan, ManifestError> {
    let groups = Groups::new(paths);
    let drafts = match description {
        Some(description) if !description.updates.is_empty() => fill::described(&description.updates, paths, &groups)?,
        _ => fill::from_paths(paths, &groups),
    };
    let mut updates: Vec<PlannedUpdate> = Vec::new();
    let mut seen: HashMap<(UpdateTarget, FirmwareVersion), usize> = HashMap::new();
    for draft in drafts {
        let update = draft.finish(paths, &groups)?;
        match seen.entry((update.target.clone(), update.version)) {
            Entry::Occupied(before) if updates[*before.get()] == update => {}
            Entry::Occupied(_) => {
                return Err(ManifestError::Twice { update: format!("{} {}", update.target, update.version) });
            }
            Entry::Vacant(slot) => {
                slot.insert(updates.len());
                updates.push(update);
            }
        }
    }
    let used: HashSet<usize> = updates.iter().flat_map(|update| &update.files).map(|file| file.index).collect();
    let is_ignored = |index: &usize| !used.contains(index) && !paths[*index].eq_ignore_ascii_case(DESCRIPTION_NAME);
    let ignored = (0..paths.len()).filter(is_ignored).collect();
    Ok(Plan { updates, ignored })
}

#[cfg(test)]
mod tests;
