//! Requests that are wrong, or that two readers could take for two different ones: each is refused with the status of
//! decision 0015, on every kind of listener, and nothing behind it is served.

use super::harness::{FILE, HANDLER, Start};
use tests::node::TestNode;
use tests::phone::{Answer, DEADLINE, Phone, read_answer};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// A GET with these header lines after a good Host.
fn get(lines: &str) -> Vec<u8> {
    format!("GET {FILE} HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// A POST with these header lines, and a body.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}").into_bytes()
}

/// A first line, and nothing wrong after it.
fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

/// What is refused by its head.
fn heads() -> Vec<(u16, Vec<u8>)> {
    let cases = vec![
        // Line ends.
        (400, format!("GET {FILE} HTTP/1.1\nHost: a\n\n").into()),
        (400, format!("GET {FILE} HTTP/1.1\r\nHost: a\n\r\n").into()),
        (400, get("X: a\nY: b\r\n")),
        (400, get("X: a\rY: b\r\n")),
        (400, "\r\n\r\n\r\n\r\n".into()),
        // First lines.
        (400, line("GET /")),
        (400, b"GET /\r\n".to_vec()),
        (400, line(&format!("GET  {FILE} HTTP/1.1"))),
        (400, line(&format!("GET {FILE} HTTP/1.1 "))),
        (400, line(&format!("GET {FILE}\tHTTP/1.1"))),
        (400, line(&format!("G(T {FILE} HTTP/1.1"))),
        (400, line(&format!("GET {FILE} HTTPS/1.1"))),
        (400, line(&format!("GET {FILE} http/1.1"))),
        (400, b"\0\0\0\0".to_vec()),
        (400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (505, line(&format!("GET {FILE} HTTP/1.2"))),
        (505, line(&format!("GET {FILE} HTTP/3.0"))),
        // Methods.
        (501, line(&format!("get {FILE} HTTP/1.1"))),
        (501, line(&format!("PROPFIND {FILE} HTTP/1.1"))),
        (501, line("REFUSED /3 HTTP/1.1")),
        (501, line("CONNECT a:443 HTTP/1.1")),
        (501, line(&format!("TRACE {FILE} HTTP/1.1"))),
        // Targets.
        (400, line("GET * HTTP/1.1")),
        (400, line("GET a:443 HTTP/1.1")),
        (400, line("GET index.html HTTP/1.1")),
        (400, line("GET ftp://a/ HTTP/1.1")),
        (400, line("GET http:///x HTTP/1.1")),
        (400, line("GET http://a:b:c/ HTTP/1.1")),
        (400, line(&format!("GET {FILE}#x HTTP/1.1"))),
        (400, line("GET /\u{e9} HTTP/1.1")),
        (400, line("GET /\x01 HTTP/1.1")),
        (414, line(&format!("GET /{} HTTP/1.1", "x".repeat(9000)))),
        // Header lines.
        (400, get("X : a\r\n")),
        (400, get("X\r\n")),
        (400, get(": a\r\n")),
        (400, get("X(: a\r\n")),
        (400, get("X: a\r\n b\r\n")),
        (400, get(" X: a\r\n")),
        (400, get("X: a\0b\r\n")),
        (400, get("X: \x0ca\r\n")),
        (400, get("X: a\r\r\n")),
        (400, get("X: a\x7fb\r\n")),
        (431, get(&format!("X: {}\r\n", "x".repeat(20_000)))),
        (431, get(&"X: y\r\n".repeat(101))),
        // Hosts.
        (400, format!("GET {FILE} HTTP/1.1\r\n\r\n").into()),
        (400, get("Host: a\r\n")),
        (400, get("host: b\r\n")),
        (400, format!("GET {FILE} HTTP/1.1\r\nHost: a\r\r\n\r\n").into()),
        (400, format!("GET {FILE} HTTP/1.1\r\nHost: a b\r\n\r\n").into()),
        (400, format!("GET {FILE} HTTP/1.1\r\nHost: a/b\r\n\r\n").into()),
        (400, format!("GET {FILE} HTTP/1.1\r\nHost: u@a\r\n\r\n").into()),
        // Expectations.
        (417, post("Expect: 200-ok\r\nContent-Length: 1\r\n", "x")),
    ];
    [cases, lengths()].concat()
}

/// Heads that leave open where the body ends.
fn lengths() -> Vec<(u16, Vec<u8>)> {
    let lengths =
        ["\x0c5", "5, 6", "5, 5", "+5", "-5", "0x5", "5 5", "", "five", "18446744073709551615", "99999999999999999999"];
    let of = |length| (400, post(&format!("Content-Length: {length}\r\n"), "<a/>x"));
    let mut cases = Vec::from(lengths.map(of));
    cases.push((400, post("Content-Length: 5\r\nContent-Length: 6\r\n", "<a/>xy")));
    cases.push((400, post("Content-Length: 5\r\nContent-Length: 5\r\n", "<a/>x")));
    for (status, encoding) in [
        (400, "chunked, chunked"),
        (400, "chunked, gzip"),
        (501, "gzip, chunked"),
        (501, "xchunked"),
        (501, "identity"),
    ] {
        cases.push((status, post(&format!("Transfer-Encoding: {encoding}\r\n"), "0\r\n\r\n")));
    }
    for both in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
    {
        cases.push((400, post(both, "0\r\n\r\n")));
    }
    cases.push((400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")));
    let old = format!("POST {HANDLER} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    cases.push((400, old.into_bytes()));
    cases
}

/// What is refused by its body, on a phone listener.
fn bodies() -> Vec<(u16, Vec<u8>)> {
    let chunked = |chunks: &str| post("Transfer-Encoding: chunked\r\n", chunks);
    vec![
        (400, chunked("5\r\n<a/>\r\n0\r\n\r\n")),
        (400, chunked("-1\r\n\r\n0\r\n\r\n")),
        (400, chunked("g\r\n\r\n0\r\n\r\n")),
        (400, chunked("4\n<a/>\n0\n\n")),
        (400, chunked("fffffffffffffffff\r\n")),
        (400, chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(20_000)))),
        (400, chunked(&format!("1\r\nx\r\n0\r\nT: {}\r\n\r\n", "t".repeat(20_000)))),
        (413, post("Content-Length: 100000000\r\n", "")),
        (413, post("Content-Length: 100000000\r\nExpect: 100-continue\r\n", "")),
    ]
}

/// The answer to what a client wrote and then waits for, up to the end of the connection.
async fn answer(phone: &Phone, request: &[u8]) -> Answer {
    let mut connection = phone.connect().await.unwrap();
    connection.write_all(request).await.unwrap();
    read_answer(&mut connection, false).await.unwrap_or_else(|error| panic!("{error}: {}", shown(request)))
}

fn shown(request: &[u8]) -> String {
    String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned()
}

async fn check(phone: &Phone, cases: &[(u16, Vec<u8>)], content_type: &str) {
    for (status, request) in cases {
        let answer = answer(phone, request).await;
        let seen = (answer.status, answer.header("content-type"), answer.header("connection"));
        assert_eq!(seen, (*status, content_type, "close"), "{}", shown(request));
        assert!(!answer.body.is_empty(), "{}", shown(request));
    }
}

const XML: &str = "text/xml; charset=utf-8";

#[tokio::test]
async fn each_is_refused_with_its_status_on_a_plain_listener() {
    let running = Start::default().run();
    check(&running.phone(), &heads(), XML).await;
    check(&running.phone(), &bodies(), XML).await;
    let text = running.metrics.text();
    for cause in ["bare_line_feed", "several_hosts", "length_and_encoding", "tls_on_plain", "unknown_method"] {
        let start = format!("ucupdates_requests_refused_total{{listener=\"internal_http\",cause=\"{cause}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u32>().ok());
        assert!(count.expect("the metric is there") > 0, "{cause}");
    }
}

#[tokio::test]
async fn each_is_refused_with_its_status_over_tls() {
    let running = Start::default().tls().run();
    check(&running.tls_phone(), &heads(), XML).await;
    check(&running.tls_phone(), &bodies(), XML).await;
}

#[tokio::test]
async fn each_is_refused_with_its_status_on_the_management_listener() {
    let node = TestNode::start().await;
    let administrator = Phone::new(node.management()).over_tls(&node.ca_file(), "localhost");
    check(&administrator, &heads(), "application/json").await;
    // Plain HTTP where TLS is spoken.
    check(&Phone::new(node.management()), &[(400, get(""))], "application/json").await;
}

#[tokio::test]
async fn a_head_is_refused_however_it_is_cut_into_packets() {
    let running = Start::default().run();
    let check = async |request: &[u8], status: u16| {
        for size in [1, 2, 7] {
            let mut connection = running.phone().connect().await.unwrap();
            for piece in request.chunks(size) {
                connection.write_all(piece).await.unwrap();
                connection.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let answer = read_answer(&mut connection, false).await.unwrap();
            assert_eq!(answer.status, status, "{size}: {}", shown(request));
        }
    };
    check(&get("X: a\r\nHost: b\r\n"), 400).await;
    check(&get("X: a\nY: b\r\n"), 400).await;
    check(&post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ""), 400).await;
    check(&get("Connection: close\r\n"), 200).await;
    check(&post("Connection: close\r\nContent-Length: 4\r\n", "<a/>"), 400).await;
}

/// The statuses of all answers on one connection.
async fn statuses(phone: &Phone, request: &[u8]) -> Vec<u16> {
    let mut connection = phone.connect().await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut bytes);
    timeout(DEADLINE, reading).await.expect("closed in time").unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split("HTTP/1.").skip(1).map(|answer| answer[2..5].parse().unwrap()).collect()
}

#[tokio::test]
async fn what_is_good_is_answered_and_what_is_behind_a_refusal_is_not() {
    let running = Start::default().run();
    let head = format!("HEAD {FILE} HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = format!("HEAD {FILE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let check = async |request: String, expected: &[u16]| {
        assert_eq!(statuses(&running.phone(), request.as_bytes()).await, expected, "{request}");
    };
    check([&head, &head, &last].map(String::as_str).concat(), &[200, 200, 200]).await;
    // Two readers would take this for one request or two.
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(format!("{head}{smuggled}{head}"), &[200, 400]).await;
    check(format!("{head}GET / HTTP/1.1\nHost: a\n\n{head}"), &[200, 400]).await;
    // A body is told from a head, and what follows chunks is not read.
    let body = "<a/>GET / HTTP/1.1\n\n";
    check(
        format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}{last}", body.len()),
        &[400, 200],
    )
    .await;
    let chunked =
        format!("POST {HANDLER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a/>\r\n0\r\n\r\n");
    check(format!("{chunked}{head}"), &[400]).await;
    // One empty line before a request, HTTP/1.0 without a Host, a whole URL, an upgrade that is not taken up.
    check(format!("\r\n{last}"), &[200]).await;
    check(format!("HEAD {FILE} HTTP/1.0\r\n\r\n"), &[200]).await;
    check(last.replace(FILE, &format!("http://a{FILE}")), &[200]).await;
    check(head.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n") + &last, &[200, 200]).await;
    check(format!("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n{last}"), &[404, 200]).await;
}

/// `openssl s_client` sends these bytes; what came back.
async fn by_openssl(running: &super::harness::Running, request: &[u8]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-ign_eof", "-noservername", "-connect", &running.address.to_string()]);
    openssl.arg("-CAfile").arg(running.authority()).kill_on_drop(true);
    openssl
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = openssl.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(request).await.unwrap();
    input.flush().await.unwrap();
    let output = timeout(DEADLINE, child.wait_with_output()).await.expect("in time").unwrap();
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn openssl_gets_the_same_refusals() {
    let running = Start::default().tls().run();
    for (status, request) in [
        (400, get("Host: b\r\n")),
        (400, get("X: a\nY: b\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 6\r\n", "<a/>xy")),
        (400, post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        (431, get(&format!("X: {}\r\n", "x".repeat(20_000)))),
        (501, line(&format!("PROPFIND {FILE} HTTP/1.1"))),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ] {
        let told = by_openssl(&running, &request).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {told}");
        assert!(told.contains("<?xml"), "{told}");
    }
}
