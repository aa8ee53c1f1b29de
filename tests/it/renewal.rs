//! Certificates that a node made itself are renewed before they expire, while it runs.

use tests::database::wait_until;
use tests::node::TestNode;
use tokio::process::Command;

async fn openssl(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().await.unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The certificate that phones are shown, put into this file; and its serial number.
async fn shown(node: &TestNode, file: &str) -> String {
    let (address, path) = (node.addresses.internal_https[0], node.folder.path().join(file));
    let connect = format!("openssl s_client -connect {address} </dev/null 2>/dev/null");
    openssl(&format!(
        "{connect} | openssl x509 -out {path} && openssl x509 -noout -serial -in {path}",
        path = path.display()
    ))
    .await
}

/// Whether phones that know the authority in this file take the certificate at a time, in seconds since 1970.
async fn is_taken(node: &TestNode, authority: &str, file: &str, at: i64) -> bool {
    let [authority, path] = [authority, file].map(|name| node.folder.path().join(name).display().to_string());
    openssl(&format!("openssl verify -attime {at} -CAfile {authority} {path}")).await.ends_with(": OK\n")
}

#[tokio::test]
async fn a_nodes_own_certificates_are_renewed_a_month_before_they_expire() {
    let node = TestNode::start().await;
    std::fs::copy(node.ca_file(), node.folder.path().join("known.pem")).unwrap();
    let first = shown(&node, "first.pem").await;
    assert!(first.starts_with("serial="), "{first}");
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    // They are valid for 825 days, and renewed 30 days before.
    node.clock.set("2028-03-12T12:00:00Z");
    node.look_at_certificates();
    wait_until("a new certificate is served", async || shown(&node, "second.pem").await != first).await;
    let after = seconds("2028-05-01T00:00:00Z");
    assert!(!is_taken(&node, "known.pem", "first.pem", after).await, "the first has expired by then");
    assert!(is_taken(&node, "data/tls/ca.pem", "second.pem", after).await);
    assert!(is_taken(&node, "known.pem", "first.pem", seconds("2028-03-12T12:00:00Z")).await);
}
