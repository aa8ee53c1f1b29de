//! Requests to the management listener. The label is the route, never the path that was asked for; what matches no
//! route is `other`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::time::Duration;

/// Upper ends of the histogram's buckets, in seconds.
const SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 3.0, 15.0, 120.0];

/// Every route of the management listener and the methods that it answers; a test compares it with the router.
pub(crate) const ROUTES: [(&str, &[&str]); 25] = [
    ("/api/v1/status", &["GET"]),
    ("/api/v1/packages", &["GET", "POST"]),
    ("/api/v1/rules", &["GET"]),
    ("/api/v1/rules/approve", &["POST"]),
    ("/api/v1/rules/reset", &["POST"]),
    ("/api/v1/rules/restore", &["POST"]),
    ("/api/v1/rules/remove", &["POST"]),
    ("/api/v1/test-devices", &["GET", "POST", "PATCH", "DELETE"]),
    ("/api/v1/configuration", &["GET", "POST", "PATCH", "DELETE"]),
    ("/api/v1/nodes", &["GET", "DELETE"]),
    ("/api/v1/pools", &["GET", "POST", "PATCH"]),
    ("/api/v1/stepping-stones", &["GET", "POST", "DELETE"]),
    ("/api/v1/accounts", &["GET", "POST", "PATCH", "DELETE"]),
    ("/api/v1/tokens", &["GET", "POST", "DELETE"]),
    ("/api/v1/admin-events", &["GET"]),
    ("/api/v1/admin-events/verify", &["GET"]),
    ("/api/v1/files/clear", &["POST"]),
    ("/api/v1/logs/clear", &["POST"]),
    ("/api/v1/replicas", &["GET"]),
    ("/api/v1/explain", &["GET"]),
    ("/api/v1/snapshot", &["GET"]),
    ("/live", &["GET"]),
    ("/ready", &["GET"]),
    ("/metrics", &["GET"]),
    (OTHER, &[OTHER]),
];

/// No route, or a method that the route does not answer.
const OTHER: &str = "other";

/// Classes of status, by their first digit less two.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Requests of administrators.
#[derive(Debug)]
pub struct ApiMetrics {
    routes: HashMap<(&'static str, &'static str), Route>,
}

#[derive(Debug)]
struct Route {
    by_class: [Counter; CLASSES.len()],
    duration: Histogram,
}

impl ApiMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = Family::<[(&'static str, &'static str); 3], Counter>::default();
        let help = "Requests to the management listener, by route, method and class of status";
        registry.register("api_requests", help, requests.clone());
        let durations = Family::<[(&'static str, &'static str); 1], Histogram>::new_with_constructor(duration);
        let help = "From the head of a request to the management listener to that of its response, by route";
        registry.register_with_unit("api_request_duration", help, Unit::Seconds, durations.clone());
        let mut routes = HashMap::new();
        for (route, methods) in ROUTES {
            for &method in methods {
                let by_class = CLASSES.map(|class| {
                    requests.get_or_create_owned(&[("route", route), ("method", method), ("class", class)])
                });
                let duration = durations.get_or_create_owned(&[("route", route)]);
                routes.insert((route, method), Route { by_class, duration });
            }
        }
        Self { routes }
    }

    /// Counts a request that was answered.
    pub fn answered(&self, route: Option<&str>, method: &http::Method, status: http::StatusCode, took: Duration) {
        let known = route.and_then(|route| self.routes.get(&(route, method.as_str())));
        let Some(route) = known.or_else(|| self.routes.get(&(OTHER, OTHER))) else { return };
        let place = usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES.len() - 1);
        route.by_class[place].inc();
        route.duration.observe(took.as_secs_f64());
    }
}

fn duration() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_with_its_method_is_a_label() {
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let answered = |route, method, status: u16| {
            metrics.answered(route, &method, status.try_into().unwrap(), Duration::from_millis(30));
        };
        answered(Some("/api/v1/rules"), http::Method::GET, 200);
        answered(Some("/api/v1/rules"), http::Method::DELETE, 405);
        answered(None, http::Method::GET, 404);
        answered(None, http::Method::from_bytes(b"HACK").unwrap(), 599);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "api_requests_total{route=\"/api/v1/rules\",method=\"GET\",class=\"2xx\"} 1",
            "api_requests_total{route=\"other\",method=\"other\",class=\"4xx\"} 2",
            "api_requests_total{route=\"other\",method=\"other\",class=\"5xx\"} 1",
            "api_request_duration_seconds_bucket{le=\"0.1\",route=\"/api/v1/rules\"} 1",
            "api_request_duration_seconds_bucket{le=\"0.025\",route=\"/api/v1/rules\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("HACK"));
    }

    /// Every `.route(...)` of the router, as its source has it.
    fn routes_of_the_source() -> Vec<(String, Vec<String>)> {
        let (source, _) = include_str!("../api.rs").split_once(".fallback(").unwrap();
        let pieces = source.split(".route(").skip(1);
        let routes = pieces.map(|piece| {
            let path = piece.split('"').nth(1).unwrap();
            let outside = ["/live", "/ready", "/metrics"].contains(&path);
            let path = if outside { path.to_owned() } else { format!("/api/v1{path}") };
            let methods = ["get", "post", "patch", "delete"].into_iter();
            let methods = methods.filter(|method| piece.contains(&format!("{method}(")));
            (path, methods.map(str::to_uppercase).collect())
        });
        routes.collect()
    }

    #[test]
    fn every_route_of_the_router_is_in_the_list_with_its_methods() {
        let listed = ROUTES.into_iter().filter(|(route, _)| *route != OTHER);
        let listed: Vec<(String, Vec<String>)> = listed
            .map(|(route, methods)| (route.to_owned(), methods.iter().map(|&method| method.to_owned()).collect()))
            .collect();
        assert_eq!(routes_of_the_source(), listed);
    }
}
