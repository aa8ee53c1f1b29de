//! The listeners of a node, from its configuration: certificates, limits, and which router stands where.

use super::Addresses;
use crate::access_log::AccessLog;
use crate::api::{self, Admin};
use crate::config::{Config, ListenerSection};
use crate::listen::{Admission, HeadFault, Listener, ListenerLimits, ListenerSettings};
use crate::metrics::{ListenerCounts, ListenerKind};
use crate::newest_rules::NewestRules;
use crate::plane::{PhonePlane, Side};
use crate::router::{phone_router, refuse_head};
use crate::tls::{self, CertificateFiles, CertificateSource, ServedCertificates, Tickets};
use axum::response::Response;
use axum::{Extension, Router};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn configured_files(config: &Config) -> Vec<CertificateFiles> {
    let tls = &config.tls;
    let pair = |chain: &Option<PathBuf>, key: &Option<PathBuf>| {
        Some(CertificateFiles { chain: chain.clone()?, key: key.clone()? })
    };
    let ecdsa = pair(&tls.ecdsa_certificate_file, &tls.ecdsa_key_file);
    ecdsa.into_iter().chain(pair(&tls.rsa_certificate_file, &tls.rsa_key_file)).collect()
}

/// Where the certificates come from: files, or else a private authority in `folder`.
pub(super) fn certificate_source(config: &Config, folder: &Path) -> CertificateSource {
    let files = configured_files(config);
    if !files.is_empty() {
        return CertificateSource::Configured(files);
    }
    CertificateSource::Private { folder: folder.to_owned(), names: config.certificate_names() }
}

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ([listeners.{listener}]): {why}", why = why(cause, *address))]
pub struct BindError {
    /// The listener's name in the configuration.
    pub listener: &'static str,
    /// The address.
    pub address: SocketAddr,
    // Not a source: `why` tells it already.
    cause: io::Error,
}

/// What is wrong, and what to do about it.
fn why(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program has this port: stop it (ss -ltnp 'sport = :{port}' names it), or take another port"
            )
        }
        io::ErrorKind::PermissionDenied => String::from(
            "the right to use ports below 1024 is missing: run it as root or as the systemd unit does \
             (AmbientCapabilities=CAP_NET_BIND_SERVICE), or take a port from 1024 on",
        ),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: see `ip address`".to_owned(),
        _ => error.to_string(),
    }
}

/// Listeners that are bound, with what they will serve.
#[derive(Default)]
pub(super) struct Bound {
    pub(super) addresses: Addresses,
    pub(super) bound: Vec<(Listener, Router)>,
}

pub(super) fn bind(
    config: &Config,
    certificates: &Arc<ServedCertificates>,
    tickets: &Arc<Tickets>,
    plane: &Arc<PhonePlane>,
    admin: &Arc<Admin>,
    access: Option<Arc<AccessLog>>,
) -> anyhow::Result<Bound> {
    let listeners = &config.listeners;
    let tls = Some(tls::server_config(Arc::clone(certificates), Arc::clone(tickets))?);
    let mut bound = Bound::default();
    let request_timeout = config.connections.request_timeout();
    let newest = Arc::new(NewestRules::new(admin.refresher.clone()));
    let phones = |side| phone_router(Arc::clone(plane), side, request_timeout).layer(Extension(Arc::clone(&newest)));
    let management = api::router(Arc::clone(admin), request_timeout);
    let admission = Admission::new(config.connections.phones());
    let settings = |kind: ListenerKind, tls: Option<&Arc<rustls::ServerConfig>>| Shared {
        listener: kind.as_str(),
        tls: tls.cloned(),
        limits: config.connections.limits(),
        admission: Arc::clone(&admission),
        refuse: refuse_head,
        counts: plane.metrics.listeners.of(kind),
        access: access.clone(),
    };
    let http = settings(ListenerKind::InternalHttp, None);
    bound.addresses.internal_http = bound.bind(&listeners.internal_http, &http, phones(Side::Inside))?;
    let https = settings(ListenerKind::InternalHttps, tls.as_ref());
    bound.addresses.internal_https = bound.bind(&listeners.internal_https, &https, phones(Side::Inside))?;
    let external = settings(ListenerKind::ExternalHttps, tls.as_ref());
    bound.addresses.external_https = bound.bind(&listeners.external_https, &external, phones(Side::Outside))?;
    let administrators = Shared {
        admission: Admission::new(config.connections.management()),
        refuse: api::refuse_head,
        access: None,
        ..settings(ListenerKind::ManagementHttps, tls.as_ref())
    };
    bound.addresses.management_https = bound.bind(&listeners.management_https, &administrators, management)?;
    Ok(bound)
}

/// What the addresses of one listener have in common.
struct Shared {
    /// Its name in the configuration.
    listener: &'static str,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ListenerLimits,
    admission: Arc<Admission>,
    refuse: fn(HeadFault) -> Response,
    counts: Arc<ListenerCounts>,
    access: Option<Arc<AccessLog>>,
}

impl Bound {
    fn bind(&mut self, section: &ListenerSection, shared: &Shared, router: Router) -> anyhow::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for address in &section.addresses {
            let settings = ListenerSettings {
                address: *address,
                tls: shared.tls.clone(),
                proxy_from: section.proxy_from.clone(),
                limits: shared.limits.clone(),
                admission: Arc::clone(&shared.admission),
                refuse: shared.refuse,
                counts: Arc::clone(&shared.counts),
                access: shared.access.clone(),
            };
            let failed = |cause| BindError { listener: shared.listener, address: *address, cause };
            let listener = Listener::bind(settings).map_err(failed)?;
            addresses.push(listener.local_address());
            self.bound.push((listener, router.clone()));
        }
        Ok(addresses)
    }
}
