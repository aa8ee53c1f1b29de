//! The handler as a phone sees it, with the real writer of the audit log behind it.

use super::*;
use crate::audit_log::{self, AuditLimits, AuditWriter};
use crate::decide::world::World;
use crate::phone_auth::{PhoneAuth, PhoneAuthLimits};
use crate::plane::Snapshot;
use crate::wire::capture::Capture;
use crate::wire::dialect::Dialect;
use crate::wire::xml::{self, XmlError};
use arc_swap::ArcSwapOption;
use schema::topology::NodeName;
use std::sync::{Arc, Mutex};
use sync::clock::Clock;
use sync::read_through::ReadThrough;
use sync::replica::Replica;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const IP8540: &str = "UCPhone/LG-Nortel/IP8540/A/ENU/CPE";
const NO_UPDATE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Response><NumOfFiles>0</NumOfFiles></Response>";

#[derive(Debug)]
pub(crate) struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A phone plane with its spool in a folder of its own.
pub(crate) struct Bench {
    pub(crate) plane: Arc<PhonePlane>,
    clock: Arc<SetClock>,
    pub(crate) writer: AuditWriter,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new(world: Option<&World>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeName::parse("node1").unwrap();
        let (audit_log, writer) = audit_log::open(&folder.path().join("audit"), node, AuditLimits::default()).unwrap();
        let clock = Arc::new(SetClock(Mutex::new("2009-03-06T17:07:20Z".parse().unwrap())));
        let plane = PhonePlane {
            snapshot: ArcSwapOption::empty(),
            replica: Arc::new(Replica::at(folder.path())),
            read_through: ReadThrough::unanswered(),
            dialect: Dialect::default(),
            capture: Some(Capture::open(&folder.path().join("capture"), 10, 10_000).unwrap()),
            audit_log,
            phone_auth: PhoneAuth::new(PhoneAuthLimits::default()),
            downloads: Default::default(),
            checks: Default::default(),
            metrics: Arc::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let bench = Self { plane: Arc::new(plane), clock, writer, folder };
        if let Some(world) = world {
            bench.load(world);
        }
        bench
    }

    fn load(&self, world: &World) {
        let (rules, servable) = world.build();
        self.plane.snapshot.store(Some(Arc::new(Snapshot { rules: Arc::new(rules), servable: Arc::new(servable) })));
    }

    async fn ask(&self, side: Side, account: Option<&str>, body: &str) -> PhoneAnswer {
        let account = account.map(str::to_owned);
        let caller = Caller { side, address: "10.1.1.123".parse().unwrap(), account };
        let answer = answer(&self.plane, &caller, Bytes::copy_from_slice(body.as_bytes())).await;
        assert_well_formed(&answer.body);
        answer
    }

    /// The lines of the audit log, without its header.
    async fn lines(self) -> Vec<String> {
        let stop = CancellationToken::new();
        stop.cancel();
        self.writer.run(self.plane, stop).await;
        let files = audit_log::spooled_files(&self.folder.path().join("audit")).unwrap();
        let read = |file: &audit_log::SpooledFile| std::fs::read_to_string(&file.path).unwrap();
        let text: String = files.iter().map(read).collect();
        text.lines().filter(|line| *line != schema::audit::HEADER).map(str::to_owned).collect()
    }

    fn captured(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("capture")).unwrap().count()
    }
}

fn assert_well_formed(body: &str) {
    assert_eq!(xml::walk(body, |_| Ok::<_, XmlError>(())), Ok(()), "{body}");
}

fn request(device_time: &str, version: &str, time_stamp: &str) -> String {
    format!(
        "<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>\
         <RequestDateTime>{device_time}</RequestDateTime><MacAddress>0021630F207B</MacAddress>\
         <SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540</Model>\
         <Revision>A</Revision><Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName>\
         <Version>{version}</Version><TimeStamp>{time_stamp}</TimeStamp></Module></Modules></Request>"
    )
}

fn installed(version: &str) -> String {
    request("2009-03-06T17:10:39", version, "1601-01-01T00:00:00")
}

#[tokio::test]
async fn three_requests_and_one_step_between_them_give_the_three_real_lines() {
    let world = || World::new().rule(IP8540, "", "3.5.6907.0").interim("1.0.522.103");
    let bench = Bench::new(Some(&world()));
    let none = "1601-01-01T00:00:00";
    let steps = [
        ("2009-03-06T17:07:20Z", request("2009-03-06T09:07:20", "0.0.0.0", none), Reason::NotApproved),
        ("2009-03-06T17:10:39Z", request("2009-03-06T17:10:39", "0.0.0.0", none), Reason::Interim),
        (
            "2009-03-06T17:18:54Z",
            request("2009-03-06T17:18:53", "1.0.522.103", "2008-12-16T04:43:58"),
            Reason::OfferedTest,
        ),
    ];
    for (index, (now, body, reason)) in steps.into_iter().enumerate() {
        if index == 1 {
            bench.load(&world().test_device("MACAddress", "0021630F207B"));
        }
        *bench.clock.0.lock().unwrap() = now.parse().unwrap();
        assert_eq!(bench.ask(Side::Inside, None, &body).await.reason, reason);
    }
    let expected = [
        r#"03-06-2009 17:07:20,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 09:07:20,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,"#,
        r#"03-06-2009 17:10:39,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:10:39,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,http://ocs.demo.local/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt;1.0.522.103;16-12-2008 04:43:58"#,
        r#"03-06-2009 17:18:54,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:18:53,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;1.0.522.103;16-12-2008 04:43:58,http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt;3.5.6907.0;16-12-2008 04:43:58"#,
    ];
    assert_eq!(bench.lines().await, expected);
}

#[tokio::test]
async fn an_offer_tells_both_folders_on_both_sides() {
    let bench = Bench::new(Some(&World::new().rule(IP8540, "3.5.6907.0", "")));
    let inside = bench.ask(Side::Inside, None, &installed("3.4")).await;
    let outside = bench.ask(Side::Outside, Some("rui"), &installed("3.4")).await;
    assert_eq!(inside, outside);
    let path = "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE<";
    assert!(inside.body.contains(&format!("<BaseURL>http://ocs.demo.local/DeviceUpdateFiles_Int/{path}")));
    assert!(inside.body.contains(&format!("<ExternalBaseURL>https://ext.demo.local/DeviceUpdateFiles_Ext/{path}")));
    assert!(inside.body.contains("<NumOfFiles>1<") && inside.body.contains("<SignatureFileName>CPE.cat<"));
    let lines = bench.lines().await;
    assert!(lines[0].contains(",http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/"), "{}", lines[0]);
    assert!(lines[1].contains(",https://ext.demo.local/DeviceUpdateFiles_Ext/UCPhone/"), "{}", lines[1]);
}

#[tokio::test]
async fn urls_that_are_not_configured_are_empty() {
    let bench = Bench::new(Some(&World::new().rule(IP8540, "3.5.6907.0", "").without_urls()));
    let answer = bench.ask(Side::Inside, None, &installed("3.4")).await;
    assert!(answer.body.contains("<BaseURL></BaseURL>") && answer.body.contains("<ExternalBaseURL></ExternalBaseURL>"));
    assert!(bench.lines().await[0].contains(",UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt;3.5.6907.0;"));
}

#[tokio::test]
async fn every_check_that_can_be_read_is_one_line_whatever_its_answer() {
    let bench = Bench::new(None);
    let answer = bench.ask(Side::Inside, None, &installed("3.5")).await;
    assert_eq!((answer.status, answer.reason, answer.body.as_str()), (StatusCode::OK, Reason::NoData, NO_UPDATE));
    bench.load(&World::new());
    let answer = bench.ask(Side::Inside, None, &installed("3.5")).await;
    assert_eq!((answer.status, answer.reason, answer.body.as_str()), (StatusCode::OK, Reason::NoRule, NO_UPDATE));
    let answer = bench.ask(Side::Inside, None, "<Request><Model>IP8540</Model></Request>").await;
    assert_eq!((answer.reason, answer.body.as_str()), (Reason::NoModule, NO_UPDATE));
    bench.ask(Side::Inside, None, "<html/>").await;
    bench.ask(Side::Outside, None, &installed("3.5")).await;
    assert_eq!(bench.lines().await.len(), 3);
}

#[tokio::test]
async fn the_user_is_the_phones_word_or_else_the_account() {
    let bench = Bench::new(Some(&World::new()));
    let nobody = installed("3.5").replace("ruisilva@demo.local", "");
    bench.ask(Side::Outside, Some("anna@demo.local"), &installed("3.5")).await;
    bench.ask(Side::Outside, Some("anna@demo.local"), &nobody).await;
    bench.ask(Side::Inside, None, &nobody).await;
    let users: Vec<String> =
        bench.lines().await.iter().map(|line| line.split(',').nth(1).unwrap().to_owned()).collect();
    assert_eq!(users, ["ruisilva@demo.local", "anna@demo.local", ""]);
}

#[tokio::test]
async fn who_comes_from_outside_without_credentials_is_refused_unread() {
    let bench = Bench::new(Some(&World::new().rule(IP8540, "3.5", "")));
    for body in [installed("3.4"), "junk".to_owned()] {
        let answer = bench.ask(Side::Outside, None, &body).await;
        assert_eq!((answer.status, answer.reason), (StatusCode::UNAUTHORIZED, Reason::AnonymousRefused));
        assert!(answer.body.contains("anonymous access is not supported"));
    }
    assert_eq!(bench.captured(), 0);
    assert!(bench.lines().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_why_and_kept() {
    let bench = Bench::new(Some(&World::new()));
    for (body, why) in [("", "no element"), ("<a/>", "no field that is known"), ("<a Model='&x;'", "well-formed")] {
        let answer = bench.ask(Side::Inside, None, body).await;
        assert_eq!((answer.status, answer.reason), (StatusCode::BAD_REQUEST, Reason::Unreadable));
        assert!(answer.body.contains("<Error><Message>") && answer.body.contains(why), "{}", answer.body);
    }
    assert_eq!(bench.captured(), 3);
    let plane = PhonePlane { capture: None, ..Arc::into_inner(bench.plane).unwrap() };
    let caller = Caller { side: Side::Inside, address: "::1".parse().unwrap(), account: None };
    assert_eq!(answer(&plane, &caller, Bytes::new()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_overloaded_credential_check_is_no_update() {
    let bench = Bench::new(None);
    let overload = PhoneAnswer::overload(&bench.plane);
    assert_eq!((overload.status, overload.reason), (StatusCode::OK, Reason::Overload));
    assert_eq!(overload.body, NO_UPDATE);
}

async fn over_http(method: &str, body: Body) -> (StatusCode, Response) {
    let bench = Bench::new(Some(&World::new()));
    let caller = Caller { side: Side::Inside, address: "::1".parse().unwrap(), account: None };
    let request = Request::builder().method(method).uri("/RequestHandler/ucdevice.upx").body(body).unwrap();
    let response = handle(&bench.plane, caller, request).await;
    (response.status(), response)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn answers_carry_the_headers_of_the_protocol() {
    let (status, response) = over_http("POST", Body::from(installed("3.5"))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "text/xml; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(response.extensions().get::<Reason>(), Some(&Reason::NoRule));
}

#[tokio::test]
async fn other_methods_and_large_and_broken_bodies_are_refused_in_xml() {
    let broken =
        Body::from_stream(futures_util::stream::iter([Ok(Bytes::from("<a")), Err(std::io::Error::other("x"))]));
    let cases = [
        ("GET", Body::empty(), StatusCode::METHOD_NOT_ALLOWED),
        ("PUT", Body::from(installed("3.5")), StatusCode::METHOD_NOT_ALLOWED),
        ("POST", Body::from(vec![b' '; SIZE_LIMIT_BYTES + 1]), StatusCode::PAYLOAD_TOO_LARGE),
        ("POST", Body::from(vec![b' '; SIZE_LIMIT_BYTES]), StatusCode::BAD_REQUEST),
        ("POST", Body::empty(), StatusCode::BAD_REQUEST),
        ("POST", broken, StatusCode::BAD_REQUEST),
    ];
    for (method, body, expected) in cases {
        let (status, response) = over_http(method, body).await;
        assert_eq!(status, expected, "{method}");
        assert_eq!(header(&response, "allow"), if status == StatusCode::METHOD_NOT_ALLOWED { "POST" } else { "" });
        assert_eq!(header(&response, "content-type"), "text/xml; charset=utf-8");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_well_formed(std::str::from_utf8(&body).unwrap());
    }
}
