//! What nobody gets by way of the balancer: the API, and being treated as inside for saying so.

use super::{HANDLER, IMAGE, request};
use std::net::SocketAddr;
use tests::balancer::{BalancedPool, Vip};
use tests::phone::{Answer, Phone, proxy_header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// What the management listener answers, and what the balancer's own page does.
const NOT_FOR_PHONES: [&str; 12] = [
    "/",
    "/live",
    "/ready",
    "/metrics",
    "/api/v1",
    "/api/v1/status",
    "/api/v1/rules",
    "/api/v1/openapi.json",
    "/RequestHandler/../api/v1/status",
    "/RequestHandler/Files/../../metrics",
    "/DeviceUpdateFiles_Int/%2e%2e/metrics",
    "/;csv",
];

#[tokio::test]
async fn the_api_is_on_no_vip() {
    let pool = BalancedPool::start(1, |_| {}).await;
    for vip in Vip::OF_PHONES {
        for path in NOT_FOR_PHONES {
            for method in ["GET", "POST"] {
                let answer = pool.phone(vip).ask(method, path, &[("Authorization", "Bearer ucu_test")], b"").await;
                let Answer { status, .. } = answer.as_ref().unwrap();
                let text = answer.as_ref().unwrap().text();
                assert!(*status == 404 && text.starts_with("<?xml"), "{vip:?} {method} {path}: {answer:?}");
            }
        }
    }
    // On the legacy VIP's two listeners the balancer itself said so: what reached a node begins like a phone's path.
    let page = pool.page("/;csv").await.unwrap();
    let legacy = page.lines().find(|line| line.starts_with("nodes_legacy,BACKEND,")).unwrap();
    let alike = ["/RequestHandler/Files/", "/DeviceUpdateFiles_Int/"];
    let alike = NOT_FOR_PHONES.iter().filter(|path| alike.iter().any(|start| path.starts_with(start))).count();
    let connections = (2 * 2 * alike).to_string();
    assert_eq!(legacy.split(',').nth(7), Some(connections.as_str()), "{legacy}");
    let status = pool.page("/metrics").await.unwrap();
    assert!(status.contains("haproxy_server_status{proxy=\"nodes_internal_http\",server=\"node1\",state=\"UP\"} 1"));
}

/// Headers by which a client may say that it is somebody else, somewhere else.
const SPOOFED: [(&str, &str); 20] = [
    ("X-Forwarded-For", "10.1.1.123"),
    ("X-Forwarded-For", "127.0.0.1, 10.1.1.90"),
    ("X-Forwarded-Host", "pool01.demo.local"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Port", "80"),
    ("X-Forwarded-Server", "pool01.demo.local"),
    ("Forwarded", "for=10.1.1.123;proto=http;by=10.1.1.90"),
    ("Forwarded", "for=\"[::1]\""),
    ("X-Real-IP", "10.1.1.123"),
    ("X-Client-IP", "127.0.0.1"),
    ("X-Cluster-Client-IP", "10.1.1.123"),
    ("True-Client-IP", "10.1.1.123"),
    ("CF-Connecting-IP", "10.1.1.123"),
    ("X-Originating-IP", "[127.0.0.1]"),
    ("X-Remote-IP", "10.1.1.123"),
    ("X-Remote-User", "administrator"),
    ("X-Original-URL", "/RequestHandler/ucdevice.upx"),
    ("X-Rewrite-URL", "/RequestHandler/ucdevice.upx"),
    ("Via", "1.1 pool01.demo.local"),
    ("X-ProxyUser-Ip", "10.1.1.123"),
];

/// Both families of paths, a check and a download.
const ASKED: [(&str, &str); 5] = [
    ("POST", HANDLER),
    ("POST", "/RequestHandlerExt/ucdevice.upx"),
    ("GET", "/DeviceUpdateFiles_Int/"),
    ("GET", "/RequestHandlerExt/Files/"),
    ("GET", "/DeviceUpdateFiles_Ext/"),
];

async fn spoof(phone: Phone, number: usize) -> Result<(), String> {
    let (method, path) = ASKED[number % ASKED.len()];
    let path = if path.ends_with('/') { format!("{path}{IMAGE}") } else { path.to_owned() };
    let body = if method == "POST" { request("0021630F2099") } else { String::new() };
    // One header alone, then more and more of them together.
    let from = number / ASKED.len() % SPOOFED.len();
    let headers: Vec<_> = SPOOFED.iter().cycle().skip(from).take(1 + number / 100).copied().collect();
    let answer = phone.ask(method, &path, &headers, body.as_bytes()).await.map_err(|error| format!("{error:#}"))?;
    let refused = answer.status == 401
        && answer.header("www-authenticate").starts_with("Basic")
        && answer.header("content-type").starts_with("text/xml")
        && answer.text().starts_with("<?xml");
    if refused { Ok(()) } else { Err(format!("{method} {path} {headers:?}: {answer:?}")) }
}

#[tokio::test]
async fn a_thousand_spoofed_forwarding_headers_leave_a_phone_outside() {
    let pool = BalancedPool::start(1, |_| {}).await;
    let phone = pool.phone(Vip::ExternalHttps);
    let mut lanes = JoinSet::new();
    for lane in 0..10 {
        let phone = phone.clone();
        lanes.spawn(async move {
            for number in (lane..1000).step_by(10) {
                spoof(phone.clone(), number).await?;
            }
            Ok::<_, String>(())
        });
    }
    let ended = lanes.join_all().await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert_eq!(pool.audit_lines("0021630F2099"), Vec::<String>::new());
    let metrics = pool.nodes[0].metrics().await;
    let refused =
        metrics.lines().find(|line| line.starts_with("ucupdates_checks_total") && line.contains("anonymous_refused"));
    assert!(refused.is_some_and(|line| line.ends_with(" 400")), "{refused:?}");
}

/// What a peer that is not the balancer gets from a node's own listener: bytes until it is closed.
async fn from(peer: &str, listener: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(peer.parse().unwrap(), 0)).unwrap();
    let mut stream = socket.connect(listener).await.unwrap();
    let mut answer = Vec::new();
    // It may be closed before it has written.
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.read_to_end(&mut answer).await;
    }
    answer
}

#[tokio::test]
async fn a_peer_that_is_not_the_listed_balancer_is_closed_by_the_node() {
    let pool = BalancedPool::start(1, |_| {}).await;
    let http = b"GET /live HTTP/1.1\r\nHost: node1\r\nConnection: close\r\n\r\n";
    let forged = [proxy_header("10.1.1.123".parse().unwrap()), http.to_vec()].concat();
    for port in [8080, 8443, 4443] {
        let listener = SocketAddr::new(pool.nodes[0].management.ip(), port);
        assert_eq!(from("127.0.0.9", listener, &forged).await, b"", "{port}");
        assert_eq!(from("127.0.0.9", listener, http).await, b"", "{port}");
        // The balancer itself must say who the client is.
        assert_eq!(from("127.0.0.1", listener, http).await, b"", "{port}");
    }
    let listener = SocketAddr::new(pool.nodes[0].management.ip(), 8080);
    assert!(
        from("127.0.0.1", listener, &forged).await.starts_with(b"HTTP/1.1 404"),
        "listed, and it introduces its client"
    );
}
