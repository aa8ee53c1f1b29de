//! A service that answers wrongly, late, half or not at all, in a few lines: what simulated phones say of it.

use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::binary::{self, Said};
use tests::simulated::PhoneRun;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The file that is offered.
const BYTES: &[u8] = b"the bytes of an image, of which some may be lost on the way";

/// What the service does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// The answer is cut in the middle.
    MalformedXml,
    /// `BaseURL` ends with a slash.
    Slash,
    /// The file's bytes are other ones than its ETag says.
    OtherBytes,
    /// There is no such file.
    NoFile,
    /// Each download ends after ten bytes more.
    Cut,
    /// The first so many checks get a 500.
    Failing(usize),
    /// The first download is told to come later.
    Busy,
}

/// A service with one update, version 2.0.0.0 for whoever has another.
struct Service {
    address: SocketAddr,
    fault: Fault,
    requests: AtomicUsize,
}

async fn service(fault: Fault) -> Arc<Service> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = Arc::new(Service { address: listener.local_addr().unwrap(), fault, requests: AtomicUsize::new(0) });
    let serving = Arc::clone(&service);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&serving).answer(stream));
        }
    });
    service
}

impl Service {
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !is_whole(&text) {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => text += std::str::from_utf8(&buffer[..read]).unwrap(),
                _ => return,
            }
        }
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let response = if text.starts_with("POST ") { self.check(&text, number) } else { self.file(&text, number) };
        // The phone may be gone.
        let _ = stream.write_all(&response).await;
    }

    fn check(&self, request: &str, number: usize) -> Vec<u8> {
        if matches!(self.fault, Fault::Failing(times) if number < times) {
            return response("500 Internal Server Error", "", b"");
        }
        let slash = if self.fault == Fault::Slash { "/" } else { "" };
        let file = format!(
            "<NumOfFiles>1</NumOfFiles><File><FileName>CPE.nbt</FileName><SignatureFileName></SignatureFileName>\
             <Version>2.0.0.0</Version><TimeStamp>2008-12-16T04:43:58</TimeStamp>\
             <BaseURL>http://{}/files{slash}</BaseURL><ExternalBaseURL></ExternalBaseURL></File>",
            self.address
        );
        let has_it = request.contains("<Version>2.0.0.0</Version>");
        let inner = if has_it { "<NumOfFiles>0</NumOfFiles>" } else { &file };
        let mut body = format!("<Response>{inner}</Response>");
        if self.fault == Fault::MalformedXml {
            body.truncate(body.len() / 2);
        }
        let headers = "Content-Type: text/xml; charset=utf-8\r\nCache-Control: no-store\r\n";
        response("200 OK", headers, body.as_bytes())
    }

    fn file(&self, request: &str, number: usize) -> Vec<u8> {
        let etag = format!("ETag: \"{}\"\r\n", hex::encode(Sha256::digest(BYTES)));
        match self.fault {
            Fault::NoFile => response("404 Not Found", "", b""),
            Fault::OtherBytes => response("200 OK", &etag, &BYTES.to_ascii_uppercase()),
            Fault::Busy if number == 1 => response("503 Service Unavailable", "Retry-After: 1\r\n", b""),
            Fault::Cut => {
                let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                assert_eq!(from > 0, request.contains(&etag.trim_end().replace("ETag:", "if-range:")), "{request}");
                let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
                let last = BYTES.len() - 1;
                let headers = format!("{etag}Content-Range: bytes {from}-{last}/{}\r\n", BYTES.len());
                let mut whole = response(status, &headers, &BYTES[from..]);
                whole.truncate(whole.len() - (BYTES.len() - from).saturating_sub(10));
                whole
            }
            _ => response("200 OK", &etag, BYTES),
        }
    }

    /// One phone with version 1.0, with further arguments.
    async fn phone(&self, arguments: &[&str]) -> PhoneRun {
        let mut command = tokio::process::Command::new(binary::path());
        command.args(["phone", "--json", "--brand", "B", "--phone-model", "M", "--version", "1.0"]);
        command.args(["--install-delay", "0s", "--retry-delay", "10ms", "--mac", "0021630F207B"]);
        command.arg("--url").arg(format!("http://{}/RequestHandler/ucdevice.upx", self.address)).args(arguments);
        let said: Said = command.kill_on_drop(true).output().await.unwrap().into();
        said.into()
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_service_without_a_fault_is_right() {
    let run = service(Fault::None).await.phone(&[]).await.flawless();
    assert_eq!((run.answers("offered"), run.answers("nothing"), run.number("downloads")), (1, 1, 1), "{run:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_in_a_sentence() {
    for (fault, sentence) in [
        (Fault::MalformedXml, "got a wrong answer: the answer's XML cannot be read"),
        (Fault::Slash, "got a wrong answer: BaseURL ends with a slash"),
        (Fault::OtherBytes, "has the digest"),
        (Fault::NoFile, "was answered 404 Not Found"),
    ] {
        let run = service(fault).await.phone(&["--allow-failures", "--allow-withheld"]).await;
        assert_eq!((run.said.code, run.number("wrong"), run.number("failed")), (1, 1, 0), "{run:?}");
        let told = run.wrong()[0];
        assert!(told.starts_with("phone 0021630F207B (UCPhone/B/M/A/ENU with CPE.nbt 1.0.0.0) "), "{told}");
        assert!(told.contains(sentence), "{told}");
    }
}

/// What the service must do, by a model: an update of this version, whose image has these bytes.
fn model(service: &Service, version: &str, bytes: &[u8]) -> tempfile::NamedTempFile {
    let key = serde_json::json!({
        "device_type": "UCPhone", "brand": "B", "model": "M", "revision": "A", "locale": "ENU", "update_type": "CPE",
    });
    let with = |more: serde_json::Value| {
        let mut object = key.as_object().unwrap().clone();
        object.extend(more.as_object().unwrap().clone());
        object
    };
    let file = serde_json::json!({
        "name": "CPE.nbt", "role": "image", "path": "files/CPE.nbt",
        "digest": hex::encode(Sha256::digest(bytes)), "size_bytes": bytes.len(),
    });
    let facts = serde_json::json!({
        "pool": { "internal_files_url": format!("http://{}", service.address) },
        "rules": [with(serde_json::json!({ "approved_version": version }))],
        "updates": [{ "target": with(serde_json::json!({ "interim": false })), "version": version, "files": [file] }],
    });
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), facts.to_string()).unwrap();
    path
}

#[tokio::test]
async fn an_answer_that_the_model_does_not_demand_is_wrong() {
    let service = service(Fault::None).await;
    let run = async |version: &str, bytes: &[u8]| {
        let model = model(&service, version, bytes);
        service.phone(&["--model", model.path().to_str().unwrap(), "--settle", "0s"]).await
    };
    run("2.0.0.0", BYTES).await.flawless();
    for (version, bytes, sentence) in [
        ("3.0.0.0", BYTES, "was told CPE.nbt 2.0.0.0: Version is \"2.0.0.0\", expected \"3.0.0.0\""),
        ("1.0.0.0", BYTES, "was told CPE.nbt 2.0.0.0, expected nothing (up_to_date)"),
        ("2.0.0.0", &BYTES[1..], "has 59 bytes, expected 58"),
    ] {
        let run = run(version, bytes).await;
        assert!(run.said.code == 1 && run.wrong()[0].contains(sentence), "{run:?}");
    }
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke_off() {
    let run = service(Fault::Cut).await.phone(&[]).await.flawless();
    assert_eq!((run.number("downloads"), run.number("download_bytes")), (1, BYTES.len() as u64), "{run:?}");
    assert_eq!((run.number("resumed"), run.number("retried")), (5, 1), "{run:?}");
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({ "cut_download": 5 }), "{run:?}");
}

#[tokio::test]
async fn failures_are_tried_again_and_at_last_given_up() {
    let run = service(Fault::Failing(2)).await.phone(&["--attempts", "3"]).await.flawless();
    assert_eq!((run.number("retried"), run.answers("offered")), (1, 1), "{run:?}");
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({ "server_error": 2 }), "{run:?}");

    let failing = service(Fault::Failing(100)).await;
    let run = failing.phone(&["--attempts", "2"]).await;
    assert_eq!((run.said.code, run.number("failed"), run.number("wrong")), (1, 1, 0), "{run:?}");
    assert!(run.summary["failures"][0].as_str().unwrap().contains("server_error: 500"), "{run:?}");
    assert_eq!(failing.phone(&["--attempts", "2", "--allow-failures"]).await.said.code, 0);

    let busy = service(Fault::Busy).await.phone(&["--attempts", "1"]).await.flawless();
    assert_eq!(busy.summary["failed_attempts"], serde_json::json!({ "busy": 1 }), "{busy:?}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), AtomicUsize::new(0));
    drop(listener);
    let run = Service { address, fault: Fault::None, requests }.phone(&["--attempts", "2"]).await;
    assert_eq!((run.said.code, run.number("failed")), (1, 1), "{run:?}");
    assert_eq!(run.summary["failed_attempts"], serde_json::json!({ "refused": 2 }), "{run:?}");
}
