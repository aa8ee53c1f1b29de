//! `/live`, `/ready` and `/metrics`: what is answered, to whom, and that no cache keeps it. And what a node counts is
//! what happened.

use super::{ask, scraped};
use tests::node::{TestNode, set};
use tests::phone::Phone;

#[tokio::test]
async fn a_node_that_serves_is_live_and_ready_and_says_so_anew_each_time() {
    let node = TestNode::start().await;
    for (path, said) in [("/live", "live"), ("/ready", "ready")] {
        let answer = ask(&node, path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().starts_with(said), "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let ids = [ask(&node, "/live", &[]).await, ask(&node, "/api/v1/status", &[]).await];
    let ids = ids.each_ref().map(|answer| answer.header("x-request-id").to_owned());
    assert!(ids.iter().all(|id| id.len() == 16) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let node = TestNode::start().await;
    let classic = ask(&node, "/metrics", &[]).await;
    assert_eq!(classic.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(classic.header("cache-control"), "no-store");
    assert!(classic.text().contains("# TYPE ucupdates_checks_total counter\n"));
    let asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open_metrics = ask(&node, "/metrics", &[("Accept", asked)]).await;
    let kind = open_metrics.header("content-type");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(open_metrics.text().contains("# TYPE ucupdates_checks counter\n"));
    assert!(open_metrics.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_ask_for_a_token_only_where_one_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "s3cret\nnot this line\n").unwrap();
    let node = TestNode::start_with(|config| set(config, "metrics.token_file", token_file.to_str().unwrap())).await;
    for wrong in ["", "Bearer s3cre", "Bearer not this line", "Bearer ucu_test", "Basic s3cret"] {
        let answer = ask(&node, "/metrics", &[("Authorization", wrong)]).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{wrong}");
        assert!(!answer.text().contains("ucupdates_"), "{wrong}");
    }
    assert_eq!(ask(&node, "/metrics", &[("Authorization", "Bearer s3cret")]).await.status, 200);
    for open in ["/live", "/ready"] {
        assert_eq!(ask(&node, open, &[]).await.status, 200, "{open}");
    }
    std::fs::write(&token_file, "\n").unwrap();
    let empty = node.refused_start(|config| set(config, "metrics.token_file", token_file.to_str().unwrap())).await;
    assert!(empty.contains("[metrics] token_file") && empty.contains("is empty"), "{empty}");
}

#[tokio::test]
async fn what_is_counted_is_what_happened() {
    let node = TestNode::start().await;
    let inside = Phone::new(node.addresses.internal_http[0]);
    let outside = Phone::new(node.addresses.external_https[0]).over_tls(&node.ca_file(), "localhost");
    let handler = "/RequestHandler/ucdevice.upx";
    let request = "<Request><DeviceType>UCPhone</DeviceType><Vendor>V</Vendor><Model>M</Model>\
                   <Module><FileName>cpe.nbt</FileName><Version>1.0.0.0</Version></Module></Request>";
    let bodies = [request, request, "<!DOCTYPE a><a/>", "<a", "<other/>", &"x".repeat(70_000)];
    for body in bodies {
        inside.post(handler, body).await.unwrap();
    }
    outside.post(handler, request).await.unwrap();
    let wrong = [("Authorization", "Basic bm9ib2R5Ondyb25n")];
    outside.ask("POST", handler, &wrong, request.as_bytes()).await.unwrap();
    ask(&node, "/api/v1/nothing", &[]).await;
    ask(&node, "/api/v1/rules", &[]).await;
    let text = node.file("no.cab", b"this is no cabinet, and long enough to be looked at");
    assert_eq!(node.cli(&["import", text.to_str().unwrap()]).await.code, 1);
    let scrape = scraped(&node).await;
    let expected = [
        ("ucupdates_checks_total{reason=\"no_rule\"}", 2.0),
        ("ucupdates_checks_total{reason=\"unreadable\"}", 4.0),
        ("ucupdates_checks_total{reason=\"anonymous_refused\"}", 2.0),
        ("ucupdates_checks_total{reason=\"offered\"}", 0.0),
        ("ucupdates_unreadable_requests_total{cause=\"dtd\"}", 1.0),
        ("ucupdates_unreadable_requests_total{cause=\"ill_formed\"}", 1.0),
        ("ucupdates_unreadable_requests_total{cause=\"no_known_field\"}", 1.0),
        ("ucupdates_unreadable_requests_total{cause=\"too_large\"}", 1.0),
        ("ucupdates_credential_checks_total{verdict=\"anonymous\"}", 1.0),
        ("ucupdates_credential_checks_total{verdict=\"wrong\"}", 1.0),
        ("ucupdates_credential_slots_in_use", 0.0),
        ("ucupdates_api_requests_total{route=\"other\",method=\"other\",class=\"4xx\"}", 1.0),
        ("ucupdates_api_requests_total{route=\"/api/v1/rules\",method=\"GET\",class=\"4xx\"}", 1.0),
        ("ucupdates_imports_total{outcome=\"refused\"}", 1.0),
        ("ucupdates_imports_total{outcome=\"imported\"}", 0.0),
        ("ucupdates_import_received_bytes_total", 51.0),
    ];
    for (series, value) in expected {
        assert_eq!(scrape.value(series), value, "{series}");
    }
    // 825 days from the node's clock, in whole days.
    let expires = scrape.value("ucupdates_certificate_expiry_timestamp_seconds{key=\"ecdsa\"}");
    let start = "2026-01-05T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second() as f64;
    assert_eq!(expires, start + 825.0 * 86_400.0);
    assert!(scrape.value("ucupdates_disk_free_bytes{folder=\"store\"}") > 0.0);
    assert!(scrape.value("process_open_fds") > 5.0 && scrape.value("process_cpu_seconds_total") > 0.0);
    assert!(scrape.value("ucupdates_runtime_tasks") > 2.0);
}
