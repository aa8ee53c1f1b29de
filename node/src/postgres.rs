//! A private, real PostgreSQL as a child process: for Standard Edition and for tests. Reachable by a socket in a
//! folder that nobody else can enter, never by network. It ends when we end, also when we are killed.

mod error;
mod folders;
mod programs;

pub use error::PostgresError;

use error::{io_error, tells_full};
use folders::Folders;
use programs::{Programs, ServerUser};
use std::convert::Infallible;
use std::fs::{self, File, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The role and the port that stand in the socket's name; there is no other of either.
const USER: &str = "ucupdates";
const PORT: &str = "5432";

/// Limit for starting, which may have to recover after a crash, and for stopping, which may have to write a lot.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition that is waited for is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A log longer than this is put aside; one older log is kept.
const LOG_LIMIT_BYTES: u64 = 10 << 20;

/// How often it is looked whether the server still runs.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// The first and the longest pause after a start that failed.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often the log's length is looked at.
const LOG_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The server's parent. Its standard input is a pipe that we hold: when it ends, because we closed it or because we
/// were killed, the server is told to stop. The server itself gets no copy of the pipe.
const WRAPPER: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
( read -r word <&3; kill -s INT "$server" ) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// Settings that suit a small database that one program uses.
const SETTINGS: [&str; 9] = [
    "listen_addresses=",
    "max_connections=50",
    "shared_buffers=64MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "jit=off",
    "log_checkpoints=off",
    "timezone=UTC",
];

/// A running private PostgreSQL. Dropped, it is told to stop; [`PrivatePostgres::stop`] waits until it has.
#[derive(Debug)]
pub struct PrivatePostgres {
    wrapper: Child,
    folders: Folders,
    settings: Vec<String>,
    /// Held while the server is ours: a second start on the folder is refused.
    _lock: File,
}

impl PrivatePostgres {
    /// Starts the server whose data is in `folder`, which is made on first use, and waits until it accepts
    /// connections. As root the server runs as the user `postgres`, who becomes the folder's owner.
    pub async fn start(folder: &Path) -> Result<Self, PostgresError> {
        Self::start_with(folder, &[]).await
    }

    /// As [`PrivatePostgres::start`], with more settings (`name=value`), which win over ours.
    pub async fn start_with(folder: &Path, settings: &[&str]) -> Result<Self, PostgresError> {
        let user = ServerUser::find()?;
        let folders = Folders::make(folder, &user)?;
        let lock = lock(&folders)?;
        wait_for_predecessor(&folders).await?;
        let programs = Programs::find(&folders)?;
        initialize(&folders, &programs, &user, settings).await?;
        let wrapper = spawn(&folders, &programs, &user, settings)?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { wrapper, folders, settings, _lock: lock };
        server.wait_until_ready(&programs).await?;
        Ok(server)
    }

    /// How tokio-postgres reaches the server.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// How tokio-postgres reaches another database of the server.
    pub fn url_of(&self, database: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
        let host = quoted(&self.folders.socket.to_string_lossy());
        format!("host={host} port={PORT} user={USER} dbname={}", quoted(database))
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.folders.log()
    }

    /// The process id of the server itself.
    pub fn pid(&self) -> Option<i32> {
        self.folders.server_process()
    }

    /// Looks after the server, as long as this is polled: starts it again when it has ended, and keeps its log short,
    /// which is written for months between two starts. Cancelled in between, it leaves a server that [`Self::stop`] ends.
    pub async fn tend(&mut self) -> Infallible {
        let (mut log_looked, mut pause) = (Instant::now(), RESTART_PAUSE.0);
        loop {
            tokio::time::sleep(TEND_INTERVAL).await;
            if log_looked.elapsed() >= LOG_LOOK_INTERVAL {
                log_looked = Instant::now();
                if let Err(error) = self.folders.shorten_log(LOG_LIMIT_BYTES) {
                    tracing::warn!(%error, "the log of PostgreSQL could not be put aside");
                }
            }
            let Ok(Some(status)) = self.wrapper.try_wait() else { continue };
            let log = self.folders.log();
            tracing::error!(%status, log = %log.display(), "PostgreSQL ended by itself; it is started again");
            match self.start_again().await {
                Ok(()) => {
                    pause = RESTART_PAUSE.0;
                    tracing::warn!("PostgreSQL runs again");
                }
                Err(error) => {
                    tracing::error!(%error, next_try_s = pause.as_secs(), "PostgreSQL could not be started again");
                    tokio::time::sleep(pause).await;
                    pause = RESTART_PAUSE.1.min(pause * 2);
                }
            }
        }
    }

    async fn start_again(&mut self) -> Result<(), PostgresError> {
        // Its own processes may outlive it for a moment.
        wait_for_predecessor(&self.folders).await?;
        let (user, programs) = (ServerUser::find()?, Programs::find(&self.folders)?);
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.wrapper = spawn(&self.folders, &programs, &user, &settings)?;
        self.wait_until_ready(&programs).await
    }

    /// Tells the server to stop and waits until it has.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        drop(self.wrapper.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.wrapper.try_wait().map_err(io_error("waiting for PostgreSQL", &self.folders.cluster()))?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Err(PostgresError::DoesNotStop { log: self.folders.log() })
    }

    async fn wait_until_ready(&mut self, programs: &Programs) -> Result<(), PostgresError> {
        let deadline = Instant::now() + PATIENCE;
        let failed = |folders: &Folders| match folders.log_tail() {
            tail if tells_full(&tail) => PostgresError::Full { folder: folders.folder.clone() },
            tail => PostgresError::DoesNotStart { log: folders.log(), tail },
        };
        while Instant::now() < deadline {
            let ended = self.wrapper.try_wait().map_err(io_error("starting PostgreSQL", &programs.postgres))?;
            if ended.is_some() {
                return Err(failed(&self.folders));
            }
            let asked = Command::new(&programs.pg_isready)
                .args(["--quiet", "--port", PORT, "--timeout", "3", "--host"])
                .arg(&self.folders.socket)
                .status()
                .await
                .map_err(io_error("running", &programs.pg_isready))?;
            if asked.success() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Err(failed(&self.folders))
    }
}

fn lock(folders: &Folders) -> Result<File, PostgresError> {
    let path = folders.folder.join("lock");
    let file = File::create(&path).map_err(io_error("making", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::AlreadyRunning { folder: folders.folder.clone() }),
        Err(TryLockError::Error(error)) => Err(io_error("locking", &path)(error)),
    }
}

/// When we were killed, our server is still stopping while the next one wants to start.
async fn wait_for_predecessor(folders: &Folders) -> Result<(), PostgresError> {
    let deadline = Instant::now() + PATIENCE;
    while folders.server_process().is_some() {
        if Instant::now() > deadline {
            return Err(PostgresError::AlreadyRunning { folder: folders.folder.clone() });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// Makes the cluster on first use: under another name first, so that one half made is never taken for a whole one.
async fn initialize(
    folders: &Folders,
    programs: &Programs,
    user: &ServerUser,
    settings: &[&str],
) -> Result<(), PostgresError> {
    let cluster = folders.cluster();
    if cluster.exists() {
        return Ok(());
    }
    let new = folders.folder.join("cluster.new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error("deleting", &new))?;
    }
    let mut command = user.command(&programs.initdb);
    command.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--username", USER, "--pgdata"]);
    command.arg(&new).current_dir(&folders.folder);
    if settings.contains(&"fsync=off") {
        command.arg("--no-sync");
    }
    let output = Command::from(command).output().await;
    let output = output.map_err(io_error("running", &programs.initdb))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        return Err(match tells_full(&text) {
            true => PostgresError::Full { folder: folders.folder.clone() },
            false => PostgresError::Initialize { output: text.trim().to_owned() },
        });
    }
    fs::rename(&new, &cluster).map_err(io_error("renaming", &new))
}

fn spawn(folders: &Folders, programs: &Programs, user: &ServerUser, settings: &[&str]) -> Result<Child, PostgresError> {
    let log = folders.open_log(LOG_LIMIT_BYTES)?;
    let log_again = log.try_clone().map_err(io_error("opening", &folders.log()))?;
    let mut command = user.command(Path::new("/bin/sh"));
    command.args(["-c", WRAPPER, "ucupdates-postgres"]).arg(&programs.postgres);
    command.arg("-D").arg(folders.cluster()).args(["-p", PORT, "-k"]).arg(&folders.socket);
    for setting in SETTINGS.iter().chain(settings) {
        command.args(["-c", setting]);
    }
    command
        // An interrupt from the keyboard is for us: we stop the server when nothing needs it any more.
        .process_group(0)
        .current_dir(&folders.folder)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_again)
        .spawn()
        .map_err(io_error("running", Path::new("/bin/sh")))
}
