//! What sockets don't show: timeouts, panics, a node without data. The rest is in the whole-system tests.

use super::*;
use crate::audit_log;
use crate::phone_auth::PhoneAuth;
use crate::wire::dialect::Dialect;
use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use schema::topology::NodeName;
use std::convert::Infallible;
use sync::clock::SystemClock;
use sync::read_through::ReadThrough;
use sync::replica::Replica;
use tower::ServiceExt;

/// A node before its first snapshot.
/// Longer than any test here takes.
const PATIENT: Duration = Duration::from_secs(60);

fn phones(side: Side, request_timeout: Duration) -> Phones {
    let folder = tempfile::tempdir().unwrap();
    let (audit_log, _) = audit_log::open(folder.path(), NodeName::parse("node1").unwrap(), Default::default()).unwrap();
    let plane = PhonePlane {
        snapshot: ArcSwapOption::empty(),
        replica: Arc::new(Replica::at(folder.path())),
        read_through: ReadThrough::unanswered(),
        dialect: Dialect::default(),
        capture: None,
        audit_log,
        phone_auth: PhoneAuth::default(),
        downloads: Default::default(),
        checks: Default::default(),
        metrics: Arc::default(),
        clock: Arc::new(SystemClock),
    };
    Phones { plane: Arc::new(plane), side, request_timeout }
}

struct Answered {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

async fn ask(router: Router, request: http::request::Builder, body: Body) -> Answered {
    let request = request.extension(PhoneAddress(IpAddr::from([10, 1, 1, 123]))).body(body).unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answered { status: parts.status.as_u16(), headers: parts.headers, body }
}

const FILE: &str = "/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt";
const HANDLER: &str = "/RequestHandler/ucdevice.upx";

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let dripping = stream::pending::<Result<Bytes, Infallible>>();
    let router = router_of(phones(Side::Inside, Duration::from_millis(20)));
    let answered = ask(router, Request::post(FILE), Body::from_stream(dripping)).await;
    assert_eq!((answered.status, &answered.headers["connection"]), (408, &HeaderValue::from_static("close")));
    assert!(answered.body.starts_with("<?xml"));
}

#[tokio::test]
async fn a_panic_is_an_xml_document_that_says_nothing_of_it() {
    async fn panic() -> Response {
        panic!("a secret cause")
    }
    let router = Router::new().fallback(panic).layer(CatchPanicLayer::custom(panicked));
    let answered = ask(router, Request::get(FILE), Body::empty()).await;
    assert_eq!(
        (answered.status, &answered.headers["content-type"]),
        (500, &HeaderValue::from_static("text/xml; charset=utf-8"))
    );
    assert!(answered.body.starts_with("<?xml") && !answered.body.contains("secret"), "{}", answered.body);
}

#[tokio::test]
async fn without_data_the_right_password_is_not_called_wrong() {
    let router = router_of(phones(Side::Outside, PATIENT));
    let request = |path: &str| Request::get(path).header("authorization", "Basic YTpiYmJiYmJiYg==");
    let check = ask(router.clone(), request(HANDLER), Body::empty()).await;
    assert_eq!(check.status, 200);
    let file = ask(router.clone(), request(FILE), Body::empty()).await;
    assert_eq!((file.status, &file.headers["retry-after"]), (503, &HeaderValue::from_static("30")));
    assert!(file.body.starts_with("<?xml"));
    assert_eq!(ask(router, Request::get(FILE), Body::empty()).await.status, 401, "who has no password at all");
}

#[tokio::test]
async fn a_large_body_is_not_read_for_a_refusal() {
    let router = router_of(phones(Side::Inside, PATIENT));
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 64 * 1024])));
    let answered = ask(router.clone(), Request::post(FILE), Body::from_stream(endless)).await;
    assert_eq!((answered.status, &answered.headers["connection"]), (405, &HeaderValue::from_static("close")));
    let waiting = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let answered = ask(router, Request::post(FILE).header("expect", "100-continue"), waiting).await;
    assert_eq!(answered.status, 405);
}
