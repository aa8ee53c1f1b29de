//! Every refusal of the API: a status, a word for programs, a sentence for people. The cause behind it goes to the log
//! once and never out.

use super::types::ErrorBody;
use crate::listen::{HeadFault, is_too_slow};
use crate::log_limit::LogLimit;
use crate::snapshot::MembershipError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schema::ParseError;
use schema::store::StoreError;
use std::sync::LazyLock;
use sync::blobs::BlobError;
use sync::disk::Full;
use sync::import::ImportError;

/// What administrators' programs may ask for again and again is not logged each time: one limit for each kind of line.
static FULL: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);
static FAILED: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);
static NO_DATABASE: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);
static NO_STORE: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);

/// A refusal.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// What the administrator sent cannot be understood, or is outside a limit.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into() }
    }

    /// What was named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: message.into() }
    }

    /// What was to be made is there already.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: "already_exists", message: message.into() }
    }

    /// The change is not allowed; nothing has changed.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: "refused", message: message.into() }
    }

    /// The resource has not this method; which it has stands in Allow.
    pub(super) fn method_not_allowed() -> Self {
        let message = "this resource does not take the method; see the Allow header".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message }
    }

    /// No token, or one that is not valid.
    pub fn unauthorized() -> Self {
        let message = "a valid token is needed: send `Authorization: Bearer <token>`; `ucupdates token new` makes one";
        Self { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message: message.to_owned() }
    }

    /// A disk is full.
    fn full(full: &Full) -> Self {
        if let Some(left_out) = FULL.admit() {
            tracing::error!(folder = %full.folder.display(), left_out, "{full}");
        }
        Self { status: StatusCode::INSUFFICIENT_STORAGE, code: "full", message: full.to_string() }
    }

    /// The head of the request is refused.
    pub(super) fn head(fault: HeadFault) -> Self {
        let (status, message) = fault.answer();
        Self { status, code: fault.as_str(), message: message.to_owned() }
    }

    /// The request was not there, or not answered, within the request timeout.
    pub(super) fn too_slow() -> Self {
        let message = "the request took too long; what it changed, if anything, the log of admin events says";
        Self { status: StatusCode::REQUEST_TIMEOUT, code: "too_slow", message: message.to_owned() }
    }

    /// As many imports as there may be.
    pub(super) fn no_slot() -> Self {
        Self::unavailable("other imports run now; try again when one is done")
    }

    /// What is needed does not answer, or may not be used.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", message: message.into() }
    }

    /// The same refusal of what had been begun: `done` says how far it came.
    pub(super) fn after(self, done: &str) -> Self {
        Self { message: format!("{done}: {}", self.message), ..self }
    }

    /// The Central Management store is not one that this node may use.
    fn unusable(reason: &dyn std::fmt::Display) -> Self {
        Self::unavailable(format!("the Central Management store cannot be used: {reason}; phones are served meanwhile"))
    }

    /// A defect, or a local fault that only the log may tell of.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(left_out) = FAILED.admit() {
            tracing::error!(cause = causes(cause), left_out, "an administrator's request failed");
        }
        let message = "the node failed; its log says why".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", message }
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code.to_owned(), message: self.message };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Self::not_found(error.to_string()),
            StoreError::AlreadyExists(_) => Self::already_exists(error.to_string()),
            StoreError::Refused(_) | StoreError::Absurd(_) => Self::refused(error.to_string()),
            StoreError::Unavailable { .. } => {
                if let Some(left_out) = NO_DATABASE.admit() {
                    tracing::warn!(cause = causes(&error), left_out, "the Central Management store is unavailable");
                }
                Self::unavailable(format!("{error}; phones are served meanwhile, try again later"))
            }
            StoreError::NewerDatabase { .. } | StoreError::OlderDatabase { .. } => Self::unusable(&error),
            StoreError::Settings(_) | StoreError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<MembershipError> for ApiError {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Store(error) => error.into(),
            MembershipError::OtherPlace { .. } | MembershipError::NameTaken { .. } => Self::unusable(&error),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Conflict { .. } | BlobError::Changed { .. } => Self::refused(error.to_string()),
            BlobError::Full(full) => Self::full(&full),
            BlobError::Unavailable { .. } | BlobError::Untrustworthy { .. } => {
                if let Some(left_out) = NO_STORE.admit() {
                    tracing::warn!(cause = causes(&error), left_out, "the file store is unavailable");
                }
                Self::unavailable(error.to_string())
            }
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Blob(error) => error.into(),
            ImportError::Full(full) => Self::full(&full),
            ImportError::Package(error) if error.is_failure() => Self::internal(&error),
            ImportError::Package(error) => Self::invalid(error.to_string()),
            ImportError::Interrupted(_) if is_too_slow(&error) => Self::too_slow(),
            ImportError::Interrupted(_) => Self::invalid(error.to_string()),
            ImportError::TooLarge { .. } => {
                Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too_large", message: error.to_string() }
            }
            ImportError::Local(_) => Self::internal(&error),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        if is_too_slow(&rejection) {
            return Self::too_slow();
        }
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = "the body is larger than one of this kind may be".to_owned();
            return Self { status: rejection.status(), code: "too_large", message };
        }
        Self::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}
