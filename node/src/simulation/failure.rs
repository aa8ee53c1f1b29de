//! What can go wrong on the way to an answer: kinds from a closed list, so that they can be counted. Pure. A wrong answer
//! is none of these.

use std::fmt;

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The host's name was not resolved.
    Name,
    /// Nobody listens there.
    Refused,
    /// No connection, or no TLS, in time.
    ConnectTimeout,
    /// No connection for another reason.
    Connect,
    /// TLS failed, the certificate's verification included.
    Tls,
    /// The connection ended before the answer was whole.
    Broken,
    /// No answer in time.
    AnswerTimeout,
    /// A status of 500 or more.
    ServerError,
    /// A download ended before its last byte.
    CutDownload,
    /// 503 with Retry-After to a download: the service asks to come later.
    Busy,
}

impl FailureKind {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::AnswerTimeout => "answer_timeout",
            Self::ServerError => "server_error",
            Self::CutDownload => "cut_download",
            Self::Busy => "busy",
        }
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// What happened, for people.
    pub detail: String,
    /// Seconds that the service asks to wait.
    pub retry_after_seconds: Option<u64>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string(), retry_after_seconds: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}
