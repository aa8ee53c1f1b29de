//! The files of a package by the folder that says what they are for.

use super::place::Place;
use std::collections::HashMap;

/// The files of one place.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) place: Place,
    /// Their places in the list of paths.
    pub(super) files: Vec<usize>,
}

/// All files, looked up without regard to case.
#[derive(Debug)]
pub(super) struct Groups {
    /// In the order of their first files.
    pub(super) groups: Vec<Group>,
    group_of: HashMap<usize, usize>,
    by_path: HashMap<String, usize>,
    by_name: HashMap<String, Vec<usize>>,
}

/// The last segment of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl Groups {
    pub(super) fn new(paths: &[&str]) -> Self {
        let mut all =
            Self { groups: Vec::new(), group_of: HashMap::new(), by_path: HashMap::new(), by_name: HashMap::new() };
        // Two spellings of one folder are one place, so places are compared, not folders.
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            all.by_path.insert(path.to_lowercase(), index);
            all.by_name.entry(base_name(path).to_lowercase()).or_default().push(index);
            let Some(place) = Place::of(path) else { continue };
            let folded = match &place {
                Place::Device { key, version } => format!("{key}/{version}").to_lowercase(),
                Place::Interim { locale } => locale.as_str().to_lowercase(),
            };
            let number = *numbers.entry(folded).or_insert_with(|| {
                all.groups.push(Group { place, files: Vec::new() });
                all.groups.len() - 1
            });
            all.groups[number].files.push(index);
            all.group_of.insert(index, number);
        }
        all
    }

    /// The place of a file.
    pub(super) fn place_of(&self, index: usize) -> Option<&Place> {
        self.group_of.get(&index).map(|number| &self.groups[*number].place)
    }

    /// The file with this path.
    pub(super) fn at(&self, path: &str) -> Option<usize> {
        self.by_path.get(&path.to_lowercase()).copied()
    }

    /// The files with this last segment.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(&name.to_lowercase()).map_or(&[], Vec::as_slice)
    }
}
