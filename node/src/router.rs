//! Every route of the phone plane, in one list. Management routes are never here, and no route here is on the
//! management listener. What a phone gets is well-formed XML or a file, whatever goes wrong.

mod path;
mod refusal;

pub use crate::router::path::PhonePath;

use crate::access_log::Account;
use crate::decide::Reason;
use crate::files::{self, Served};
use crate::listen::HeadFault;
use crate::newest_rules::NewestRules;
use crate::phone_auth::{CHALLENGES, Verdict};
use crate::plane::{PhoneAddress, PhonePlane, Side};
pub(crate) use crate::router::refusal::Refusal;
use crate::router::refusal::{after_body, panicked};
use crate::update::{self, Caller, PhoneAnswer};
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, http};
use http::{HeaderValue, Method, header};
use schema::package::StorePath;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;

/// When a phone outside may ask again after its credentials could not be checked.
const RETRY_AFTER_S: u32 = 30;

/// When a phone may ask for a file again of which this node, cut off, cannot know: the next node it reaches may.
const AGAIN_S: u32 = 1;

/// When the last of those may.
const AGAIN_SPREAD_S: u32 = 5;

/// When the last of those may ask again that found no slot for a download: they must not come back all at once.
const RETRY_AFTER_SPREAD_S: u32 = 90;

#[derive(Clone)]
struct Phones {
    plane: Arc<PhonePlane>,
    side: Side,
    request_timeout: Duration,
}

/// The routes of a phone listener. The side is the listener's, never the path's: both families of paths are served on
/// both sides (rows K10, K12). They match without regard to case, which axum's own routes can't: see [`PhonePath`].
/// From a request's header to the first byte of its response there may pass the request timeout: the body of a check has
/// 64 KiB at most, so whoever takes longer drips.
pub fn phone_router(plane: Arc<PhonePlane>, side: Side, request_timeout: Duration) -> Router {
    router_of(Phones { plane, side, request_timeout })
}

fn router_of(phones: Phones) -> Router {
    Router::new().fallback(in_time).with_state(phones).layer(CatchPanicLayer::custom(panicked))
}

async fn in_time(
    State(phones): State<Phones>,
    Extension(PhoneAddress(address)): Extension<PhoneAddress>,
    request: Request,
) -> Response {
    // It has no body that could drip: when a file takes too long it is the node that is slow.
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = tokio::time::timeout(phones.request_timeout, phones.answer(address, request));
    answer.await.unwrap_or_else(|_| match is_read {
        true => not_now(Refusal::Slow, rand::random_range(RETRY_AFTER_S..=RETRY_AFTER_SPREAD_S)),
        false => Refusal::TooSlow.into_response(),
    })
}

impl Phones {
    async fn answer(&self, address: IpAddr, request: Request) -> Response {
        match PhonePath::parse(request.uri().path()) {
            PhonePath::Handler => self.answer_check(address, request).await,
            PhonePath::File(path) => self.answer_file(address, &path, request).await,
            PhonePath::Unknown => refuse(request, Refusal::NotFound).await,
        }
    }

    async fn answer_check(&self, address: IpAddr, request: Request) -> Response {
        match self.admit(address, request.headers().get(header::AUTHORIZATION)).await {
            Admission::Admitted { account } => {
                let proved = account.clone();
                let answer = update::handle(&self.plane, Caller { side: self.side, address, account }, request).await;
                with_account(answer, proved)
            }
            Admission::Refused => {
                self.plane.metrics.phones.turned_away(Reason::AnonymousRefused);
                refuse(request, challenge()).await
            }
            Admission::NotNow(reason) => {
                self.plane.metrics.phones.turned_away(reason);
                refuse(request, PhoneAnswer { reason, ..PhoneAnswer::overload(&self.plane) }).await
            }
        }
    }

    async fn answer_file(&self, address: IpAddr, path: &StorePath, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return refuse(request, Refusal::FileMethod).await;
        }
        let account = match self.admit(address, request.headers().get(header::AUTHORIZATION)).await {
            Admission::Admitted { account } => account,
            Admission::Refused => return refuse(request, challenge()).await,
            Admission::NotNow(reason) => return refuse(request, unavailable(reason)).await,
        };
        let (method, headers) = (request.method(), request.headers());
        let mut served = files::serve(&self.plane, address, path, method, headers).await;
        let mut knows = true;
        if let (Served::NotFound, Some(newest)) = (&served, request.extensions().get::<Arc<NewestRules>>()) {
            knows = newest.are_known().await;
            if knows {
                served = files::serve(&self.plane, address, path, method, headers).await;
            }
        }
        let answer = match served {
            Served::Response(response) => response,
            Served::NotFound if !knows => not_now(Refusal::NotKnown, rand::random_range(AGAIN_S..=AGAIN_SPREAD_S)),
            Served::NotFound => Refusal::NotFound.into_response(),
            Served::NoSlot => not_now(Refusal::NoSlot, rand::random_range(RETRY_AFTER_S..=RETRY_AFTER_SPREAD_S)),
            Served::NotHeld => not_now(Refusal::NotHeld, rand::random_range(RETRY_AFTER_S..=RETRY_AFTER_SPREAD_S)),
        };
        with_account(answer, account)
    }

    /// Inside, everyone; outside, who has an account (PROTOCOL.md 4).
    async fn admit(&self, address: IpAddr, authorization: Option<&HeaderValue>) -> Admission {
        if self.side == Side::Inside {
            return Admission::Admitted { account: None };
        }
        if authorization.is_none() {
            self.plane.metrics.credentials.checked(&Verdict::Anonymous);
            return Admission::Refused;
        }
        // Without a snapshot no account is known: a phone with the right password must not be told that it is wrong.
        let Some(snapshot) = self.plane.snapshot.load_full() else { return Admission::NotNow(Reason::NoData) };
        let verdict = self.plane.phone_auth.check(&snapshot.rules, authorization, address).await;
        self.plane.metrics.credentials.checked(&verdict);
        match verdict {
            Verdict::Account(account) => Admission::Admitted { account: Some(account) },
            Verdict::Anonymous | Verdict::Refused | Verdict::Throttled => Admission::Refused,
            Verdict::Overload => Admission::NotNow(Reason::Overload),
        }
    }
}

/// The answer to a phone that has proved an account, if it has: the access log names it.
fn with_account(mut answer: Response, account: Option<String>) -> Response {
    if let Some(account) = account {
        answer.extensions_mut().insert(Account(account));
    }
    answer
}

enum Admission {
    Admitted { account: Option<String> },
    Refused,
    NotNow(Reason),
}

/// The 401 of who has no credentials or wrong ones, with a challenge for each method that is enabled.
fn challenge() -> Response {
    let mut response = PhoneAnswer::anonymous_refused().into_response();
    for challenge in CHALLENGES {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// The 503 of a file whose reader can't be known now.
fn unavailable(reason: Reason) -> Response {
    let mut response = not_now(Refusal::Unavailable, RETRY_AFTER_S);
    response.extensions_mut().insert(reason);
    response
}

fn not_now(refusal: Refusal, retry_after_s: u32) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    response
}

/// The answer to a request whose head is refused on a phone listener.
pub fn refuse_head(fault: HeadFault) -> Response {
    Refusal::Head(fault).into_response()
}

async fn refuse(request: Request<Body>, answer: impl IntoResponse) -> Response {
    after_body(request, answer.into_response()).await
}

#[cfg(test)]
mod tests;
