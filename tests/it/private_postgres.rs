//! The private PostgreSQL of Standard Edition.

use node::postgres::PrivatePostgres;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use tokio_postgres::NoTls;

async fn query(server: &PrivatePostgres, sql: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let rows = client.query(sql, &[]).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_private_server_keeps_its_data_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    // Long enough for its socket to stand elsewhere.
    let folder = folder.path().join("d".repeat(100));
    let server = PrivatePostgres::start(&folder).await.unwrap();
    query(&server, "create table kept as select 'yes' as answer").await;
    let listens = query(&server, "select setting from pg_settings where name = 'listen_addresses'").await;
    assert_eq!(listens, [""]);
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    server.stop().await.unwrap();
    assert!(!folder.join("data/postmaster.pid").exists());
    let server = PrivatePostgres::start(&folder).await.unwrap();
    assert_eq!(query(&server, "select answer from kept").await, ["yes"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_private_server_stops_when_nobody_holds_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    let folder = folder.path().join("db");
    let server = PrivatePostgres::start(&folder).await.unwrap();
    let pid = server.pid().unwrap();
    // What a kill of this process does to the pipe between the two.
    drop(server);
    // The next start waits until the one before has ended.
    let next = PrivatePostgres::start(&folder).await.unwrap();
    assert_ne!(next.pid().unwrap(), pid);
    next.stop().await.unwrap();
}
