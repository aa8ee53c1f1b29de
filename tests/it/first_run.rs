//! What keeps a first start from working, and what is said of it: what is wrong, where, and what to do.

use nix::unistd::geteuid;
use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;
use tests::binary::{self, Said};
use tests::database::TestDb;
use tests::node::{configuration, set};
use tokio::process::Command;

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("UCUPDATES_PROFILE", folder.join("profile.toml"))
        .current_dir(folder)
        .kill_on_drop(true);
    let said = Said::from(command.output().await.unwrap());
    Said { err: said.err.replace(&folder.display().to_string(), "FOLDER"), ..said }
}

const PORTS: [&str; 8] = ["--http-port", "0", "--https-port", "0", "--external-port", "0", "--management-port", "0"];

/// What a start of Standard Edition says at its end.
async fn standard(folder: &Path, data: &str, options: &[&str]) -> String {
    let arguments = [&["standard", "--data", data], options].concat();
    let said = run(folder, binary::path().to_str().unwrap(), &arguments).await;
    assert_eq!(said.code, 1, "{said:?}");
    said.err.lines().last().unwrap_or_default().to_owned()
}

/// A folder that the database's own user may pass through.
fn folder() -> TempDir {
    binary::path();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    folder
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_option_for_another() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let options = [&PORTS[..2], &["--https-port", port.as_str()], &PORTS[4..]].concat();
    let said = standard(folder.path(), "data", &options).await;
    assert_eq!(
        said,
        format!(
            "error: cannot listen on 127.0.0.1:{port} ([listeners.internal_https]): another program has this port: stop \
             it (ss -ltnp 'sport = :{port}' names it), or take another port; or give another port: --https-port PORT"
        )
    );
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let said = standard(folder.path(), "file/data", &PORTS).await;
    assert_eq!(
        said,
        "error: the data folder FOLDER/file/data can't be made; name a folder that this user may write (--data FOLDER, or \
         data_folder in [node]): Not a directory (os error 20)"
    );
}

/// Run as root, PostgreSQL has a user of its own, and this test can hide its programs and make a small disk.
#[tokio::test]
async fn what_keeps_postgresql_from_starting_is_named() {
    if !geteuid().is_root() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("closed")).unwrap();
    std::fs::set_permissions(path.join("closed"), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(
        standard(path, "closed/data", &PORTS).await,
        "error: the user postgres, whom PostgreSQL runs as, may not pass through FOLDER/closed; choose another data \
         folder, or run: chmod a+x FOLDER/closed"
    );
    let start = format!("exec {} standard --data $1 {}", binary::path().display(), PORTS.join(" "));
    let hidden = format!("mount -t tmpfs none /usr/lib/postgresql; PATH=/usr/sbin {start}");
    let said = run(path, "unshare", &["--mount", "sh", "-c", &hidden, "sh", "hidden"]).await;
    assert!(said.err.ends_with("on Debian or Ubuntu run: apt-get install postgresql\n"), "{said:?}");
    std::fs::create_dir(path.join("small")).unwrap();
    let small = format!("mount -t tmpfs -o size=16m,mode=0711 none small; {start}");
    let said = run(path, "unshare", &["--mount", "sh", "-c", &small, "sh", "small/data"]).await;
    let full = "error: the disk of FOLDER/small/data/postgresql is full, and PostgreSQL's data is there; make room";
    assert!(said.err.contains(full), "{said:?}");
}

/// What `serve` says at its end.
async fn serve(db: &TestDb, change: impl FnOnce(&mut toml::Table)) -> String {
    let folder = folder();
    let mut config = configuration(db, folder.path());
    change(&mut config);
    std::fs::create_dir(folder.path().join("store")).unwrap();
    std::fs::write(folder.path().join("config.toml"), config.to_string()).unwrap();
    let said = run(folder.path(), binary::path().to_str().unwrap(), &["serve", "--config", "config.toml"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    said.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_node_that_cannot_start_says_why() {
    binary::path();
    let (empty, db) = (TestDb::empty().await, TestDb::new().await);
    let known = db.schema_version().await;
    assert_eq!(
        serve(&empty, |_| {}).await,
        format!("error: the database is at schema version 0, but this program needs {known}: run ucupdates migrate")
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let said = serve(&db, |config| {
        set(config, "listeners.external_https.addresses", vec![address.to_string()]);
    })
    .await;
    assert!(
        said.starts_with(&format!(
            "error: cannot listen on {address} ([listeners.external_https]): another program has"
        )),
        "{said}"
    );
    let (oldest, newer) = (known + 1, known + 2);
    db.pretend_schema(newer, oldest).await;
    assert_eq!(
        serve(&db, |_| {}).await,
        format!(
            "error: the database is at schema version {newer}, which needs a program that knows {oldest}, but this one knows \
             only {known}: run the newer ucupdates that migrated it"
        )
    );
}
