//! TLS to PostgreSQL: used when the URL asks for it, and then with a verified certificate or not at all.

use jiff::Timestamp;
use node::tls::{CertificateNames, ServedCertificates, Tickets, private_certificates, server_config};
use schema::store::{Database, DatabaseSettings, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tests::database::TestDb;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// What a client sends first when it wants TLS (PostgreSQL's protocol, SSLRequest).
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Certificates of an authority of their own.
fn authority() -> (TempDir, TlsAcceptor) {
    let folder = tempfile::tempdir().unwrap();
    let names = CertificateNames::of_pool(&"db.contoso.com".parse().unwrap(), [], []);
    let certificates = private_certificates(folder.path(), &names, Timestamp::now()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::clone(
        &server_config(ServedCertificates::new(certificates), Tickets::new().unwrap()).unwrap(),
    ));
    (folder, acceptor)
}

/// Serves the database on a port of this machine, as a PostgreSQL with TLS does; without `tls`, as one that has none.
async fn serve(db: &TestDb, tls: Option<TlsAcceptor>) -> String {
    let socket = PathBuf::from(db.url().split('\'').nth(1).unwrap()).join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{} hostaddr=127.0.0.1 sslmode=require", db.url());
    let url = url.replace(socket.parent().unwrap().to_str().unwrap(), "localhost");
    let url = url.replace("port=5432", &format!("port={}", listener.local_addr().unwrap().port()));
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(connect_through(client, socket.clone(), tls.clone()));
        }
    });
    url
}

/// Ends without a word when the client goes away.
async fn connect_through(mut client: TcpStream, socket: PathBuf, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    assert_eq!(request, TLS_REQUEST, "nothing goes over the line before TLS");
    let Some(tls) = tls else { return client.write_all(b"N").await };
    client.write_all(b"S").await?;
    let mut client = tls.accept(client).await?;
    copy_bidirectional(&mut client, &mut UnixStream::connect(socket).await?).await?;
    Ok(())
}

fn trusting(url: &str, authority: &TempDir) -> Database {
    let ca_file = Some(authority.path().join("ca.pem"));
    Database::new(&DatabaseSettings { ca_file, ..DatabaseSettings::new(url) }).unwrap()
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_given_authority_is_spoken_to_over_tls() {
    let db = TestDb::new().await;
    let (authority, tls) = authority();
    let database = trusting(&serve(&db, Some(tls)).await, &authority);
    assert_eq!(database.mark().await.unwrap().generation, 0);
    let (sender, mut wake) = watch::channel(());
    let cancel = CancellationToken::new();
    let listening = tokio::spawn({
        let (database, cancel) = (database.clone(), cancel.clone());
        async move { database.listen(sender, cancel).await }
    });
    tokio::time::timeout(Duration::from_secs(30), wake.changed()).await.expect("it listens over TLS too").unwrap();
    cancel.cancel();
    listening.await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_verified_or_has_no_tls_is_not_spoken_to() {
    let db = TestDb::new().await;
    let ((_, tls), (other, _)) = (authority(), authority());
    for (tls, reason) in [(Some(tls), "certificate"), (None, "TLS")] {
        let error = trusting(&serve(&db, tls).await, &other).mark().await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
