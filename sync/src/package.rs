//! A package file becomes staged updates: what an administrator hands in (a cabinet, a self-extracting program, a
//! cabinet in a cabinet) is checked, unpacked under limits into a staging folder, and sorted into updates
//! (PROTOCOL.md 7). Nothing here stores or publishes; that is `import`. Blocking: call it off the runtime's threads.

mod catalogs;
mod error;
mod hashing;
mod kind;
mod staging;

pub use error::PackageError;

use crate::cabinet::Limits;
use crate::manifest::{self, DESCRIPTION_NAME, DescribedUpdates, Place, PlannedUpdate};
use catalogs::read_catalogs;
use error::shown;
use schema::package::{Catalog, Update, UpdateFile};
use staging::{StagedFile, Staging};
use std::path::{Path, PathBuf};

/// How the updates were wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// The file is the cabinet.
    Cabinet,
    /// The file is a program with the cabinet inside (`UCUpdates.exe`), whatever that cabinet holds.
    SelfExtracting,
    /// The file is a cabinet with the cabinet inside.
    Nested,
}

/// An update whose files stand in the staging folder.
#[derive(Debug, Clone)]
pub struct StagedUpdate {
    /// The update, with digests of what was written to the staging folder.
    pub update: Update,
    /// Where each file is, parallel to `update.files()`.
    pub sources: Vec<PathBuf>,
}

/// What a package holds.
#[derive(Debug, Clone)]
pub struct StagedPackage {
    /// The updates, in the order of the description or of their paths.
    pub updates: Vec<StagedUpdate>,
    /// What the security catalogs say, of those that could be read; each catalog once, however many updates have it.
    pub catalogs: Vec<Catalog>,
    /// Paths in the package, with `/`, that belong to no update.
    pub ignored: Vec<String>,
    /// Whether `updateInfo.xml` was there.
    pub description_found: bool,
    /// How the updates were wrapped.
    pub container: Container,
}

/// The cabinet in a cabinet that counts when there are several (row I03).
const INNER_NAME: &str = "UCUpdates.cab";

/// Checks the package file `source`, unpacks it into the existing, empty folder `staging` under names of our own, and
/// sorts what it holds into updates. Blocking. On an error the folder may hold remains; it is the caller's to delete.
pub fn unpack(source: &Path, staging: &Path, limits: &Limits) -> Result<StagedPackage, PackageError> {
    let mut name = shown(source);
    let mut opened = kind::open(source, limits)?;
    let mut container = if opened.start > 0 { Container::SelfExtracting } else { Container::Cabinet };
    let mut staging = Staging::new(staging, limits);
    let mut ignored = Vec::new();
    let mut depth = 0;
    loop {
        let mut files = staging.unpack(opened, &name)?;
        let Some(inner) = inner_cabinet(&files, &name)? else {
            return sort(files, ignored, container, &name, limits);
        };
        let inner = files.remove(inner);
        ignored.extend(files.into_iter().map(|file| file.path));
        depth += 1;
        if depth > limits.nesting {
            return Err(PackageError::TooDeep { name: inner.path, depth, limit: limits.nesting });
        }
        if container == Container::Cabinet {
            container = Container::Nested;
        }
        opened = kind::open_as(&inner.source, inner.path.clone(), limits)?;
        // The name goes, the open file stays: the disk is free again when the inner cabinet has been unpacked.
        let removed = std::fs::remove_file(&inner.source);
        removed.map_err(PackageError::io(format!("removing {}", inner.source.display())))?;
        name = inner.path;
    }
}

/// The cabinet that carries the updates, in a cabinet that carries none itself.
fn inner_cabinet(files: &[StagedFile], name: &str) -> Result<Option<usize>, PackageError> {
    if files.iter().any(|file| is_description(file) || Place::of(&file.path).is_some()) {
        return Ok(None);
    }
    let base = |file: &StagedFile| file.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let is_cabinet = |index: &usize| base(&files[*index]).ends_with(".cab");
    let cabinets: Vec<usize> = (0..files.len()).filter(is_cabinet).collect();
    let is_named = |index: &usize| base(&files[*index]) == INNER_NAME.to_ascii_lowercase();
    let named: Vec<usize> = cabinets.iter().copied().filter(is_named).collect();
    match (&named[..], &cabinets[..]) {
        ([index], _) | (_, [index]) => Ok(Some(*index)),
        (_, []) => Ok(None),
        _ => {
            let inner: Vec<&str> = cabinets.iter().map(|index| files[*index].path.as_str()).collect();
            Err(PackageError::SeveralCabinets { name: name.to_owned(), inner: inner.join(", ") })
        }
    }
}

fn is_description(file: &StagedFile) -> bool {
    file.path.eq_ignore_ascii_case(DESCRIPTION_NAME)
}

/// Sorts the files of the innermost cabinet into updates.
fn sort(
    files: Vec<StagedFile>,
    mut ignored: Vec<String>,
    container: Container,
    name: &str,
    limits: &Limits,
) -> Result<StagedPackage, PackageError> {
    let description = files.iter().find(|file| is_description(file));
    let described = description.map(|file| read_description(file, limits)).transpose()?;
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let plan = manifest::plan(&paths, described.as_ref()).map_err(PackageError::Manifest)?;
    if plan.updates.is_empty() {
        return Err(PackageError::NoUpdate { name: name.to_owned() });
    }
    check_stored_bytes(&plan.updates, &files, name, limits)?;
    let catalogs = read_catalogs(&plan.updates, &files, limits, catalogs::DIGEST_LIMIT)?;
    let updates = plan.updates.into_iter().map(|planned| staged_update(planned, &files));
    let updates = updates.collect::<Result<Vec<_>, _>>()?;
    ignored.extend(plan.ignored.into_iter().map(|index| files[index].path.clone()));
    Ok(StagedPackage { updates, catalogs, ignored, description_found: description.is_some(), container })
}

fn read_description(file: &StagedFile, limits: &Limits) -> Result<DescribedUpdates, PackageError> {
    let (size_bytes, limit) = (file.size_bytes, limits.description_bytes);
    if size_bytes > limit {
        return Err(PackageError::DescriptionTooLarge { size_bytes, limit });
    }
    let bytes = std::fs::read(&file.source).map_err(PackageError::io("reading updateInfo.xml"))?;
    DescribedUpdates::parse(&bytes).map_err(PackageError::Manifest)
}

/// Every update keeps a copy of its own of each of its files, in every pool; a file that many updates name would
/// otherwise fill a disk from a small package.
fn check_stored_bytes(
    updates: &[PlannedUpdate],
    files: &[StagedFile],
    name: &str,
    limits: &Limits,
) -> Result<(), PackageError> {
    let sizes = updates.iter().flat_map(|update| &update.files).map(|file| files[file.index].size_bytes);
    let (size_bytes, limit) = (sizes.fold(0, u64::saturating_add), limits.unpacked_bytes);
    if size_bytes > limit {
        return Err(PackageError::TooMuchToStore { name: name.to_owned(), size_bytes, limit });
    }
    Ok(())
}

fn staged_update(planned: PlannedUpdate, files: &[StagedFile]) -> Result<StagedUpdate, PackageError> {
    let PlannedUpdate { target, version, files: planned } = planned;
    let sources = planned.iter().map(|file| files[file.index].source.clone()).collect();
    let update_files = planned.into_iter().map(|file| {
        let StagedFile { digest, size_bytes, time_stamp, .. } = files[file.index];
        let path = target.store_path(version, &file.name);
        UpdateFile { name: file.name, role: file.role, digest, size_bytes, time_stamp, path }
    });
    let update_files = update_files.collect();
    let update = Update::new(target, version, update_files).map_err(PackageError::Update)?;
    if update.image().size_bytes == 0 {
        let file = update.image().name.to_string();
        return Err(PackageError::EmptyImage { update: format!("{} {version}", update.target()), file });
    }
    Ok(StagedUpdate { update, sources })
}
