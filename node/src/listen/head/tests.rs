//! Heads in pieces, and heads of all kinds; what is refused by which status is in the whole-system tests.

use super::*;
use proptest::prelude::*;

/// Reads the bytes as they come in these pieces: the result, and how many bytes were there when it came.
fn read_in_pieces(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Result<Option<WholeHead>, HeadFault> {
    let mut reader = HeadReader::default();
    for cut in cuts.into_iter().chain([bytes.len()]) {
        if let Some(whole) = reader.read(&bytes[..cut])? {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

fn read(text: &str) -> Result<Option<WholeHead>, HeadFault> {
    read_in_pieces(text.as_bytes(), [])
}

#[test]
fn a_head_says_where_it_ends_and_what_follows() {
    let check = |head: &str, rest: &str, body| {
        let whole = read(&format!("{head}{rest}")).unwrap().unwrap();
        assert_eq!(whole, WholeHead { length_bytes: head.len(), body }, "{head}");
    };
    use BodyLength::{Bytes, Chunked};
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Bytes(0));
    check("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /", Bytes(0));
    check("GET / HTTP/1.0\r\n\r\n", "\n\n", Bytes(0));
    check("\r\nGET / HTTP/1.1\r\nhOST: a:80\r\n\r\n", "", Bytes(0));
    check("POST / HTTP/1.1\r\nHost: [::1]:80\r\nCONTENT-LENGTH:\t 17 \r\n\r\n", "x", Bytes(17));
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "0", Chunked);
    check("GET http://a/b?c=d HTTP/1.1\r\nHost: a\r\n\r\n", "", Bytes(0));
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\ty\r\nEmpty:\r\n\r\n", "", Bytes(0));
}

#[test]
fn what_is_wrong_is_said_as_soon_as_it_is_known() {
    let check = |start: &str, expected| assert_eq!(read(start), expected, "{start:?}");
    check("\x16", Err(HeadFault::TlsOnPlain));
    check("\0", Err(HeadFault::RequestLine));
    check("GET /\r\n", Err(HeadFault::RequestLine));
    check("PRI * HTTP/2.0\r\n", Err(HeadFault::Version));
    check("GET / HTTP/1.1\n", Err(HeadFault::BareLineFeed));
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", Err(HeadFault::SeveralHosts));
    check(&"G".repeat(REQUEST_LINE_BYTES), Ok(None));
    check(&"G".repeat(REQUEST_LINE_BYTES + 1), Err(HeadFault::TargetTooLong));
    check(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES)), Err(HeadFault::TooLarge));
    check("GET / HTTP/1.1\r\nHost: a", Ok(None));
    check("", Ok(None));
}

#[test]
fn every_fault_has_a_status_of_refusal_and_a_sentence() {
    for (place, fault) in HeadFault::all().into_iter().enumerate() {
        let (status, message) = fault.answer();
        assert!(status.is_client_error() || status.is_server_error(), "{fault:?}");
        assert!(!message.is_empty() && fault as usize == place, "{fault:?}");
    }
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "(GET|POST|PUT) /[a-z]{0,3}( HTTP/1.[01])?",
        "[A-Za-z]{1,5}: [ -~]{0,5}",
        "(Host|Content-Length|Transfer-Encoding|Expect): ?(a|5|chunked|100-continue|[,+x ]{0,2})",
        "[ \t\u{0}:]{0,2}",
    ];
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    let lines = prop::collection::vec((line, end), 0..6);
    lines.prop_map(|lines| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
        lines.into_iter().fold(start, |text, (line, end)| text + &line + end).into_bytes()
    })
}

proptest! {
    #[test]
    fn it_is_the_same_however_the_bytes_come(head in head(), mut cuts in prop::collection::vec(0usize..200, 0..6)) {
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(head.len()));
        cuts.sort_unstable();
        prop_assert_eq!(read_in_pieces(&head, cuts), read_in_pieces(&head, []));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_in_pieces(&bytes, (0..bytes.len()).step_by(7));
    }
}
