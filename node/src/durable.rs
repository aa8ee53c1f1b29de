//! Writing that survives a crash: a file is there whole or as it was before, and so is its name. Blocking.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How the name of a file ends that is being written.
const PARTIAL: &str = ".partial";

/// Replaces the file with these bytes, readable by its owner alone. A crash leaves the old file or the new one, and
/// beside it at most one `.<name>.partial`, which the next replacement overwrites. One process at a time may do that.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    // Not opened as it is: it may be a link, or readable by others.
    let _ = std::fs::remove_file(&partial);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&partial, path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_folder)
}

fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{PARTIAL}"))
}

/// Deletes what replacements that a crash interrupted left in the folder, which may not be there: it may be half a key.
pub fn sweep(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the folder and those above it as far as they are missing, so that they survive a crash.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), create_folder)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    above.map_or(Ok(()), sync_folder)
}

/// Puts the names in a folder on disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_replaced_whole_and_what_a_crash_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        for text in ["first", "2"] {
            std::fs::write(folder.path().join(".state.toml.partial"), "half of something much longer").unwrap();
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::create_dir(folder.path().join("taken")).unwrap();
        replace(&folder.path().join("taken"), b"x").unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written stays");
        std::fs::write(folder.path().join(".ca.key.partial"), "half a key").unwrap();
        std::fs::write(folder.path().join(".hidden"), "an administrator's").unwrap();
        sweep(folder.path()).unwrap();
        sweep(&folder.path().join("missing")).unwrap();
        assert!(!folder.path().join(".ca.key.partial").exists() && folder.path().join(".hidden").exists());
    }

    #[test]
    fn folders_are_made_as_far_as_they_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        std::fs::write(folder.path().join("file"), "").unwrap();
        create_folder(&folder.path().join("file/d")).unwrap_err();
    }
}
