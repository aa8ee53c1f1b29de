//! The update request handler: read, decide, answer, record. Routes and authentication are not here.

use crate::decide::Reason;
use crate::plane::{PhonePlane, Side};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// What the listener and the credential check know of whoever asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The side of the listener.
    pub side: Side,
    /// The phone's address.
    pub address: IpAddr,
    /// The account, when credentials were checked.
    pub account: Option<String>,
}

/// An answer to a phone: always well-formed XML.
#[derive(Debug)]
pub struct PhoneAnswer {
    /// The status.
    pub status: StatusCode,
    /// XML.
    pub body: String,
    /// Why; also put into the response's extensions.
    pub reason: Reason,
}

impl PhoneAnswer {
    /// The answer to who comes from outside without credentials: 401. The caller adds `WWW-Authenticate`.
    pub fn anonymous_refused() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, body: String::new(), reason: Reason::AnonymousRefused }
    }

    /// The answer when the credential check has no free slot: no update.
    pub fn overload(_plane: &PhonePlane) -> Self {
        Self { status: StatusCode::OK, body: String::new(), reason: Reason::Overload }
    }
}

impl IntoResponse for PhoneAnswer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.extensions_mut().insert(self.reason);
        response
    }
}

/// Answers a request to the handler's path, of any method. The body is read here, under its own limit.
pub async fn handle(plane: &PhonePlane, _caller: Caller, _request: Request) -> Response {
    PhoneAnswer::overload(plane).into_response()
}
