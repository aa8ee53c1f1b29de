//! Whole responses, without a socket. Handed to real clients in the whole-system tests.

use super::*;
use crate::downloads::Downloads;
use http_body_util::BodyExt;
use schema::package::{Digest, FileRole};
use std::fs::File;
use std::io::Write;

const DIGEST: Digest = Digest::new([0xAB; 32]);

fn now() -> Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

fn update_file(name: &str, size_bytes: u64) -> UpdateFile {
    UpdateFile {
        name: Name::parse(name).unwrap(),
        role: FileRole::Image,
        digest: DIGEST,
        size_bytes,
        time_stamp: jiff::civil::date(2008, 12, 16).at(4, 43, 58, 0),
        path: StorePath::parse(&format!("OCInterim/ENU/{name}")).unwrap(),
    }
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn answer(update_file: &UpdateFile, file: File, asked: Asked<'_>) -> Response {
    let Answer { response, segments } = respond(update_file, asked);
    let slot = Downloads::default().begin(IpAddr::from([10, 0, 0, 1])).unwrap();
    let source = Source::Held(Arc::new(file));
    match segments {
        Some(segments) => with_body(response, segments, source, slot),
        None => response,
    }
}

async fn ask(method: Method, content: &[u8], pairs: &[(&'static str, &str)]) -> Answered {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    let headers = pairs
        .iter()
        .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let update_file = update_file("CPE.nbt", content.len() as u64);
    let headers = headers.collect();
    let response = answer(&update_file, file, Asked { method: &method, headers: &headers, now: now() });
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answered { status: parts.status.as_u16(), headers: parts.headers, body }
}

#[tokio::test]
async fn a_whole_file_comes_with_all_that_a_client_needs_to_resume() {
    let content = content(200_001);
    let answered = ask(Method::GET, &content, &[]).await;
    assert_eq!((answered.status, &answered.body), (200, &content));
    assert_eq!(answered.header("content-length"), "200001");
    assert_eq!(answered.header("content-type"), "application/octet-stream");
    assert_eq!(answered.header("accept-ranges"), "bytes");
    assert_eq!(answered.header("etag"), format!("\"{DIGEST}\""));
    assert_eq!(answered.header("last-modified"), "Tue, 16 Dec 2008 04:43:58 GMT");
    assert_eq!(answered.header("content-disposition"), "attachment; filename=\"CPE.nbt\"");
    let head = ask(Method::HEAD, &content, &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers, answered.headers);
    let empty = ask(Method::GET, &[], &[]).await;
    assert_eq!((empty.status, empty.header("content-length"), empty.body.len()), (200, "0", 0));
}

#[tokio::test]
async fn one_range_is_sent_as_it_is() {
    let content = content(200_001);
    let answered = ask(Method::GET, &content, &[("range", "bytes=65530-131080")]).await;
    assert_eq!((answered.status, &answered.body[..]), (206, &content[65_530..=131_080]));
    assert_eq!(answered.header("content-range"), "bytes 65530-131080/200001");
    assert_eq!(answered.header("content-length"), "65551");
    let past_the_end = ask(Method::GET, &content, &[("range", "bytes=200001-")]).await;
    assert_eq!((past_the_end.status, past_the_end.header("content-range")), (416, "bytes */200001"));
    assert!(past_the_end.body.starts_with(b"<?xml"));
}

#[tokio::test]
async fn several_ranges_are_sent_as_parts() {
    let content = content(1000);
    let answered = ask(Method::GET, &content, &[("range", "bytes=0-1,-3")]).await;
    let boundary = answered.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let head = |range| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/1000\r\n\r\n"
        )
    };
    let expected = [
        head("0-1").as_bytes(),
        &content[..2],
        head("997-999").as_bytes(),
        &content[997..],
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    assert_eq!((answered.status, &answered.body), (206, &expected));
    assert_eq!(answered.header("content-length"), expected.len().to_string());
    assert_eq!(answered.header("content-range"), "");
}

#[tokio::test]
async fn conditions_decide_before_ranges() {
    let content = content(1000);
    let etag = format!("\"{DIGEST}\"");
    let unchanged = ask(Method::GET, &content, &[("if-none-match", &etag), ("range", "bytes=0-1")]).await;
    assert_eq!((unchanged.status, unchanged.body.len(), unchanged.header("etag")), (304, 0, etag.as_str()));
    let resumed = ask(Method::GET, &content, &[("if-range", &etag), ("range", "bytes=990-")]).await;
    assert_eq!((resumed.status, &resumed.body[..]), (206, &content[990..]));
    let restarted = ask(Method::GET, &content, &[("if-range", "\"old\""), ("range", "bytes=990-")]).await;
    assert_eq!((restarted.status, restarted.body), (200, content.clone()));
    let refused = ask(Method::GET, &content, &[("if-match", "\"old\"")]).await;
    assert_eq!((refused.status, refused.body.starts_with(b"<?xml")), (412, true));
}

#[test]
fn a_content_type_is_never_blank() {
    let check = |name: &str, expected: &str| assert_eq!(media_type(&Name::parse(name).unwrap()), expected, "{name}");
    check("CPE.nbt", "application/octet-stream");
    check("CPE.cat", "application/vnd.ms-pki.seccat");
    check("cpe.CAT", "application/vnd.ms-pki.seccat");
    check("RTConfig.xml", "text/xml");
    check("sip.ld", "application/octet-stream");
    check("README", "application/octet-stream");
}

#[test]
fn a_date_that_http_cannot_say_is_not_said() {
    let check = |year: i16, expected: Option<&str>| {
        let file = UpdateFile { time_stamp: jiff::civil::date(year, 1, 1).at(0, 0, 0, 0), ..update_file("a.nbt", 1) };
        assert_eq!(last_modified(&file, now()).map(|date| date.to_string()).as_deref(), expected);
    };
    check(1601, None);
    check(1980, Some("1980-01-01T00:00:00Z"));
    check(2107, None);
}

#[tokio::test]
async fn a_file_that_shrinks_meanwhile_ends_in_an_error() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content(1000)).unwrap();
    let asked = Asked { method: &Method::GET, headers: &HeaderMap::new(), now: now() };
    let response = answer(&update_file("CPE.nbt", 2000), file, asked);
    assert!(response.into_body().collect().await.is_err());
}
