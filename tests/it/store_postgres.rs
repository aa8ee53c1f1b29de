//! The private PostgreSQL: it starts, refuses a second start, stops, and dies with its parent.

use node::postgres::{PostgresError, PrivatePostgres};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::database::wait_until;
use tokio_postgres::NoTls;

/// Set in the child of `a_server_dies_with_its_parent`: the folder to run a server on.
const FOLDER_VARIABLE: &str = "UCUPDATES_TEST_POSTGRES_FOLDER";

async fn answers(url: &str) -> bool {
    let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await else { return false };
    let connection = tokio::spawn(connection);
    let answer = client.batch_execute("select 1").await.is_ok();
    connection.abort();
    answer
}

#[tokio::test]
async fn a_server_runs_once_on_a_folder_and_keeps_its_data() {
    let parent = tempfile::Builder::new().permissions(open()).tempdir().unwrap();
    let folder = parent.path().join("a folder's 'name'");
    let server = PrivatePostgres::start(&folder).await.unwrap();
    assert!(answers(&server.url()).await);
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("create table kept ()").await.unwrap();
    let addresses: String = client.query_one("show listen_addresses", &[]).await.unwrap().get(0);
    assert_eq!(addresses, "", "no network");

    let second = PrivatePostgres::start(&folder).await;
    assert!(matches!(second, Err(PostgresError::AlreadyRunning { .. })), "{second:?}");
    assert!(second.unwrap_err().to_string().contains("already runs"));

    let url = server.url();
    server.stop().await.unwrap();
    assert!(!answers(&url).await);
    assert!(connection.await.unwrap().is_err(), "the session was ended");

    let again = PrivatePostgres::start(&folder).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&again.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("select from kept").await.unwrap();
}

/// The tests of this binary run as whom the caller is; the server may be another user, who must get in.
fn open() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[tokio::test]
async fn a_server_on_a_long_path_has_its_socket_elsewhere() {
    let parent = tempfile::Builder::new().permissions(open()).tempdir().unwrap();
    let folder = parent.path().join("x".repeat(120));
    let server = PrivatePostgres::start(&folder).await.unwrap();
    assert!(answers(&server.url()).await);
    let socket = server.url().split('\'').nth(1).unwrap().to_owned();
    assert!(!Path::new(&socket).starts_with(&folder));
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o700);
    server.stop().await.unwrap();
    fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn a_folder_that_the_servers_user_cannot_reach_is_named() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root runs the server as another user
    }
    let only_root: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let closed = tempfile::Builder::new().permissions(only_root).tempdir().unwrap();
    let error = PrivatePostgres::start(&closed.path().join("data")).await.unwrap_err();
    assert!(matches!(&error, PostgresError::Closed { folder, .. } if folder == closed.path()), "{error}");
}

#[tokio::test]
async fn data_of_another_version_names_the_package_that_is_missing() {
    let parent = tempfile::Builder::new().permissions(open()).tempdir().unwrap();
    fs::create_dir_all(parent.path().join("cluster")).unwrap();
    fs::write(parent.path().join("cluster/PG_VERSION"), "8\n").unwrap();
    let error = PrivatePostgres::start(parent.path()).await.unwrap_err();
    assert!(error.to_string().ends_with("apt-get install postgresql-8"), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let parent = tempfile::Builder::new().permissions(open()).tempdir().unwrap();
    fs::create_dir_all(parent.path().join("cluster")).unwrap();
    let error = PrivatePostgres::start(parent.path()).await.unwrap_err();
    assert!(matches!(&error, PostgresError::DoesNotStart { tail, .. } if !tail.is_empty()), "{error}");
}

/// Killed with no chance to say anything; the next start waits until the old server is gone.
#[tokio::test]
async fn a_server_dies_with_its_parent() {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        let server = PrivatePostgres::start(Path::new(&folder)).await.unwrap();
        eprintln!("URL={}", server.url());
        std::thread::park(); // until killed
    }
    let parent = tempfile::Builder::new().permissions(open()).tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "store_postgres::a_server_dies_with_its_parent"])
        .env(FOLDER_VARIABLE, parent.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("URL=").map(str::to_owned)).unwrap();
    assert!(answers(&url).await);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the server ends", async || !answers(&url).await).await;
    let began = Instant::now();
    let next = PrivatePostgres::start(parent.path()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
    next.stop().await.unwrap();
}
