//! An S3 server in the test's process (s3s-fs), on a folder of its own, that can be told to lie about conditions and to
//! hold what is sent to it, and that counts what is read of it.

use crate::node::set;
use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::S3Access;
use s3s::auth::SimpleAuth;
use s3s::dto::{CompleteMultipartUploadInput, GetObjectInput, PutObjectInput, UploadPartInput};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Request, S3Result};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use sync::blobs::BucketSettings;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The bucket that every server has.
pub const BUCKET: &str = "phones";

/// What the keys of the tests begin with.
pub const PREFIX: &str = "pools/one";

/// How a server misbehaves.
#[derive(Debug, Default)]
pub struct Faults {
    /// It forgets `If-None-Match` of new files.
    pub forgets_put_conditions: AtomicBool,
    /// It forgets `If-None-Match` of what was sent in pieces, or copied.
    pub forgets_copy_conditions: AtomicBool,
    /// It takes no piece any more: whoever sends one waits.
    pub holds_pieces: AtomicBool,
    /// It takes no whole file any more: whoever sends one waits.
    pub holds_files: AtomicBool,
    /// Pieces that it held.
    pub held: AtomicUsize,
}

/// What a server was asked for.
#[derive(Debug, Default)]
pub struct Seen {
    /// GetObject requests, by key.
    reads: Mutex<BTreeMap<String, usize>>,
}

impl Seen {
    /// How often files were read whose keys end so, in part or whole.
    pub fn reads(&self, end: &str) -> usize {
        self.reads.lock().unwrap().iter().filter(|(key, _)| key.ends_with(end)).map(|(_, count)| count).sum()
    }
}

#[async_trait]
impl S3Access for Gate {
    async fn get_object(&self, request: &mut S3Request<GetObjectInput>) -> S3Result<()> {
        *self.seen.reads.lock().unwrap().entry(request.input.key.clone()).or_default() += 1;
        Ok(())
    }

    async fn put_object(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        if self.faults.forgets_put_conditions.load(Ordering::SeqCst) {
            request.input.if_none_match = None;
        }
        if self.faults.holds_files.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn complete_multipart_upload(&self, request: &mut S3Request<CompleteMultipartUploadInput>) -> S3Result<()> {
        if self.faults.forgets_copy_conditions.load(Ordering::SeqCst) {
            request.input.if_none_match = None;
        }
        Ok(())
    }

    async fn upload_part(&self, _: &mut S3Request<UploadPartInput>) -> S3Result<()> {
        if self.faults.holds_pieces.load(Ordering::SeqCst) {
            self.faults.held.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

struct Gate {
    faults: Arc<Faults>,
    seen: Arc<Seen>,
}

/// A server; it ends when it is dropped.
pub struct S3Server {
    /// How it misbehaves.
    pub faults: Arc<Faults>,
    /// What it was asked for.
    pub seen: Arc<Seen>,
    /// Where it listens.
    pub address: SocketAddr,
    folder: Arc<TempDir>,
    _serving: JoinSet<()>,
}

impl S3Server {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        std::fs::write(folder.path().join("credentials"), "AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n")
            .unwrap();
        Self::start_at("127.0.0.1:0".parse().unwrap(), Arc::new(folder)).await
    }

    async fn start_at(address: SocketAddr, folder: Arc<TempDir>) -> Self {
        let (faults, seen) = (Arc::<Faults>::default(), Arc::<Seen>::default());
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path().join("data")).unwrap());
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        builder.set_access(Gate { faults: Arc::clone(&faults), seen: Arc::clone(&seen) });
        let service = builder.build();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, service));
        Self { faults, seen, address, folder, _serving: serving }
    }

    /// Ends it; `restart` brings it back where it was.
    pub fn stop(self) -> StoppedS3 {
        StoppedS3 { address: self.address, folder: Arc::clone(&self.folder) }
    }

    /// The file of credentials.
    pub fn credentials_file(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    /// What lies below the prefix, on the server's disk.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET).join(PREFIX)
    }

    /// How it is reached.
    pub fn settings(&self) -> BucketSettings {
        BucketSettings {
            endpoint: Some(format!("http://{}", self.address)),
            credentials_file: Some(self.credentials_file()),
            allow_http: true,
            ..BucketSettings::default()
        }
    }

    /// Makes it the store of a configuration.
    pub fn configure(&self, config: &mut toml::Table) {
        configure(config, self.address, &self.credentials_file());
    }
}

/// A server that was stopped.
pub struct StoppedS3 {
    address: SocketAddr,
    folder: Arc<TempDir>,
}

impl StoppedS3 {
    /// Starts it where it was.
    pub async fn restart(self) -> S3Server {
        S3Server::start_at(self.address, self.folder).await
    }
}

/// Makes the server the store of a configuration.
pub fn configure(config: &mut toml::Table, address: SocketAddr, credentials_file: &Path) {
    config.get_mut("store").unwrap().as_table_mut().unwrap().remove("folder");
    set(config, "store.url", format!("s3://{BUCKET}/{PREFIX}"));
    set(config, "store.endpoint", format!("http://{address}"));
    set(config, "store.credentials_file", credentials_file.to_str().unwrap());
    set(config, "store.allow_http", true);
}

async fn serve(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let service = service.clone();
        connections.spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
