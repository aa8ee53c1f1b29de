//! The access log of this node (PROTOCOL.md 10): one of its [`request_log`]s, with a line for each request of a phone.
//! A line is begun when a request's head is there and ends when the last byte of its response is written, or its
//! connection is gone; in between it holds a short text, not the request.

use crate::request_log::{self, Kind, LogLimits, LogLine, LogWriter, RequestLog};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use jiff::Timestamp;
use schema::access::{ABSENT, AccessRecord, CUT_OFF, WHOLE, push_value};
use schema::topology::NodeName;
use std::fmt::{self, Write as _};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use sync::clock::Clock;

/// Writes the lines; run it as a task of its own.
pub type AccessWriter = LogWriter<AccessRecord>;

/// Bytes that the fields of most lines fit into.
const FIELDS_BYTES: usize = 160;

impl LogLine for AccessRecord {
    const KIND: Kind = Kind::Access;

    fn at(&self) -> Timestamp {
        self.at
    }

    fn size_bytes(&self) -> u64 {
        Self::size_bytes(self)
    }

    fn line(&self) -> String {
        Self::line(self)
    }
}

/// Takes the requests of phones.
pub struct AccessLog {
    records: RequestLog<AccessRecord>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

/// The account that a phone outside has proved to have: a response's extension.
#[derive(Debug, Clone)]
pub struct Account(pub String);

/// Where a connection begins and ends.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// This node.
    pub server: SocketAddr,
    /// The phone.
    pub client: IpAddr,
}

/// A request whose response is not made yet.
pub struct Asked {
    began: Instant,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
}

/// A response that is not written yet.
#[derive(Debug)]
pub struct Answered {
    began: Instant,
    fields: String,
    /// Whether all of its body was made.
    pub made: bool,
}

/// The handle and the writer of a node's access log in the folder `spool`.
pub fn open(
    spool: &Path,
    node: NodeName,
    limits: LogLimits,
    clock: Arc<dyn Clock>,
) -> io::Result<(AccessLog, AccessWriter)> {
    let (records, writer) = request_log::open(spool, node, limits)?;
    Ok((AccessLog { records, clock }, writer))
}

impl Asked {
    /// Keeps of a request what its line will need.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: agent(request.headers()),
        }
    }

    /// The line as far as it is known when the response is made. Nothing is kept of a request whose head was refused: it
    /// may have been anything.
    pub fn answered(
        self,
        ends: Ends,
        is_refused_head: bool,
        account: Option<&Account>,
        status: StatusCode,
    ) -> Answered {
        let mut fields = String::with_capacity(FIELDS_BYTES);
        // A String takes all that is written to it.
        let _ = write!(fields, "{} ", ends.server.ip().to_canonical());
        let uri = (!is_refused_head).then_some(&self.uri);
        let value = |fields: &mut String, value: Option<&str>| {
            push_value(fields, value.unwrap_or_default().as_bytes());
            fields.push(' ');
        };
        value(&mut fields, uri.map(|_| self.method.as_str()));
        value(&mut fields, uri.map(Uri::path));
        value(&mut fields, uri.and_then(Uri::query));
        let _ = write!(fields, "{} ", ends.server.port());
        value(&mut fields, account.map(|Account(name)| name.as_str()));
        let _ = write!(fields, "{} ", ends.client);
        match &self.agent {
            Some(agent) => push_value(&mut fields, agent.as_bytes()),
            None => fields.push(ABSENT),
        }
        let _ = write!(fields, " {} 0", status.as_u16());
        // The answer to HEAD has no body, whatever its status, and nobody asks for one.
        let made = self.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
        Answered { began: self.began, fields, made }
    }
}

fn agent(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::USER_AGENT).cloned()
}

impl AccessLog {
    /// A response whose bytes are written, or never will be.
    pub fn ended(&self, answered: Answered, written: bool) {
        let Answered { began, fields, made } = answered;
        let win32_status = if written && made { WHOLE } else { CUT_OFF };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.records.record(AccessRecord { at: self.clock.now(), fields, win32_status, took_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: &Request<()>, is_refused_head: bool, account: Option<&str>) -> String {
        let ends = Ends { server: "10.1.1.90:443".parse().unwrap(), client: "10.1.1.123".parse().unwrap() };
        let account = account.map(|name| Account(name.to_owned()));
        Asked::of(request).answered(ends, is_refused_head, account.as_ref(), StatusCode::OK).fields
    }

    #[test]
    fn a_check_is_written_as_iis_wrote_it() {
        let request = Request::post("/RequestHandler/ucdevice.upx").header("User-Agent", "Microsoft UCPhone Device");
        let expected = "10.1.1.90 POST /RequestHandler/ucdevice.upx - 443 - 10.1.1.123 Microsoft+UCPhone+Device 200 0";
        assert_eq!(fields(&request.body(()).unwrap(), false, None), expected);
    }

    #[test]
    fn hostile_requests_stay_one_line_with_all_fields() {
        let agent = HeaderValue::from_bytes(b"a\xc3\xa4 b\t\xff").unwrap();
        let request = Request::get("/a?b=1&c=%0A").header("User-Agent", agent).body(()).unwrap();
        let expected = "10.1.1.90 GET /a b=1&c=%0A 443 r.+silva 10.1.1.123 a%C3%A4+b%09%FF 200 0";
        assert_eq!(fields(&request, false, Some("r. silva")), expected);
        let empty = Request::get("/").header("User-Agent", "").body(()).unwrap();
        assert_eq!(fields(&empty, true, None), "10.1.1.90 - - - 443 - 10.1.1.123 - 200 0");
    }
}
