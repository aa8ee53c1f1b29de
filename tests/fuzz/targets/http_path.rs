//! What a phone's request may say besides its body: the path, `Range`, and the conditions.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use node::files::conditions::{self, Outcome, Validators};
use node::files::range::{Selection, select};
use node::router::PhonePath;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    path: &'a str,
    size_bytes: u32,
    modified_s: u32,
    range: &'a [u8],
    conditions: Vec<(u8, &'a [u8])>,
}

const CONDITIONS: [HeaderName; 5] = [
    http::header::IF_MATCH,
    http::header::IF_NONE_MATCH,
    http::header::IF_MODIFIED_SINCE,
    http::header::IF_UNMODIFIED_SINCE,
    http::header::IF_RANGE,
];

const ETAG: &str = "\"abc\"";

fuzz_target!(|input: Input| {
    check_path(input.path);
    check_path(&format!("/DeviceUpdateFiles_Int/{}", input.path));
    check_range(input.range, u64::from(input.size_bytes));
    check_conditions(&input);
});

/// A file's path is plain names below the update folder, and any spelling of it is the same path.
fn check_path(path: &str) {
    let PhonePath::File(file) = PhonePath::parse(path) else { return };
    let text = file.as_str();
    assert!(!text.contains(['\\', '\0', ':', '%']) && !text.chars().any(char::is_control), "{text:?}");
    assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")), "{text:?}");
    let encode = |part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
    let encoded: Vec<String> = text.split('/').map(encode).collect();
    let respelled = format!("/requesthandlerext/FILES/{}", encoded.join("/"));
    assert_eq!(PhonePath::parse(&respelled), PhonePath::File(file), "{respelled}");
}

/// Never more than the file, and no byte twice.
fn check_range(header: &[u8], size_bytes: u64) {
    let Ok(header) = HeaderValue::from_bytes(header) else { return };
    let ranges = match select(Some(&header), size_bytes) {
        Selection::One(range) => vec![range],
        Selection::Several(ranges) => ranges,
        Selection::Whole | Selection::Unsatisfiable => return,
    };
    assert!(ranges.iter().all(|range| range.first <= range.last && range.last < size_bytes));
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.first);
    assert!(sorted.windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "{ranges:?}");
    assert!(ranges.iter().map(|range| range.length_bytes()).sum::<u64>() <= size_bytes);
}

fn check_conditions(input: &Input) {
    let modified = Timestamp::from_second(i64::from(input.modified_s)).ok();
    let validators = Validators { etag: ETAG.to_owned(), last_modified: modified };
    let mut headers = HeaderMap::new();
    for (kind, value) in input.conditions.iter().take(8) {
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(CONDITIONS[usize::from(*kind) % CONDITIONS.len()].clone(), value);
    }
    let outcome = conditions::check(&validators, &headers);
    if headers.is_empty() {
        assert_eq!(outcome, Outcome::Send);
        assert!(conditions::range_applies(&validators, &headers));
    }
    headers.insert(http::header::IF_NONE_MATCH, HeaderValue::from_static(ETAG));
    assert_ne!(conditions::check(&validators, &headers), Outcome::Send);
    headers.insert(http::header::IF_MATCH, HeaderValue::from_static("\"other\""));
    assert_eq!(conditions::check(&validators, &headers), Outcome::PreconditionFailed);
}
