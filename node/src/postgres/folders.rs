//! Where the private PostgreSQL keeps what: its data, its log, its socket.

use super::PORT;
use super::error::{PostgresError, io_error};
use super::programs::ServerUser;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, iter};

/// Bytes that the path of a socket has at most; the system's limit is 107.
const SOCKET_PATH_LIMIT: usize = 100;

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 15;

/// The folders of one server.
#[derive(Debug)]
pub(super) struct Folders {
    /// Holds everything but, perhaps, the socket. Absolute.
    pub folder: PathBuf,
    /// Holds the socket, and lets only the server's user in (and root).
    pub socket: PathBuf,
}

impl Folders {
    pub fn make(folder: &Path, user: &ServerUser) -> Result<Self, PostgresError> {
        fs::create_dir_all(folder).map_err(io_error("making", folder))?;
        let folder = folder.canonicalize().map_err(io_error("finding", folder))?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(io_error("closing", &folder))?;
        user.own(&folder)?;
        user.check_way_to(&folder)?;
        let socket = socket_folder(&folder);
        make_private(&socket, user)?;
        Ok(Self { folder, socket })
    }

    /// The data.
    pub fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The major version that made the data, if there is any.
    pub fn cluster_version(&self) -> Result<Option<String>, PostgresError> {
        let path = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading", &path)(error)),
        }
    }

    /// The process that serves this data now. Its working folder tells it from another one that got the same number
    /// after the server died.
    pub fn server_process(&self) -> Option<i32> {
        let text = fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let id = text.lines().next()?.trim().parse().ok()?;
        let working_folder = fs::read_link(format!("/proc/{id}/cwd")).ok()?;
        (working_folder == self.cluster()).then_some(id)
    }

    /// Opens the log to write at its end; puts it aside first when it is longer than `limit_bytes`.
    pub fn open_log(&self, limit_bytes: u64) -> Result<File, PostgresError> {
        self.shorten_log(limit_bytes)?;
        let path = self.log();
        File::options().create(true).append(true).open(&path).map_err(io_error("opening", &path))
    }

    /// Puts a copy of a log that is longer than `limit_bytes` aside, and empties it: whoever writes at its end goes on at
    /// its beginning. Lines of the moment in between are lost.
    pub fn shorten_log(&self, limit_bytes: u64) -> Result<(), PostgresError> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|log| log.len() > limit_bytes) {
            fs::copy(&path, path.with_extension("log.1")).map_err(io_error("copying", &path))?;
            let log = File::options().write(true).open(&path).map_err(io_error("opening", &path))?;
            log.set_len(0).map_err(io_error("emptying", &path))?;
        }
        Ok(())
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// Inside the data folder when its path is short enough, else below the folder for temporary files, by a name that is
/// always the same for the same data.
fn socket_folder(folder: &Path) -> PathBuf {
    let digest = hex::encode(Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    let name = format!("ucupdates-{}", &digest[..16]);
    let socket = |folder: &Path| folder.join(format!(".s.PGSQL.{PORT}")).as_os_str().len();
    iter::once(folder.join("socket"))
        .chain([env::temp_dir().join(&name)])
        .find(|folder| socket(folder) <= SOCKET_PATH_LIMIT)
        .unwrap_or_else(|| Path::new("/tmp").join(name))
}

/// The folder for temporary files is everybody's: what somebody else put there is refused.
fn make_private(folder: &Path, user: &ServerUser) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => user.own(folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(folder).map_err(io_error("looking at", folder))?;
            let private = found.is_dir() && found.uid() == user.uid() && found.mode() & 0o077 == 0;
            if private { Ok(()) } else { Err(PostgresError::UnsafeSocketFolder { folder: folder.to_owned() }) }
        }
        Err(error) => Err(io_error("making", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_socket_is_inside_the_data_folder_unless_its_path_were_too_long() {
        assert_eq!(socket_folder(Path::new("/srv/u")), Path::new("/srv/u/socket"));
        let long = PathBuf::from(format!("/srv/{}", "x".repeat(90)));
        let elsewhere = socket_folder(&long);
        assert!(elsewhere.starts_with(env::temp_dir()), "{}", elsewhere.display());
        assert_eq!(socket_folder(&long), elsewhere);
        assert_ne!(socket_folder(&long.join("y")), elsewhere);
    }

    #[test]
    fn a_long_log_is_put_aside_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders { folder: folder.path().to_owned(), socket: folder.path().join("socket") };
        let mut log = folders.open_log(10).unwrap();
        for (line, kept, aside) in
            [("0123456789", "0123456789", None), ("x", "", Some("0123456789x")), ("y", "y", Some("0123456789x"))]
        {
            log.write_all(line.as_bytes()).unwrap();
            folders.shorten_log(10).unwrap();
            assert_eq!(fs::read_to_string(folders.log()).unwrap(), kept);
            assert_eq!(fs::read_to_string(folder.path().join("postgres.log.1")).ok().as_deref(), aside);
        }
    }

    #[test]
    fn a_socket_folder_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("socket");
        make_private(&folder, &ServerUser::Same).unwrap();
        make_private(&folder, &ServerUser::Same).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let refused = make_private(&folder, &ServerUser::Same);
        assert!(matches!(refused, Err(PostgresError::UnsafeSocketFolder { .. })), "{refused:?}");
    }
}
