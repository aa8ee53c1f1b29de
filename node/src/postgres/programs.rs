//! Which programs the private PostgreSQL runs with, and as whom.

use super::error::{PostgresError, io_error};
use super::folders::Folders;
use nix::unistd::{Uid, User};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Where Debian puts the programs, below a folder named by the major version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// The programs of one installation.
pub(super) struct Programs {
    pub initdb: PathBuf,
    pub postgres: PathBuf,
    pub pg_isready: PathBuf,
}

impl Programs {
    /// The newest installed ones for new data; for data that is there, those of its own major version, because others
    /// cannot read it.
    pub fn find(folders: &Folders) -> Result<Self, PostgresError> {
        let version = folders.cluster_version()?;
        let mut installed = debian_folders();
        installed.sort_by_key(|(number, _)| *number);
        let on_path = env::var_os("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
        let candidates: Vec<PathBuf> = installed.into_iter().rev().map(|(_, folder)| folder).chain(on_path).collect();
        let mut complete = candidates.iter().filter_map(|folder| Self::inside(folder));
        match version {
            None => complete.next().ok_or(PostgresError::NotInstalled { missing: missing(&candidates) }),
            Some(version) => complete
                .find(|programs| programs.major_version().is_some_and(|found| found == version))
                .ok_or(PostgresError::OtherVersion { folder: folders.folder.clone(), version }),
        }
    }

    fn inside(folder: &Path) -> Option<Self> {
        let [initdb, postgres, pg_isready] = NAMES.map(|name| folder.join(name));
        let all = [&initdb, &postgres, &pg_isready].into_iter().all(|program| program.is_file());
        all.then_some(Self { initdb, postgres, pg_isready })
    }

    /// `15`, of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
    fn major_version(&self) -> Option<String> {
        let output = Command::new(&self.postgres).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        number.split('.').next().map(str::to_owned)
    }
}

const NAMES: [&str; 3] = ["initdb", "postgres", "pg_isready"];

fn missing(candidates: &[PathBuf]) -> &'static str {
    let nowhere = |name: &&str| !candidates.iter().any(|folder| folder.join(name).is_file());
    NAMES.into_iter().find(nowhere).unwrap_or("initdb, postgres and pg_isready together")
}

/// Folders of programs by major version.
fn debian_folders() -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(DEBIAN_FOLDER).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    versions.map(|version: u32| (version, Path::new(DEBIAN_FOLDER).join(version.to_string()).join("bin"))).collect()
}

/// The user whom the server runs as.
pub(super) enum ServerUser {
    /// Ourselves.
    Same,
    /// We are root, which PostgreSQL refuses to run as.
    Other(Box<User>),
}

impl ServerUser {
    pub fn find() -> Result<Self, PostgresError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Same);
        }
        User::from_name("postgres").ok().flatten().map(Box::new).map(Self::Other).ok_or(PostgresError::NoUser)
    }

    /// Whom the server's files belong to.
    pub fn uid(&self) -> u32 {
        match self {
            Self::Same => Uid::effective().as_raw(),
            Self::Other(user) => user.uid.as_raw(),
        }
    }

    /// A command run as this user, with nothing of our environment that PostgreSQL would listen to.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        command.env("PATH", env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        if let Self::Other(user) = self {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Makes the user the owner of a folder.
    pub fn own(&self, folder: &Path) -> Result<(), PostgresError> {
        let Self::Other(user) = self else { return Ok(()) };
        std::os::unix::fs::chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(io_error("changing the owner of", folder))
    }

    /// Fails when a folder above `folder` is closed for the user.
    pub fn check_way_to(&self, folder: &Path) -> Result<(), PostgresError> {
        let Self::Other(user) = self else { return Ok(()) };
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        let script = r#"for folder; do [ -x "$folder" ] || { printf '%s' "$folder"; exit 1; }; done"#;
        let shell = Path::new("/bin/sh");
        let output = self.command(shell).args(["-c", script, "sh"]).args(way).current_dir("/").output();
        let output = output.map_err(io_error("running", shell))?;
        if output.status.success() {
            return Ok(());
        }
        let closed = PathBuf::from(String::from_utf8_lossy(&output.stdout).into_owned());
        Err(PostgresError::Closed { user: user.name.clone(), folder: closed })
    }
}
