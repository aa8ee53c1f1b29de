//! What a check costs inside the process, stage by stage: reading, deciding, writing, the handler, the router, a kept
//! connection. Nothing is asserted and no gate times it.
//!
//! `cargo bench --bench check` prints the time of each stage. `cargo bench --bench check -- STAGE COUNT` runs one stage so
//! many times and prints nothing: `tests/benches/profile.sh` counts its instructions and allocations so.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should stop")]

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::http::Request;
use jiff::civil::date;
use node::access_log::{self, AccessLog};
use node::audit_log::{self, AuditLimits, AuditWriter};
use node::decide::decide;
use node::listen::{Admission, AdmissionLimits, Listener, ListenerLimits, ListenerSettings};
use node::metrics::ListenerKind;
use node::phone_auth::{PhoneAuth, PhoneAuthLimits};
use node::plane::{PhoneAddress, PhonePlane, Side, Snapshot};
use node::router::{phone_router, refuse_head};
use node::update::{Caller, answer};
use node::wire::dialect::Dialect;
use node::wire::request::parse_request;
use node::wire::response::{Answer, AnswerFile, render_response};
use schema::audit::{AuditModule, AuditRecord};
use schema::device::{DeviceKey, Name};
use schema::package::{Digest, FileRole, Update, UpdateFile, UpdateTarget};
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSet, RuleSetParts, Servable, SteppingStone, StoreMark};
use schema::settings::DeviceUpdateConfiguration;
use schema::topology::{NodeName, Pool, PoolFqdn, PoolUrls, PublicUrl, ServiceId, SiteName};
use schema::version::FirmwareVersion;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sync::clock::SystemClock;
use sync::read_through::ReadThrough;
use sync::replica::Replica;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A phone that is offered an update.
const REQUEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>
<RequestDateTime>2009-03-06T17:10:39</RequestDateTime><MacAddress>0021630F207B</MacAddress>
<SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540</Model><Revision>A</Revision>
<Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>3.5.1.0</Version>
<TimeStamp>2008-12-16T04:43:58</TimeStamp></Module></Modules></Request>"#;

const HANDLER: &str = "/RequestHandler/ucdevice.upx";

/// Checks of one stage when the time is taken: fewer than the audit log's buffer holds.
const COUNT: u32 = 20_000;

/// Runs so many times.
type Stage = fn(&Bench, u32);

const STAGES: [(&str, Stage); 8] = [
    ("read", read),
    ("decide", decide_read),
    ("write", write),
    ("line", line),
    ("handler", handler),
    ("router", router),
    ("connection", connection),
    ("logged", logged),
];

/// A phone plane, and the writer that its audit log needs to take records; what waits for it is thrown away.
struct Bench {
    plane: Arc<PhonePlane>,
    runtime: Runtime,
    _writer: AuditWriter,
    _folder: TempDir,
}

fn main() {
    // cargo bench adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [] => {
            for (name, stage) in STAGES {
                let bench = Bench::new();
                stage(&bench, 100);
                let began = Instant::now();
                stage(&bench, COUNT);
                println!("{name:12} {:>8.0} ns", began.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT));
            }
        }
        [name, count] => {
            let (_, stage) = STAGES.iter().find(|(known, _)| known == name).expect("a stage's name");
            stage(&Bench::new(), count.parse().expect("a number"));
        }
        _ => panic!("expected nothing, or a stage and a count"),
    }
}

fn read(bench: &Bench, count: u32) {
    for _ in 0..count {
        black_box(parse_request(&bench.plane.dialect, black_box(REQUEST.as_bytes())).unwrap());
    }
}

fn decide_read(bench: &Bench, count: u32) {
    let request = parse_request(&bench.plane.dialect, REQUEST.as_bytes()).unwrap();
    let snapshot = bench.plane.snapshot.load_full().unwrap();
    for _ in 0..count {
        let decision = decide(black_box(&request), &snapshot.rules, &snapshot.servable);
        assert!(black_box(decision).reason().is_offer());
    }
}

fn write(bench: &Bench, count: u32) {
    let request = parse_request(&bench.plane.dialect, REQUEST.as_bytes()).unwrap();
    let snapshot = bench.plane.snapshot.load_full().unwrap();
    let decision = decide(&request, &snapshot.rules, &snapshot.servable);
    for _ in 0..count {
        let files = decision.offers().map(|update| AnswerFile::new(update, &snapshot.rules.pool().urls));
        black_box(render_response(&bench.plane.dialect, &Answer { files: files.collect() }));
    }
}

/// The line of the audit log, which its writer makes.
fn line(bench: &Bench, count: u32) {
    let request = parse_request(&bench.plane.dialect, REQUEST.as_bytes()).unwrap();
    let module = |file_name: String| AuditModule {
        file_name,
        version: request.modules[0].version,
        time_stamp: request.modules[0].time_stamp,
    };
    let record = AuditRecord {
        logged_at: bench.plane.clock.now(),
        user: request.user.clone(),
        host: "10.1.1.123".parse().unwrap(),
        device_type: request.device_type.clone(),
        request_date_time: request.request_date_time,
        mac: request.mac.clone(),
        serial: request.serial.clone(),
        vendor: request.vendor.clone(),
        model: request.model.clone(),
        revision: request.revision.clone(),
        locale: request.locale.clone(),
        requested: vec![module("cpe.nbt".to_owned())],
        offered: vec![module("http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/CPE.nbt".to_owned())],
    };
    for _ in 0..count {
        black_box(black_box(&record).line());
    }
}

fn handler(bench: &Bench, count: u32) {
    let caller = Caller { side: Side::Inside, address: "10.1.1.123".parse().unwrap(), account: None };
    bench.runtime.block_on(async {
        for _ in 0..count {
            black_box(answer(&bench.plane, &caller, REQUEST.into()).await);
        }
    });
}

fn router(bench: &Bench, count: u32) {
    let router = phone_router(Arc::clone(&bench.plane), Side::Inside, Duration::from_secs(30));
    bench.runtime.block_on(async {
        for _ in 0..count {
            let mut request = Request::post(HANDLER).body(Body::from(REQUEST)).unwrap();
            request.extensions_mut().insert(PhoneAddress("10.1.1.123".parse().unwrap()));
            black_box(router.clone().oneshot(request).await.unwrap());
        }
    });
}

/// A phone on a connection that is kept, without TLS; its own instructions, two calls of the system, are counted too.
fn connection(bench: &Bench, count: u32) {
    serve(bench, None, count);
}

/// The same, with a line of the access log.
fn logged(bench: &Bench, count: u32) {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeName::parse("node1").unwrap();
    let (log, _writer) = access_log::open(folder.path(), node, AuditLimits::default(), Arc::new(SystemClock)).unwrap();
    serve(bench, Some(Arc::new(log)), count);
}

fn serve(bench: &Bench, access: Option<Arc<AccessLog>>, count: u32) {
    let stop = CancellationToken::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let settings = ListenerSettings {
        address,
        tls: None,
        proxy_from: vec![],
        limits: ListenerLimits::default(),
        admission: Admission::new(AdmissionLimits::default()),
        refuse: refuse_head,
        counts: bench.plane.metrics.listeners.of(ListenerKind::InternalHttp),
        access,
    };
    let router = phone_router(Arc::clone(&bench.plane), Side::Inside, Duration::from_secs(30));
    bench.runtime.block_on(async {
        let listener = Listener::bind(settings).unwrap();
        let address = listener.local_address();
        let phone = tokio::task::spawn_blocking({
            let stop = stop.clone();
            move || {
                let _stop = stop.drop_guard();
                let mut stream = TcpStream::connect(address).unwrap();
                let length = REQUEST.len();
                let request = format!(
                    "POST {HANDLER} HTTP/1.1\r\nHost: ucupdates-r2\r\nUser-Agent: Microsoft UCPhone Device\r\n\
                    Content-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{REQUEST}"
                );
                let mut response = [0; 4096];
                for _ in 0..count {
                    stream.write_all(request.as_bytes()).unwrap();
                    // A response is one write of the node, and on the loopback one read.
                    let length = stream.read(&mut response).unwrap();
                    assert!(response[..length].ends_with(b"</Response>"), "{}", String::from_utf8_lossy(&response));
                }
            }
        });
        listener.serve(router, stop).await;
        phone.await.unwrap();
    });
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeName::parse("node1").unwrap();
        let (audit_log, writer) = audit_log::open(folder.path(), node, AuditLimits::default()).unwrap();
        let (rules, servable) = knowledge();
        let snapshot = Snapshot { rules: Arc::new(rules), servable: Arc::new(servable) };
        let plane = PhonePlane {
            snapshot: ArcSwapOption::from_pointee(snapshot),
            replica: Arc::new(Replica::at(folder.path())),
            read_through: ReadThrough::unanswered(),
            dialect: Dialect::default(),
            capture: None,
            audit_log,
            phone_auth: PhoneAuth::new(PhoneAuthLimits::default()),
            downloads: Default::default(),
            checks: Default::default(),
            metrics: Arc::default(),
            clock: Arc::new(SystemClock),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { plane: Arc::new(plane), runtime, _writer: writer, _folder: folder }
    }
}

/// One rule, approved, and its files.
fn knowledge() -> (RuleSet, Servable) {
    let name = |text| Name::parse(text).unwrap();
    let url = |text| PublicUrl::parse(text).ok();
    let key = DeviceKey {
        device_type: name("UCPhone"),
        brand: name("LG-Nortel"),
        model: name("IP8540"),
        revision: name("A"),
        locale: name("ENU"),
        update_type: name("CPE"),
    };
    let version: FirmwareVersion = "3.5.6907.0".parse().unwrap();
    let target = UpdateTarget::Device(key.clone());
    let file = |text, role, digest| UpdateFile {
        name: name(text),
        role,
        digest: Digest::new([digest; 32]),
        size_bytes: 1,
        time_stamp: date(2008, 12, 16).at(4, 43, 58, 0),
        path: target.store_path(version, &name(text)),
    };
    let files = vec![file("CPE.nbt", FileRole::Image, 1), file("CPE.cat", FileRole::Signature, 2)];
    let update = Update::new(target.clone(), version, files).unwrap();
    let servable = Servable::new(update.files().iter());
    let rules = RuleSet::new(RuleSetParts {
        mark: StoreMark { generation: 1, ..StoreMark::NOTHING },
        pool: Pool {
            fqdn: PoolFqdn::parse("pool01.demo.local").unwrap(),
            site: SiteName::parse("Redmond").unwrap(),
            service_id: ServiceId::parse("1-WebServices-1").unwrap(),
            urls: PoolUrls {
                internal_files: url("http://ocs.demo.local/DeviceUpdateFiles_Int"),
                external_files: url("https://ext.demo.local/DeviceUpdateFiles_Ext"),
                ..PoolUrls::default()
            },
        },
        rules: vec![(key, RuleVersions::new(Some(version), None, None).unwrap())],
        updates: vec![update],
        stepping_stones: vec![SteppingStone::of_the_original()],
        test_devices: vec![],
        configuration: DeviceUpdateConfiguration::default(),
        accounts: vec![],
    });
    (rules.unwrap(), servable)
}
