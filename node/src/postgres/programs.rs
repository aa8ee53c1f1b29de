//! Where PostgreSQL's programs are on this machine.

use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// The programs that a private server needs.
#[derive(Debug)]
pub(super) struct Programs {
    pub postgres: PathBuf,
    pub initdb: PathBuf,
    /// `test` of the base system.
    pub test: PathBuf,
}

/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

impl Programs {
    /// The newest version that Debian's packages installed, else what the PATH has.
    pub fn find() -> anyhow::Result<Self> {
        let folder = newest(Path::new(VERSIONS)).or_else(in_path);
        let folder = folder.context("PostgreSQL is not installed: run `apt-get install postgresql`")?;
        Ok(Self {
            postgres: folder.join("postgres"),
            initdb: folder.join("initdb"),
            test: PathBuf::from("/usr/bin/test"),
        })
    }
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(versions).ok()?.flatten();
    let numbered = entries.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.split('.').next()?.parse().ok()?;
        let folder = entry.path().join("bin");
        has_programs(&folder).then_some((version, folder))
    });
    numbered.max().map(|(_, folder)| folder)
}

fn in_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| has_programs(folder))
}

fn has_programs(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9.6", "13", "15"] {
            let bin = folder.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            if version != "15" {
                std::fs::write(bin.join("postgres"), "").unwrap();
                std::fs::write(bin.join("initdb"), "").unwrap();
            }
        }
        assert_eq!(newest(folder.path()), Some(folder.path().join("13/bin")));
        assert_eq!(newest(&folder.path().join("none")), None);
    }
}
