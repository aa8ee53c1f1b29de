//! Connections and requests of the listeners: how many are open, what was answered, and what was refused and why. The
//! counts of one listener are one [`ListenerCounts`], taken once when it is bound: no look-up on a phone's way.

use super::closed_enum;
use crate::listen::HeadFault;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

closed_enum! {
    /// The kinds of listeners of a node.
    pub enum ListenerKind {
        /// Phones inside, plain.
        InternalHttp = "internal_http",
        /// Phones inside, TLS.
        InternalHttps = "internal_https",
        /// Phones outside, TLS.
        ExternalHttps = "external_https",
        /// Administrators, TLS.
        ManagementHttps = "management_https",
    }
}

closed_enum! {
    /// What an open connection is doing.
    pub enum ConnectionState {
        /// Not yet ready for a request: PROXY header, TLS handshake.
        Handshake = "handshake",
        /// Waits for a request's head.
        Idle = "idle",
        /// A request is received or answered.
        Active = "active",
    }
}

closed_enum! {
    /// Why a connection was ended by the node, or ended before its first request.
    pub enum ConnectionRefusal {
        /// Its address has as many connections as it may have.
        AddressLimit = "address_limit",
        /// It waited longest for its client when a new connection needed the place.
        MadeRoom = "made_room",
        /// The peer is not a listed balancer.
        NotListed = "not_listed",
        /// No PROXY protocol v2 header that can be used.
        ProxyHeader = "proxy_header",
        /// No TLS handshake.
        Tls = "tls",
        /// The PROXY header or the handshake took too long.
        SlowHandshake = "slow_handshake",
        /// No byte of a first request came in time.
        Silent = "silent",
        /// The body of a request came below the least rate.
        SlowSender = "slow_sender",
        /// The response was taken below the least rate.
        SlowReader = "slow_reader",
        /// The socket failed.
        Socket = "socket",
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of one kind of listener.
#[derive(Debug, Default)]
pub struct ListenerCounts {
    accepted: Counter,
    open: [Gauge; ConnectionState::COUNT],
    connections_refused: [Counter; ConnectionRefusal::COUNT],
    requests_refused: [Counter; HeadFault::COUNT],
    responses: [Counter; CLASSES.len()],
}

impl ListenerCounts {
    /// A connection was accepted.
    pub fn accept(&self) {
        self.accepted.inc();
    }

    /// A connection is now in this state.
    pub fn enter(&self, state: ConnectionState) {
        self.open[state as usize].inc();
    }

    /// A connection is no longer in this state.
    pub fn leave(&self, state: ConnectionState) {
        self.open[state as usize].dec();
    }

    /// A connection was refused or cut off.
    pub fn refuse_connection(&self, refusal: ConnectionRefusal) {
        self.connections_refused[refusal as usize].inc();
    }

    /// A request's head was refused.
    pub fn refuse_request(&self, fault: HeadFault) {
        self.requests_refused[fault as usize].inc();
    }

    /// A response has begun.
    pub fn respond(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        self.responses[class.min(CLASSES.len() - 1)].inc();
    }
}

/// All listeners.
#[derive(Debug)]
pub struct ListenerMetrics {
    listeners: [Arc<ListenerCounts>; ListenerKind::COUNT],
}

type Labels = [(&'static str, &'static str); 2];

impl ListenerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let accepted = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register("connections_accepted", "Connections accepted, by listener", accepted.clone());
        let open = Family::<Labels, Gauge>::default();
        registry.register("connections", "Connections open, by listener and state", open.clone());
        let connections_refused = Family::<Labels, Counter>::default();
        let help = "Connections that the node refused or cut off, by listener and cause";
        registry.register("connections_refused", help, connections_refused.clone());
        let requests_refused = Family::<Labels, Counter>::default();
        let help = "Requests whose head was refused, by listener and cause";
        registry.register("requests_refused", help, requests_refused.clone());
        let responses = Family::<Labels, Counter>::default();
        registry.register("responses", "Responses begun, by listener and class of their status", responses.clone());
        let listeners = ListenerKind::all().map(|kind| {
            let of = |name, value| [("listener", kind.as_str()), (name, value)];
            Arc::new(ListenerCounts {
                accepted: accepted.get_or_create_owned(&[("listener", kind.as_str())]),
                open: ConnectionState::all().map(|state| open.get_or_create_owned(&of("state", state.as_str()))),
                connections_refused: ConnectionRefusal::all()
                    .map(|cause| connections_refused.get_or_create_owned(&of("cause", cause.as_str()))),
                requests_refused: HeadFault::all()
                    .map(|fault| requests_refused.get_or_create_owned(&of("cause", fault.as_str()))),
                responses: CLASSES.map(|class| responses.get_or_create_owned(&of("class", class))),
            })
        });
        Self { listeners }
    }

    /// What is counted of this kind of listener.
    pub fn of(&self, kind: ListenerKind) -> Arc<ListenerCounts> {
        Arc::clone(&self.listeners[kind as usize])
    }
}
