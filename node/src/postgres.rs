//! A private, real PostgreSQL as a child process, for Standard Edition and for tests. It listens on a Unix socket in a
//! folder that only its user may enter, and on nothing else. It dies with this process, also when that is killed: a
//! shell between the two waits for the end of its standard input and then tells the server to stop.

mod programs;

use anyhow::Context as _;
use nix::unistd::{Gid, Uid, User};
use programs::Programs;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a start may take; recovery after a crash is part of it.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long a server of an earlier run may take to stop.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(30);

/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// The longest path of a Unix socket is 107 bytes; the server adds its file's name to the folder's.
const SOCKET_FOLDER_LIMIT_BYTES: usize = 107 - "/.s.PGSQL.5432.lock".len();

/// The server's log is started anew when it is longer than this.
const LOG_LIMIT_BYTES: u64 = 8 << 20;

/// Stops the server (fast shutdown) when standard input ends, and ends when the server does.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & server=$!
(read -r _ <&3; kill -INT "$server" 2>/dev/null) & watch=$!
exec 3<&-
wait "$server"; code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// A server that runs.
#[derive(Debug)]
pub struct PrivatePostgres {
    keeper: Child,
    folder: PathBuf,
    socket_folder: PathBuf,
}

/// The account that the server runs under: PostgreSQL refuses root's.
#[derive(Debug, Clone, Copy)]
struct Account(Option<(Uid, Gid)>);

impl PrivatePostgres {
    /// Starts the server whose data are in `folder`; the first time they are made there.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &[]).await
    }

    /// Starts the server with more settings (`name=value`) than those of a Standard Edition.
    pub async fn start_with(folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let account = Account::find()?;
        account.own(folder).with_context(|| format!("making the database's folder {}", folder.display()))?;
        account.check_way(folder, &programs).await?;
        let socket_folder = socket_folder(folder);
        account.own(&socket_folder).with_context(|| format!("making the folder {}", socket_folder.display()))?;
        let data = folder.join("data");
        if !data.join("PG_VERSION").exists() {
            initialise(&programs, account, folder, &data).await?;
        }
        predecessor_ended(&data).await?;
        let log = log_file(folder)?;
        let started = jiff::Timestamp::now().as_second();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "sh"]).arg(&programs.postgres).arg("-D").arg(&data).arg("-k").arg(&socket_folder);
        for setting in STANDARD_SETTINGS.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        // A group of its own: Ctrl+C is for this process, which stops the server last.
        command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        account.apply(&mut command);
        let keeper = command.spawn().context("starting PostgreSQL")?;
        let mut server = Self { keeper, folder: folder.to_owned(), socket_folder };
        server.ready(&data, started).await?;
        Ok(server)
    }

    /// How to connect, in libpq's words.
    pub fn url(&self) -> String {
        let host = self.socket_folder.display().to_string().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' user=ucupdates dbname=postgres")
    }

    /// The server's own log.
    pub fn log_path(&self) -> PathBuf {
        log_path(&self.folder)
    }

    /// The process id of the server.
    pub fn pid(&self) -> Option<i32> {
        PidFile::read(&self.folder.join("data")).map(|file| file.pid)
    }

    /// Stops the server: statements under way are ended, nothing that was committed is lost.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.keeper.stdin.take());
        let ended = tokio::time::timeout(STOP_LIMIT, self.keeper.wait()).await;
        ended.with_context(|| format!("PostgreSQL did not stop within {} s", STOP_LIMIT.as_secs()))??;
        Ok(())
    }

    async fn ready(&mut self, data: &Path, started: i64) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if PidFile::read(data).is_some_and(|file| file.ready && file.started >= started) {
                return Ok(());
            }
            let ended = self.keeper.try_wait().context("waiting for PostgreSQL")?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(5).collect();
                let last: Vec<&str> = lines.into_iter().rev().collect();
                anyhow::bail!(
                    "PostgreSQL did not start; its log {} ends:\n{}",
                    self.log_path().display(),
                    last.join("\n")
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A small server that many processes of one node share.
const STANDARD_SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=64MB",
    "logging_collector=off",
    "timezone=UTC",
];

fn log_path(folder: &Path) -> PathBuf {
    folder.join("postgresql.log")
}

fn log_file(folder: &Path) -> anyhow::Result<File> {
    let path = log_path(folder);
    let long = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES);
    let file = if long { File::create(&path) } else { File::options().create(true).append(true).open(&path) };
    file.with_context(|| format!("opening {}", path.display()))
}

/// Makes the data of a new server beside where they belong, so that a crash leaves no half-made ones there.
async fn initialise(programs: &Programs, account: Account, folder: &Path, data: &Path) -> anyhow::Result<()> {
    let partial = folder.join("data.partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).context("clearing a half-made database")?;
    }
    let mut command = Command::new(&programs.initdb);
    command.args(["--username=ucupdates", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]);
    command.arg("-D").arg(&partial).current_dir("/").stdin(Stdio::null());
    account.apply(&mut command);
    let output = command.output().await.context("running initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "initdb could not make the database: {}", said.trim());
    std::fs::rename(&partial, data).context("putting the new database in its place")
}

/// A socket folder inside the data when its path is short enough, else one of a stable name among the temporary files.
fn socket_folder(folder: &Path) -> PathBuf {
    let inside = folder.join("run");
    if inside.as_os_str().len() <= SOCKET_FOLDER_LIMIT_BYTES {
        return inside;
    }
    use sha2::{Digest as _, Sha256};
    use std::os::unix::ffi::OsStrExt as _;
    let digest = hex::encode(&Sha256::digest(folder.as_os_str().as_bytes())[..8]);
    std::env::temp_dir().join(format!("ucupdates-{digest}"))
}

impl Account {
    fn find() -> anyhow::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self(None));
        }
        let user = User::from_name("postgres").context("looking for the user postgres")?;
        let user = user.context(
            "PostgreSQL does not run as root and there is no user postgres: install the Debian package postgresql",
        )?;
        Ok(Self(Some((user.uid, user.gid))))
    }

    fn apply(self, command: &mut Command) {
        if let Self(Some((uid, gid))) = self {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Makes the folder if it is not there, the account's alone. One that somebody else has is not taken.
    fn own(self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let metadata = std::fs::symlink_metadata(folder)?;
        let ours = nix::unistd::geteuid().as_raw();
        let wanted = self.0.map_or(ours, |(uid, _)| uid.as_raw());
        anyhow::ensure!(metadata.is_dir(), "it is not a folder");
        anyhow::ensure!([ours, wanted].contains(&metadata.uid()), "it belongs to another user");
        if let Self(Some((uid, gid))) = self {
            chown(folder, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        Ok(())
    }

    /// Whether the account can reach the folder at all: below /root, for one, it cannot.
    async fn check_way(self, folder: &Path, programs: &Programs) -> anyhow::Result<()> {
        let mut command = Command::new(&programs.test);
        command.arg("-w").arg(folder).current_dir("/");
        self.apply(&mut command);
        let reached = command.status().await.context("looking at the database's folder")?;
        anyhow::ensure!(
            reached.success(),
            "PostgreSQL, which runs as the user postgres, cannot enter {}: choose a data folder below one that everybody may enter, such as /var/lib/ucupdates",
            folder.display()
        );
        Ok(())
    }
}

/// What the server says of itself in `postmaster.pid`.
#[derive(Debug)]
struct PidFile {
    pid: i32,
    started: i64,
    ready: bool,
}

impl PidFile {
    fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let ready = lines.get(7).is_some_and(|status| *status == "ready");
        Some(Self { pid: lines.first()?.parse().ok()?, started: lines.get(2)?.parse().ok()?, ready })
    }

    fn is_alive(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).is_ok_and(|name| name.trim() == "postgres")
    }
}

/// Waits until the server of a process that was killed has stopped.
async fn predecessor_ended(data: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PREDECESSOR_LIMIT;
    while PidFile::read(data).is_some_and(|file| file.is_alive()) {
        anyhow::ensure!(Instant::now() < deadline, "another PostgreSQL runs on {}: stop it first", data.display());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
