//! The security catalogs of a package: each read once, however many updates name it. What cannot be read, and what is
//! beyond the limits, is carried unread; nothing here is a reason to refuse a package.

use super::error::PackageError;
use super::staging::StagedFile;
use crate::cabinet::Limits;
use crate::catalog;
use crate::manifest::PlannedUpdate;
use schema::package::{Catalog, FileRole};
use std::collections::HashSet;

/// Digests that are kept of all catalogs of one package (ours): ten times what is kept of one. Each becomes a row.
pub(super) const DIGEST_LIMIT: usize = 100_000;

/// What the catalogs of the updates list, each catalog once, in the order of the updates that name them first, as long
/// as they have no more than `most_digests` together.
pub(super) fn read_catalogs(
    updates: &[PlannedUpdate],
    files: &[StagedFile],
    limits: &Limits,
    most_digests: usize,
) -> Result<Vec<Catalog>, PackageError> {
    let mut seen = HashSet::new();
    let signatures = updates.iter().flat_map(|update| &update.files).filter(|file| file.role == FileRole::Signature);
    // Two files of the same bytes are the same catalog.
    let distinct = signatures.map(|file| &files[file.index]).filter(|file| seen.insert(file.digest));
    let mut left = most_digests;
    let mut catalogs = Vec::new();
    for file in distinct.filter(|file| file.size_bytes <= limits.catalog_bytes) {
        let bytes = std::fs::read(&file.source).map_err(PackageError::io(format!("reading {}", file.path)))?;
        let Some(digests) = catalog::read(&bytes) else { continue };
        if digests.len() > left {
            break;
        }
        left -= digests.len();
        catalogs.push(Catalog { file: file.digest, digests });
    }
    Ok(catalogs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{catalog, member};
    use crate::manifest::PlannedFile;
    use schema::device::Name;
    use schema::package::{Digest, UpdateTarget};
    use schema::version::FirmwareVersion;
    use std::path::Path;

    /// A catalog of this many digests, staged under a name of its own.
    fn staged(folder: &Path, number: u8, digests: usize) -> StagedFile {
        let bytes = catalog(&vec![member("1.3.14.3.2.26", &[number; 20]); digests]);
        let source = folder.join(number.to_string());
        std::fs::write(&source, &bytes).unwrap();
        let time_stamp = jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0);
        let (path, size_bytes) = (format!("{number}.cat"), bytes.len() as u64);
        StagedFile { path, source, digest: Digest::new([number; 32]), size_bytes, time_stamp }
    }

    /// An update that names this catalog.
    fn update(index: usize) -> PlannedUpdate {
        let name = |text| Name::parse(text).unwrap();
        let target =
            UpdateTarget::Interim { device_type: name("UCPhone"), locale: name("ENU"), update_type: name("CPE") };
        let file = PlannedFile { index, name: name("CPE.cat"), role: FileRole::Signature };
        PlannedUpdate { target, version: FirmwareVersion::NONE, files: vec![file] }
    }

    #[test]
    fn a_catalog_is_read_once_and_all_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let files = [staged(folder.path(), 0, 2), staged(folder.path(), 1, 3), staged(folder.path(), 2, 1)];
        let check = |updates: &[usize], most_digests, expected: &[(u8, usize)]| {
            let updates: Vec<PlannedUpdate> = updates.iter().copied().map(update).collect();
            let found = read_catalogs(&updates, &files, &Limits::default(), most_digests).unwrap();
            let found: Vec<_> = found.iter().map(|catalog| (catalog.file, catalog.digests.len())).collect();
            let expected: Vec<_> = expected.iter().map(|(byte, count)| (Digest::new([*byte; 32]), *count)).collect();
            assert_eq!(found, expected);
        };
        check(&[1, 0, 1, 1, 0], 100, &[(1, 3), (0, 2)]);
        check(&[0, 1, 2, 0], 6, &[(0, 2), (1, 3), (2, 1)]);
        check(&[0, 1, 2], 4, &[(0, 2)]);
        check(&[0; 10_000], 100, &[(0, 2)]);
    }
}
