//! Clients that hold on: silent, dripping, endless. Each is answered or closed within its limit, and a real phone beside
//! thousands of them is answered as if they were not there.

use super::harness::{FILE, HANDLER, Running, Start};
use node::listen::{AdmissionLimits, LeastRate};
use std::io::Write as _;
use std::time::{Duration, Instant};
use tests::node::until;
use tests::phone::{Connection, DEADLINE, Phone, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(200);

/// How much later than its limit an answer may come on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// A listener whose limits end soon.
fn impatient() -> Start {
    Start::limits(|limits| {
        limits.header_timeout = SHORT;
        limits.idle_timeout = SHORT;
        limits.request_rate = LeastRate { bytes_per_s: 10_000, window: SHORT };
        limits.response_rate = LeastRate { bytes_per_s: 10_000, window: SHORT };
    })
}

fn post(length_bytes: usize) -> String {
    format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\nContent-Length: {length_bytes}\r\n\r\n")
}

/// Sends a byte every few milliseconds until the connection ends; what came back, and after how long.
async fn drip(mut connection: Box<dyn Connection>, first: &str, endless: &[u8]) -> (String, Duration) {
    let began = Instant::now();
    connection.write_all(first.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(connection);
    let dripping = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        for byte in endless.iter().cycle() {
            tick.tick().await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            let _ = writer.flush().await;
        }
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    tokio::select! {
        _ = timeout(DEADLINE, reader.read_to_end(&mut bytes)) => {}
        () = dripping => {}
    }
    (String::from_utf8_lossy(&bytes).into_owned(), began.elapsed())
}

async fn refusals(running: &Running, cause: &str) {
    let start = format!("ucupdates_connections_refused_total{{listener=\"internal_http\",cause=\"{cause}\"}} ");
    let count = || running.metrics.text().lines().find_map(|line| line.strip_prefix(&start)?.parse::<u32>().ok());
    until(|| count().expect("the metric is there") > 0).await;
}

#[tokio::test]
async fn who_is_silent_is_closed() {
    for start in [impatient(), impatient().tls()] {
        let tls = start.tls;
        let running = start.run();
        let phone = if tls { running.tls_phone() } else { running.phone() };
        let mut silent = phone.connect().await.unwrap();
        let mut bytes = Vec::new();
        let _ = timeout(SLACK, silent.read_to_end(&mut bytes)).await.expect("closed in time");
        assert!(bytes.is_empty());
        refusals(&running, "silent").await;
    }
}

#[tokio::test]
async fn a_head_that_drips_is_answered_408_and_no_byte_of_it_extends_the_limit() {
    for start in [impatient(), impatient().tls()] {
        let tls = start.tls;
        let running = start.run();
        let phone = if tls { running.tls_phone() } else { running.phone() };
        let (told, took) = drip(phone.connect().await.unwrap(), "GET / HTTP/1.1\r\nX: ", b"x").await;
        assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("<?xml"), "{told}");
        assert!(took >= SHORT && took < SHORT + SLACK, "{took:?}");
    }
}

#[tokio::test]
async fn a_second_head_that_drips_has_its_own_limit() {
    let running = impatient().run();
    let first = format!("HEAD {FILE} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX: ");
    let (told, took) = drip(running.phone().connect().await.unwrap(), &first, b"x").await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("HTTP/1.1 408 "), "{told}");
    assert!(took < SHORT + SLACK, "{took:?}");
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408() {
    for start in [impatient(), impatient().tls()] {
        let tls = start.tls;
        let running = start.run();
        let phone = if tls { running.tls_phone() } else { running.phone() };
        let (told, took) = drip(phone.connect().await.unwrap(), &post(50_000), b"x").await;
        assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("<?xml"), "{told}");
        assert!(took < SHORT + SLACK, "{took:?}");
        refusals(&running, "slow_sender").await;
        let chunked = post(0).replace("Content-Length: 0", "Transfer-Encoding: chunked") + "fff\r\n";
        let (told, _) = drip(phone.connect().await.unwrap(), &chunked, b"x").await;
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    }
}

#[tokio::test]
async fn a_reader_that_takes_a_little_now_and_then_is_cut_off() {
    let mut start = impatient();
    start.size_bytes = 24 << 20;
    let running = start.run();
    let mut reader = running.phone().connect().await.unwrap();
    reader.write_all(format!("GET {FILE} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut taken = 0;
    let deadline = Instant::now() + SLACK;
    let mut piece = [0; 16];
    let cut = "ucupdates_connections_refused_total{listener=\"internal_http\",cause=\"slow_reader\"} 1";
    while !running.metrics.text().contains(cut) {
        assert!(Instant::now() < deadline, "still served after {taken} bytes");
        if let Ok(Ok(length)) = timeout(Duration::from_millis(10), reader.read(&mut piece)).await {
            taken += length;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_without_being_kept() {
    let running = Start::default().run();
    let chunked = post(0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    for (head, first) in [(post(100_000_000), ""), (chunked, "5f5e100\r\n")] {
        let mut connection = TcpStream::connect(running.address).await.unwrap();
        connection.write_all((head + first).as_bytes()).await.unwrap();
        let (mut reader, mut writer) = connection.split();
        let piece = vec![b'x'; 64 * 1024];
        let sending = async {
            for _ in 0..1526 {
                if writer.write_all(&piece).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut start = [0; 12];
        tokio::select! {
            read = timeout(DEADLINE, reader.read_exact(&mut start)) => { read.unwrap().unwrap(); }
            () = sending => {}
        }
        assert_eq!(String::from_utf8_lossy(&start), "HTTP/1.1 413");
    }
}

fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn xml_that_is_meant_to_cost_is_answered_at_once() {
    let running = Start::default().run();
    let request = |inside: &str| format!("<Request><DeviceType>UCPhone</DeviceType>{inside}</Request>");
    let dtd = format!("<!DOCTYPE Request [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>{}", request("&b;"));
    let external = format!("<!DOCTYPE Request SYSTEM \"file:///etc/passwd\">{}", request(""));
    let module = "<Module><FileName>cpe.nbt</FileName><Version>1.0.0.0</Version></Module>";
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=''")).collect();
    let fitting: String = (0..6_000).map(|n| format!(" a{n}=''")).collect();
    let cases = [
        (400, dtd.into_bytes()),
        (400, external.into_bytes()),
        (200, utf16(&request(module))),
        (400, utf16(&format!("<!DOCTYPE a>{}", request(module)))),
        (400, ["<a>".repeat(10_000), "</a>".repeat(10_000)].concat().as_bytes()[..64_000].to_vec()),
        (400, format!("<a>{}", "<b>".repeat(33)).into_bytes()),
        (413, format!("<Request{attributes}/>").into_bytes()),
        (400, format!("<Request{fitting}/>").into_bytes()),
        (400, "&amp;".repeat(13_000).into_bytes()),
        (400, vec![0xFF; 65_536]),
        (400, Vec::new()),
    ];
    for (status, body) in cases {
        let began = Instant::now();
        let mut connection = running.phone().connect().await.unwrap();
        let head = post(body.len()).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        // A refusal may come before all is sent.
        let _ = connection.write_all(&body).await;
        let answer = read_answer(&mut connection, false).await.unwrap();
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!((answer.status, answer.text().starts_with("<?xml")), (status, true), "{start}: {}", answer.text());
        assert!(began.elapsed() < SLACK, "{start}: {:?}", began.elapsed());
    }
}

const HELD: usize = 2000;

/// Raises the limit of descriptors: each connection has two ends in this process.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = (HELD as u64) * 2 + 2000;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).unwrap();
    }
}

/// How long a check on a connection of its own takes.
async fn check_time(phone: &Phone) -> Duration {
    let body = "<Request><DeviceType>UCPhone</DeviceType><Vendor>x</Vendor><Module><FileName>cpe.nbt</FileName>\
                <Version>1.0.0.0</Version></Module></Request>";
    let began = Instant::now();
    let answer = phone.post(HANDLER, body).await.unwrap();
    let took = began.elapsed();
    assert!(answer.status == 200 && answer.text().contains("NumOfFiles"), "{}", answer.text());
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Opens a connection that holds on in one of several ways.
fn hold(running: &Running, kind: usize) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(running.address).unwrap();
    let first = match kind % 5 {
        0 => String::new(),
        1 => "GET / HT".to_owned(),
        2 => "GET / HTTP/1.1\r\nHost: a\r\nX-Y: ".to_owned(),
        3 => post(50_000) + "<Request>",
        _ => format!("GET {FILE} HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    stream.write_all(first.as_bytes()).unwrap();
    stream
}

/// Checks of each of the two listeners that are compared.
const CHECKS: usize = 201;

/// Held connections that drip a byte before each check: what two thousand send in the time of one, and more.
const DRIPS: usize = 8;

/// The calm is that of another listener of the same kind, which nobody holds. The two are asked in turn, so that a machine
/// that is busy with other tests is as busy for the one as for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_beside_two_thousand_held_connections_is_answered_within_twice_its_calm_time() {
    raise_descriptors();
    // None is cut off before the phone has asked: it is the holding on that is looked at.
    let start = || {
        let admission = AdmissionLimits { per_address: HELD + 100, ..AdmissionLimits::default() };
        let patient =
            Start::limits(|limits| (limits.header_timeout, limits.idle_timeout) = (DEADLINE * 3, DEADLINE * 3));
        Start { admission, size_bytes: 8 << 20, request_timeout: DEADLINE * 3, ..patient }.run()
    };
    let (quiet, running) = (start(), start());
    let mut held: Vec<_> = (0..HELD).map(|kind| hold(&running, kind)).collect();
    let open = || {
        let text = running.metrics.text();
        let of = |state: &str| {
            let start = format!("ucupdates_connections{{listener=\"internal_http\",state=\"{state}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
            line.parse::<usize>().unwrap()
        };
        of("idle") + of("active")
    };
    until(|| open() >= HELD).await;
    let (mut calm, mut beside) = (Vec::new(), Vec::new());
    let mut dripping = (0..HELD).filter(|kind| kind % 5 == 2).cycle();
    for _ in 0..CHECKS {
        calm.push(check_time(&quiet.phone()).await);
        for at in dripping.by_ref().take(DRIPS) {
            held[at].write_all(b"T").unwrap();
        }
        beside.push(check_time(&running.phone()).await);
    }
    assert!(open() >= HELD, "they are still there");
    drop(held);
    until(|| open() < HELD / 10).await;
    let (calm, beside) = (median(calm), median(beside));
    println!("a check takes {calm:?} in the calm, {beside:?} beside {HELD} held connections");
    assert!(beside <= calm * 2, "{beside:?} beside {HELD} held connections, {calm:?} in the calm");
}

#[tokio::test]
async fn when_held_connections_take_every_place_a_phone_still_gets_in() {
    let admission = AdmissionLimits { connections: 50, per_address: 1000, room_after: Duration::from_millis(100) };
    let running = Start { admission, ..Start::default() }.run();
    let held: Vec<_> = (0..200).map(|kind| hold(&running, kind % 4)).collect();
    for _ in 0..5 {
        let answer = timeout(DEADLINE, running.phone().get(FILE)).await.unwrap().unwrap();
        assert!(answer.body == running.content);
    }
    drop(held);
}
