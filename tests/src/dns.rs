//! A DNS server that knows one name: it answers with the IPv4 addresses that a test gives it, and changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The name and its records. Everything else does not exist.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Ipv4Addr>>>,
    serving: JoinHandle<()>,
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl DnsServer {
    /// Serves the name until it is dropped.
    pub async fn start(name: &'static str, records: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::new(Mutex::new(records.to_vec()));
        let known = Arc::clone(&records);
        let serving = tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, asker)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], name, &known.lock().unwrap());
                let Some(answer) = answer else { continue };
                let _ = socket.send_to(&answer, asker).await;
            }
        });
        Self { address, records, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name's records from now on.
    pub fn set(&self, records: &[Ipv4Addr]) {
        *self.records.lock().unwrap() = records.to_vec();
    }
}

/// The head of a message is 12 bytes; the question follows: labels, an empty one, type, class.
fn answer(query: &[u8], name: &str, records: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let labels = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..12 + labels + 5)?;
    let asked: Vec<u8> =
        name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    let is_known = question[..labels].eq_ignore_ascii_case(&asked);
    let is_ipv4 = question[labels + 1..labels + 3] == [0, 1];
    let records = if is_known && is_ipv4 { records } else { &[] };
    let code = if is_known { 0x80 } else { 0x83 };
    let count = u8::try_from(records.len()).unwrap();
    let mut message = [&query[..2], &[0x81, code, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    for record in records {
        // The name is the question's; type A, class IN, one second, four bytes.
        message.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        message.extend(record.octets());
    }
    Some(message)
}
