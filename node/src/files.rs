//! Serves update files from this node's replica, to GET and HEAD (PROTOCOL.md 2, row X13): only files that the snapshot
//! names, found without regard to case, so no path that a client writes is ever opened. A file that the replica does not
//! hold is read through from the store. Who may ask is decided before; methods are the router's.

mod body;
pub mod conditions;
pub mod range;

use crate::downloads::Slot;
use crate::files::body::{Segment, Source, read_segments};
use crate::files::conditions::{Outcome, Validators};
use crate::files::range::{ByteRange, Selection, select};
use crate::log_limit::LogLimit;
use crate::plane::PhonePlane;
use crate::router::Refusal;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schema::device::Name;
use schema::package::{StorePath, UpdateFile};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use sync::read_through::NotNow;

/// How long a phone waits for the first bytes of a file that is read through, before it is sent away for a while.
const READ_THROUGH_PATIENCE: Duration = Duration::from_secs(10);

/// What a file request comes to.
#[derive(Debug)]
pub enum Served {
    /// The response, without a body to HEAD.
    Response(Response),
    /// The snapshot names no such file.
    NotFound,
    /// As many downloads run as may.
    NoSlot,
    /// This node does not hold the file, and can't have it now.
    NotHeld,
}

/// Every request for a file that can't be had would write its line.
static UNSERVED: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);

/// Answers a GET or HEAD of the file at `path` below the update folder.
pub async fn serve(
    plane: &PhonePlane,
    address: IpAddr,
    path: &StorePath,
    method: &Method,
    headers: &HeaderMap,
) -> Served {
    let snapshot = plane.snapshot.load_full();
    let file = snapshot.as_ref().and_then(|snapshot| snapshot.rules.file(path.as_str()));
    let Some(file) = file else { return Served::NotFound };
    let answer = respond(file, Asked { method, headers, now: plane.clock.now() });
    let Some(segments) = answer.segments else { return Served::Response(answer.response) };
    let Some(slot) = plane.downloads.begin(address) else { return Served::NoSlot };
    match source(plane, file).await {
        Ok(source) => Served::Response(with_body(answer.response, segments, source, slot)),
        Err(error) => {
            if let Some(left_out) = UNSERVED.admit() {
                let path = &file.path;
                tracing::warn!(%path, %error, left_out, "an update file that this node does not hold could not be read through");
            }
            Served::NotHeld
        }
    }
}

/// The file's bytes: held, or on their way.
async fn source(plane: &PhonePlane, file: &Arc<UpdateFile>) -> Result<Source, NotNow> {
    let (replica, digest, size_bytes) = (Arc::clone(&plane.replica), file.digest, file.size_bytes);
    let opening = tokio::task::spawn_blocking(move || replica.open_file(&digest, size_bytes));
    match opening.await.map_err(io::Error::other).flatten() {
        Ok(held) => Ok(Source::Held(Arc::new(held))),
        Err(_) => Ok(Source::Arriving(plane.read_through.read(&plane.replica, file, READ_THROUGH_PATIENCE).await?)),
    }
}

struct Asked<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    now: Timestamp,
}

/// A response, and what its body shall be made of, if it has one.
struct Answer {
    response: Response,
    segments: Option<Vec<Segment>>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, segments: None }
    }
}

fn respond(file: &UpdateFile, asked: Asked<'_>) -> Answer {
    let Asked { method, headers, now } = asked;
    let validators = Validators { etag: format!("\"{}\"", file.digest), last_modified: last_modified(file, now) };
    let mut answer = match conditions::check(&validators, headers) {
        Outcome::PreconditionFailed => Refusal::PreconditionFailed.into_response().into(),
        Outcome::NotModified => StatusCode::NOT_MODIFIED.into_response().into(),
        Outcome::Send => {
            // Range is defined for GET only (RFC 9110, 14.2).
            let ranges = headers.get(header::RANGE).filter(|_| method == Method::GET);
            let ranges = ranges.filter(|_| conditions::range_applies(&validators, headers));
            send(file, select(ranges, file.size_bytes), method)
        }
    };
    let headers = answer.response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, header::ETAG, &validators.etag);
    if let Some(date) = validators.last_modified {
        set(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(date.into()));
    }
    answer
}

fn send(file: &UpdateFile, selection: Selection, method: &Method) -> Answer {
    let size_bytes = file.size_bytes;
    let media_type = media_type(&file.name);
    let all = [ByteRange { first: 0, last: size_bytes.saturating_sub(1) }];
    let (status, content_type, content_range, segments) = match selection {
        Selection::Unsatisfiable => {
            let mut response = Refusal::RangeNotSatisfiable.into_response();
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            return response.into();
        }
        Selection::Whole if size_bytes == 0 => (StatusCode::OK, media_type.to_owned(), None, vec![]),
        Selection::Whole => (StatusCode::OK, media_type.to_owned(), None, all.map(Segment::File).into()),
        Selection::One(range) => {
            let content_range = format!("bytes {}-{}/{size_bytes}", range.first, range.last);
            (StatusCode::PARTIAL_CONTENT, media_type.to_owned(), Some(content_range), vec![Segment::File(range)])
        }
        Selection::Several(ranges) => {
            // Content that holds a part of its own digest cannot be made.
            let boundary = format!("ucupdates-{:.32}", file.digest.to_string());
            let content_type = format!("multipart/byteranges; boundary={boundary}");
            let segments = multipart(&ranges, size_bytes, media_type, &boundary);
            (StatusCode::PARTIAL_CONTENT, content_type, None, segments)
        }
    };
    let length_bytes = length_bytes(&segments);
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length_bytes));
    set(headers, header::CONTENT_TYPE, &content_type);
    if let Some(content_range) = content_range {
        set(headers, header::CONTENT_RANGE, &content_range);
    }
    // The stored case of the name, whatever the phone wrote (PROTOCOL.md 2).
    set(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", file.name));
    let has_body = *method != Method::HEAD && length_bytes > 0;
    Answer { response, segments: has_body.then_some(segments) }
}

fn length_bytes(segments: &[Segment]) -> u64 {
    segments.iter().map(Segment::length_bytes).sum()
}

fn with_body(mut response: Response, segments: Vec<Segment>, source: Source, slot: Slot) -> Response {
    let length_bytes = length_bytes(&segments);
    *response.body_mut() = slot.body(Body::new(read_segments(source, segments)), length_bytes);
    response
}

/// The parts of a multipart/byteranges body (RFC 9110, 14.6).
fn multipart(ranges: &[ByteRange], size_bytes: u64, media_type: &str, boundary: &str) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(ranges.len() * 2 + 1);
    for range in ranges {
        let ByteRange { first, last } = range;
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes {first}-{last}/{size_bytes}\r\n\r\n"
        );
        segments.extend([Segment::Text(head), Segment::File(*range)]);
    }
    segments.push(Segment::Text(format!("\r\n--{boundary}--\r\n")));
    segments
}

/// Never blank: the original's web server sent `.nbt` and `.cat` without one, and phones took a blank page (row X13).
fn media_type(name: &Name) -> &'static str {
    match name.extension().as_str() {
        "cat" => "application/vnd.ms-pki.seccat",
        "xml" => "text/xml",
        _ => "application/octet-stream",
    }
}

/// The file's time stamp, taken as UTC (ours: a package says no time zone). None when HTTP can't say it (before 1970),
/// or must not (RFC 9110, 8.8.2.1: after now).
fn last_modified(file: &UpdateFile, now: Timestamp) -> Option<Timestamp> {
    let time_stamp = file.time_stamp.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let whole_seconds = Timestamp::from_second(time_stamp.as_second()).ok()?;
    (Timestamp::UNIX_EPOCH..=now).contains(&whole_seconds).then_some(whole_seconds)
}

/// Sets a header whose value is made of names and numbers.
fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
