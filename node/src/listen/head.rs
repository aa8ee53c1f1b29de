//! The head of a request, read as strictly as RFC 9112 allows, before hyper sees a byte of it: what two readers could
//! take for two different requests is refused by name (decision 0015). Pure; fed with bytes as they come, each looked at
//! once.

use crate::metrics::closed_enum;
use http::StatusCode;
use http::uri::Authority;

/// The longest request line. RFC 9110 asks for 8000 bytes at least.
const REQUEST_LINE_BYTES: usize = 8 * 1024;

/// The longest head; phones send a few hundred bytes, browsers some thousand.
pub(super) const HEAD_BYTES: usize = 16 * 1024;

/// Header lines at most: as many as hyper takes.
const HEADER_LINES: usize = 100;

/// Empty lines before a request line that are overlooked, as RFC 9112, 2.2 asks: old clients sent one after a body.
const EMPTY_LINES: usize = 2;

/// Methods that some resource of ours could have; what a resource does not have it answers 405.
const METHODS: [&[u8]; 7] = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"];

closed_enum! {
    /// Why the head of a request is refused.
    pub enum HeadFault {
        /// The first line is no request line (HTTP/0.9 too).
        RequestLine = "request_line",
        /// TLS where plain HTTP is spoken.
        TlsOnPlain = "tls_on_plain",
        /// Plain HTTP where TLS is spoken.
        PlainOnTls = "plain_on_tls",
        /// A method that no resource has.
        UnknownMethod = "unknown_method",
        /// The target is not a path.
        Target = "target",
        /// The target is too long.
        TargetTooLong = "target_too_long",
        /// Not HTTP/1.1 or HTTP/1.0.
        Version = "version",
        /// A line that ends without a carriage return.
        BareLineFeed = "bare_line_feed",
        /// A header line without a name, with a space before its colon, or with a control character.
        HeaderLine = "header_line",
        /// A header that goes on in the next line.
        FoldedLine = "folded_line",
        /// A head beyond the limit.
        TooLarge = "too_large",
        /// More header lines than the limit.
        TooManyHeaders = "too_many_headers",
        /// HTTP/1.1 without a Host.
        NoHost = "no_host",
        /// More than one Host.
        SeveralHosts = "several_hosts",
        /// A Host that is no host.
        Host = "host",
        /// A Content-Length that is no number, or several.
        ContentLength = "content_length",
        /// Content-Length beside Transfer-Encoding.
        LengthAndEncoding = "length_and_encoding",
        /// A Transfer-Encoding that leaves the body's end open.
        TransferEncoding = "transfer_encoding",
        /// A transfer coding that is not known here.
        UnknownEncoding = "unknown_encoding",
        /// An expectation that is not met here.
        Expectation = "expectation",
        /// The head did not come in time.
        TooSlow = "too_slow",
    }
}

impl HeadFault {
    /// The status of the refusal, and a sentence that says what is wrong.
    pub const fn answer(self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::RequestLine => (BAD, "the first line is not a request line of HTTP/1.1"),
            Self::TlsOnPlain => (BAD, "this port speaks plain HTTP, not TLS"),
            Self::PlainOnTls => (BAD, "this port speaks TLS: ask with https"),
            Self::UnknownMethod => (StatusCode::NOT_IMPLEMENTED, "the method is not known here"),
            Self::Target => (BAD, "the target of the request is not a path"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "the target of the request is too long"),
            Self::Version => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 and HTTP/1.0 are spoken here"),
            Self::BareLineFeed => (BAD, "a line of the request ends without a carriage return"),
            Self::HeaderLine => (BAD, "a header line is malformed"),
            Self::FoldedLine => (BAD, "a header goes on in the next line"),
            Self::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too large"),
            Self::TooManyHeaders => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many headers"),
            Self::NoHost => (BAD, "the request has no Host header"),
            Self::SeveralHosts => (BAD, "the request has several Host headers"),
            Self::Host => (BAD, "the Host header is malformed"),
            Self::ContentLength => (BAD, "the Content-Length is not one number"),
            Self::LengthAndEncoding => (BAD, "the request has both Content-Length and Transfer-Encoding"),
            Self::TransferEncoding => (BAD, "the Transfer-Encoding is malformed"),
            Self::UnknownEncoding => (StatusCode::NOT_IMPLEMENTED, "the only transfer coding known here is chunked"),
            Self::Expectation => (StatusCode::EXPECTATION_FAILED, "the only expectation met here is 100-continue"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the head of the request did not come in time"),
        }
    }
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// So many bytes.
    Bytes(u64),
    /// Chunks; only hyper knows where they end.
    Chunked,
}

/// A head that has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WholeHead {
    /// Its bytes, with the empty line.
    pub(super) length_bytes: usize,
    /// What follows.
    pub(super) body: BodyLength,
}

/// Reads one head.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// Where the line begins that is being read.
    line: usize,
    /// Everything before was looked at.
    searched: usize,
    empty_lines: usize,
    started: bool,
    is_1_1: bool,
    headers: usize,
    hosts: usize,
    content_length: Option<u64>,
    chunked: bool,
}

impl HeadReader {
    /// Whether something of a request has come: empty lines are nothing.
    pub(super) fn has_begun(&self) -> bool {
        self.started || self.searched > self.line
    }

    /// Reads on. `bytes` begin with the head's first byte, whatever was read before; none is the answer while its end
    /// has not come.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<WholeHead>, HeadFault> {
        while let Some(found) = bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let feed = self.searched + found;
            let line = bytes[self.line..feed].strip_suffix(b"\r").ok_or(HeadFault::BareLineFeed)?;
            (self.line, self.searched) = (feed + 1, feed + 1);
            if feed >= HEAD_BYTES {
                return Err(self.too_large());
            }
            if !line.is_empty() {
                self.read_line(line)?;
            } else if self.started {
                return Ok(Some(WholeHead { length_bytes: feed + 1, body: self.finish()? }));
            } else {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(HeadFault::RequestLine);
                }
            }
        }
        self.searched = bytes.len();
        self.look_at_unfinished(&bytes[self.line..])?;
        if bytes.len() >= HEAD_BYTES { Err(self.too_large()) } else { Ok(None) }
    }

    /// What needs no line's end to be wrong.
    fn look_at_unfinished(&self, line: &[u8]) -> Result<(), HeadFault> {
        if self.started {
            return Ok(());
        }
        match line.first() {
            Some(0x16) => Err(HeadFault::TlsOnPlain),
            Some(first) if !is_token_byte(*first) && *first != b'\r' => Err(HeadFault::RequestLine),
            _ if line.len() > REQUEST_LINE_BYTES => Err(HeadFault::TargetTooLong),
            _ => Ok(()),
        }
    }

    fn too_large(&self) -> HeadFault {
        if self.started { HeadFault::TooLarge } else { HeadFault::TargetTooLong }
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        if self.started {
            return self.read_header(line);
        }
        self.look_at_unfinished(line)?;
        self.started = true;
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadFault::RequestLine);
        };
        if method.is_empty() || !method.iter().all(|byte| is_token_byte(*byte)) {
            return Err(HeadFault::RequestLine);
        }
        self.is_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ if is_version(version) => return Err(HeadFault::Version),
            _ => return Err(HeadFault::RequestLine),
        };
        if !METHODS.contains(&method) {
            return Err(HeadFault::UnknownMethod);
        }
        if is_target(target) || (target == b"*" && method == b"OPTIONS") { Ok(()) } else { Err(HeadFault::Target) }
    }

    fn read_header(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        if matches!(line[0], b' ' | b'\t') {
            return Err(HeadFault::FoldedLine);
        }
        self.headers += 1;
        if self.headers > HEADER_LINES {
            return Err(HeadFault::TooManyHeaders);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HeadFault::HeaderLine)?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        let is_value_byte = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7F);
        if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) || !value.iter().all(is_value_byte) {
            return Err(HeadFault::HeaderLine);
        }
        // Most headers are of no concern here: their names' lengths say so.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.read_host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.read_expectation(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.read_encoding(value),
            _ => Ok(()),
        }
    }

    fn read_host(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(HeadFault::SeveralHosts);
        }
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
        if value.iter().all(fits) { Ok(()) } else { Err(HeadFault::Host) }
    }

    fn read_expectation(&self, value: &[u8]) -> Result<(), HeadFault> {
        // RFC 9110, 10.1.1: from an HTTP/1.0 client it means nothing.
        if !self.is_1_1 || value.eq_ignore_ascii_case(b"100-continue") { Ok(()) } else { Err(HeadFault::Expectation) }
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        // The two largest numbers mean something else to hyper.
        let length = length.filter(|length| *length < u64::MAX - 1).ok_or(HeadFault::ContentLength)?;
        if self.content_length.replace(length).is_some() { Err(HeadFault::ContentLength) } else { Ok(()) }
    }

    fn read_encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if !self.is_1_1 || self.chunked {
            return Err(HeadFault::TransferEncoding);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let mut codings = value.split(|byte| *byte == b',').map(trim);
        let last_is_chunked = codings.next_back().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        let chunked_before = codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        let known_to_be_wrong = value.is_empty() || chunked_before || (last_is_chunked && value.starts_with(b","));
        Err(if known_to_be_wrong { HeadFault::TransferEncoding } else { HeadFault::UnknownEncoding })
    }

    fn finish(&self) -> Result<BodyLength, HeadFault> {
        if self.is_1_1 && self.hosts == 0 {
            return Err(HeadFault::NoHost);
        }
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(HeadFault::LengthAndEncoding),
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Bytes(length.unwrap_or(0))),
        }
    }
}

/// Without the white space around it that HTTP overlooks, which is less than ASCII's.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110, 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// `HTTP/` and two digits with a dot.
fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// A path with its query, alone or behind scheme and authority, which RFC 9112, 3.2.2 obliges a server to take.
fn is_target(target: &[u8]) -> bool {
    let path = match target.first() {
        Some(b'/') => target,
        _ => match path_of_absolute(target) {
            Some(path) => path,
            None => return false,
        },
    };
    let fits = |byte: &u8| byte.is_ascii_graphic() && !b"#<>\"`{}\\^".contains(byte);
    path.iter().all(fits)
}

fn path_of_absolute(target: &[u8]) -> Option<&[u8]> {
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    let (authority, path) = rest.split_at(end);
    // As hyper reads it, which would refuse the rest without a word.
    let is_authority = !authority.is_empty() && authority.iter().all(fits) && Authority::try_from(authority).is_ok();
    is_authority.then_some(path)
}

#[cfg(test)]
mod tests;
