//! Serves update files from this node's replica, to GET and HEAD (PROTOCOL.md 2, row X13): only files that the snapshot
//! names, found without regard to case, so no path that a client writes is ever opened. Who may ask is decided before;
//! methods are the router's.

mod body;
pub mod conditions;
mod open;
pub mod range;

use crate::downloads::Downloads;
use crate::files::body::{Segment, read_segments};
use crate::files::conditions::{Outcome, Validators};
use crate::files::open::open_held;
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
use std::fs::File;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// What a file request comes to.
#[derive(Debug)]
pub enum Served {
    /// The response, without a body to HEAD.
    Response(Response),
    /// The snapshot names no such file, or this node does not hold it.
    NotFound,
    /// As many downloads run as may.
    NoSlot,
}

/// Every request for a file that can't be opened would write its line.
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
    let held = snapshot.as_ref().and_then(|snapshot| {
        let file = snapshot.rules.file(path.as_str())?;
        snapshot.servable.holds_file(file).then(|| Arc::clone(file))
    });
    let Some(file) = held else { return Served::NotFound };
    let opened = match open_held(plane.replica.clone(), Arc::clone(&file)).await {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(left_out) = UNSERVED.admit() {
                let path = &file.path;
                tracing::error!(%path, %error, left_out, "an update file that this node should hold cannot be served");
            }
            return Served::NotFound;
        }
    };
    let asked = Asked { address, method, headers, now: plane.clock.now() };
    respond(&file, opened, asked, &plane.downloads).map_or(Served::NoSlot, Served::Response)
}

struct Asked<'a> {
    address: IpAddr,
    method: &'a Method,
    headers: &'a HeaderMap,
    now: Timestamp,
}

/// None when a body would have to be sent and there is no slot for it.
fn respond(file: &UpdateFile, opened: File, asked: Asked<'_>, downloads: &Downloads) -> Option<Response> {
    let Asked { address, method, headers, now } = asked;
    let validators = Validators { etag: format!("\"{}\"", file.digest), last_modified: last_modified(file, now) };
    let mut response = match conditions::check(&validators, headers) {
        Outcome::PreconditionFailed => Refusal::PreconditionFailed.into_response(),
        Outcome::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Outcome::Send => {
            // Range is defined for GET only (RFC 9110, 14.2).
            let ranges = headers.get(header::RANGE).filter(|_| method == Method::GET);
            let ranges = ranges.filter(|_| conditions::range_applies(&validators, headers));
            send(file, opened, select(ranges, file.size_bytes), method, (downloads, address))?
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, header::ETAG, &validators.etag);
    if let Some(date) = validators.last_modified {
        set(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(date.into()));
    }
    Some(response)
}

fn send(
    file: &UpdateFile,
    opened: File,
    selection: Selection,
    method: &Method,
    (downloads, address): (&Downloads, IpAddr),
) -> Option<Response> {
    let size_bytes = file.size_bytes;
    let media_type = media_type(&file.name);
    let all = [ByteRange { first: 0, last: size_bytes.saturating_sub(1) }];
    let (status, content_type, content_range, segments) = match selection {
        Selection::Unsatisfiable => {
            let mut response = Refusal::RangeNotSatisfiable.into_response();
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            return Some(response);
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
    let length_bytes: u64 = segments.iter().map(Segment::length_bytes).sum();
    let body = match *method == Method::HEAD || length_bytes == 0 {
        true => Body::empty(),
        false => downloads.begin(address)?.body(Body::new(read_segments(opened, segments)), length_bytes),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length_bytes));
    set(headers, header::CONTENT_TYPE, &content_type);
    if let Some(content_range) = content_range {
        set(headers, header::CONTENT_RANGE, &content_range);
    }
    // The stored case of the name, whatever the phone wrote (PROTOCOL.md 2).
    set(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", file.name));
    Some(response)
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
