//! The network between a node and what it needs, in the test's hands: a proxy that passes everything on, holds everything
//! back without a word as a partition does, or closes what there is and what comes.

use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to bytes and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They get there.
    Open,
    /// Nothing arrives, and nobody is told. When the way is open again, what was held back goes on.
    Silent,
    /// Connections end, and new ones end at once.
    Closed,
}

/// What is at the other end.
#[derive(Debug, Clone)]
pub enum Behind {
    /// A socket in the file system.
    Socket(PathBuf),
    /// An address.
    Address(SocketAddr),
}

/// A proxy on loopback.
#[derive(Debug)]
pub struct ChaosProxy {
    /// Where it listens.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    serving: JoinHandle<()>,
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ChaosProxy {
    /// Open, until it is told otherwise or dropped.
    pub async fn start(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let serving = tokio::spawn(async move {
            // Aborted with this task.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(connect(client, behind.clone(), seen.clone()));
            }
        });
        Self { address, way, serving }
    }

    /// From now on.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Waits until the way is open; false when it is closed.
async fn open(way: &mut watch::Receiver<Way>) -> bool {
    way.wait_for(|way| *way != Way::Silent).await.is_ok_and(|way| *way == Way::Open)
}

async fn connect(mut client: TcpStream, behind: Behind, mut way: watch::Receiver<Way>) {
    let Some(held_back) = held_back(&mut client, &mut way).await else { return };
    match behind {
        Behind::Socket(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            pass(client, &held_back, server, way).await;
        }
        Behind::Address(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            pass(client, &held_back, server, way).await;
        }
    }
}

/// What the client sends until the way is open; none when it is closed, or when the client gives up before: of a connection
/// that was tried during a partition and given up nothing ever arrives.
async fn held_back(client: &mut TcpStream, way: &mut watch::Receiver<Way>) -> Option<Vec<u8>> {
    let mut sent = Vec::new();
    loop {
        tokio::select! {
            biased;
            open = open(way) => return open.then_some(sent),
            read = client.read_buf(&mut sent) => {
                read.ok().filter(|length| *length > 0)?;
            }
        }
    }
}

/// Both directions, until one ends.
async fn pass(client: TcpStream, held_back: &[u8], server: impl AsyncRead + AsyncWrite, way: watch::Receiver<Way>) {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, mut to_server) = tokio::io::split(server);
    if to_server.write_all(held_back).await.is_err() {
        return;
    }
    tokio::select! {
        () = carry(from_client, to_server, way.clone()) => {}
        () = carry(from_server, to_client, way) => {}
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; 64 * 1024];
    while open(&mut way).await {
        tokio::select! {
            // Nothing is lost when the other branch is taken.
            read = from.read(&mut piece) => match read {
                Ok(length) if length > 0 && open(&mut way).await => {
                    if to.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            _ = way.changed() => {}
        }
    }
}
