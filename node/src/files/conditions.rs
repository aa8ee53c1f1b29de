//! Conditional requests (RFC 9110, 13): what a client already has, and what it may have. Pure.

use http::header::{self, HeaderMap, HeaderName};
use jiff::Timestamp;

/// What a version of a file is known by.
#[derive(Debug, Clone)]
pub struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// In whole seconds.
    pub last_modified: Option<Timestamp>,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send what is asked for.
    Send,
    /// The client has it: 304.
    NotModified,
    /// The client wants another version: 412.
    PreconditionFailed,
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2. What can't be read is no condition.
pub fn check(validators: &Validators, headers: &HeaderMap) -> Outcome {
    let date = |name| text(headers, name).and_then(parse_date).zip(validators.last_modified);
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, header::IF_MATCH, |tag| tag == validators.etag) {
            return Outcome::PreconditionFailed;
        }
    } else if date(header::IF_UNMODIFIED_SINCE).is_some_and(|(since, modified)| modified > since) {
        return Outcome::PreconditionFailed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        // Compared weakly: a cache may have weakened our tag.
        let has = lists(headers, header::IF_NONE_MATCH, |tag| tag.trim_start_matches("W/") == validators.etag);
        return if has { Outcome::NotModified } else { Outcome::Send };
    }
    if date(header::IF_MODIFIED_SINCE).is_some_and(|(since, modified)| modified <= since) {
        return Outcome::NotModified;
    }
    Outcome::Send
}

/// Whether `Range` counts: there is no `If-Range`, or it names exactly this version. A date is as strong as a tag here,
/// because a published file never changes.
pub fn range_applies(validators: &Validators, headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(text) = text(headers, header::IF_RANGE) else { return false };
    text == validators.etag || parse_date(text).is_some_and(|date| validators.last_modified == Some(date))
}

/// Whether the header's list holds `*` or a tag that fits. A tag with a comma is cut, and fits nothing of ours.
fn lists(headers: &HeaderMap, name: HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || fits(tag))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn parse_date(text: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn validators() -> Validators {
        Validators { etag: "\"abc\"".to_owned(), last_modified: Some("2008-12-16T04:43:58Z".parse().unwrap()) }
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    const SAME: &str = "Tue, 16 Dec 2008 04:43:58 GMT";
    const BEFORE: &str = "Tue, 16 Dec 2008 04:43:57 GMT";
    const AFTER: &str = "Wed, 17 Dec 2008 04:43:57 GMT";

    #[test]
    fn conditions_are_those_of_rfc_9110() {
        use Outcome::{NotModified, PreconditionFailed, Send};
        let check = |pairs: &[(&str, &str)], expected| {
            assert_eq!(super::check(&validators(), &headers(pairs)), expected, "{pairs:?}");
        };
        check(&[], Send);
        check(&[("if-none-match", "\"abc\"")], NotModified);
        check(&[("if-none-match", "W/\"abc\"")], NotModified);
        check(&[("if-none-match", "\"x\", \"abc\"")], NotModified);
        check(&[("if-none-match", "*")], NotModified);
        check(&[("if-none-match", "\"x\"")], Send);
        check(&[("if-none-match", "abc")], Send);
        check(&[("if-modified-since", SAME)], NotModified);
        check(&[("if-modified-since", AFTER)], NotModified);
        check(&[("if-modified-since", BEFORE)], Send);
        check(&[("if-modified-since", "yesterday")], Send);
        check(&[("if-none-match", "\"x\""), ("if-modified-since", SAME)], Send);
        check(&[("if-match", "\"abc\"")], Send);
        check(&[("if-match", "*")], Send);
        check(&[("if-match", "W/\"abc\"")], PreconditionFailed);
        check(&[("if-match", "\"x\"")], PreconditionFailed);
        check(&[("if-unmodified-since", SAME)], Send);
        check(&[("if-unmodified-since", BEFORE)], PreconditionFailed);
        check(&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)], Send);
        let undated = Validators { last_modified: None, ..validators() };
        assert_eq!(super::check(&undated, &headers(&[("if-modified-since", AFTER)])), Send);
    }

    #[test]
    fn a_range_counts_only_for_the_version_that_if_range_names() {
        let check = |value: &str, expected| {
            assert_eq!(range_applies(&validators(), &headers(&[("if-range", value)])), expected, "{value}");
        };
        assert!(range_applies(&validators(), &HeaderMap::new()));
        check("\"abc\"", true);
        check(SAME, true);
        check("W/\"abc\"", false);
        check("\"x\"", false);
        check(BEFORE, false);
        check(AFTER, false);
        check("", false);
        let undated = Validators { last_modified: None, ..validators() };
        assert!(!range_applies(&undated, &headers(&[("if-range", "nonsense")])));
    }
}
