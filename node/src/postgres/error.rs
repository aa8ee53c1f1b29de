//! Why the private PostgreSQL does not run; each says what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No programs.
    #[error(
        "PostgreSQL is not installed: neither /usr/lib/postgresql/*/bin nor PATH holds {missing}; on Debian or Ubuntu run: apt-get install postgresql"
    )]
    NotInstalled {
        /// The first program that is missing.
        missing: &'static str,
    },
    /// The data is that of another version.
    #[error(
        "the data in {folder} was made by PostgreSQL {version}, which is not installed; on Debian or Ubuntu run: apt-get install postgresql-{version}"
    )]
    OtherVersion {
        /// The data.
        folder: PathBuf,
        /// The major version that made it.
        version: String,
    },
    /// Root, and nobody to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user postgres to run it as; install the package postgresql, which makes one, or run ucupdates as an ordinary user"
    )]
    NoUser,
    /// A parent folder is closed for the server's user.
    #[error(
        "the user {user}, whom PostgreSQL runs as, may not pass through {folder}; choose another data folder, or run: chmod a+x {folder}"
    )]
    Closed {
        /// The server's user.
        user: String,
        /// The folder nearest to the root that is closed.
        folder: PathBuf,
    },
    /// The folder for the socket is somebody else's.
    #[error(
        "{folder}, the folder for PostgreSQL's socket, is not a folder that belongs to the server's user alone; delete it"
    )]
    UnsafeSocketFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process uses the folder.
    #[error("another ucupdates already runs PostgreSQL on {folder}; stop it first, or choose another data folder")]
    AlreadyRunning {
        /// The data folder.
        folder: PathBuf,
    },
    /// No room.
    #[error(
        "the disk of {folder} is full, and PostgreSQL's data is there; make room (a new folder takes some 60 MB), or choose another data folder"
    )]
    Full {
        /// The data.
        folder: PathBuf,
    },
    /// initdb failed.
    #[error("PostgreSQL's data could not be made: {output}")]
    Initialize {
        /// What it said.
        output: String,
    },
    /// The server ended, or did not become ready.
    #[error("PostgreSQL does not start; the end of its log {log}:\n{tail}")]
    DoesNotStart {
        /// Its log.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// The server did not end.
    #[error("PostgreSQL does not stop; see its log {log}")]
    DoesNotStop {
        /// Its log.
        log: PathBuf,
    },
    /// The file system refused.
    #[error("{doing} {path}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// What PostgreSQL says, in whichever program, when the disk is full.
pub(super) fn tells_full(text: &str) -> bool {
    text.contains("No space left on device")
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Io { doing, path: path.to_owned(), source }
}
