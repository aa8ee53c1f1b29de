//! The listeners of a node, from its configuration: certificates, limits, and which router stands where.

use super::Addresses;
use crate::api::{self, Admin};
use crate::config::{Config, ListenerSection};
use crate::listen::{Listener, ListenerLimits, ListenerSettings};
use crate::plane::{PhonePlane, Side};
use crate::router::phone_router;
use crate::tls::{self, CertificateFiles, CertificateNames, Certificates};
use anyhow::Context as _;
use axum::Router;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sync::clock::Clock;

pub(super) fn configured_files(config: &Config) -> Vec<CertificateFiles> {
    let tls = &config.tls;
    let pair = |chain: &Option<PathBuf>, key: &Option<PathBuf>| {
        Some(CertificateFiles { chain: chain.clone()?, key: key.clone()? })
    };
    let ecdsa = pair(&tls.ecdsa_certificate_file, &tls.ecdsa_key_file);
    ecdsa.into_iter().chain(pair(&tls.rsa_certificate_file, &tls.rsa_key_file)).collect()
}

pub(super) fn certificates(config: &Config, folder: &Path, clock: &dyn Clock) -> anyhow::Result<Certificates> {
    let files = configured_files(config);
    if !files.is_empty() {
        return Ok(tls::configured_certificates(&files)?);
    }
    let names = CertificateNames::of_pool(
        &config.pool.fqdn,
        config.tls.domains.iter().map(String::as_str),
        config.tls.names.iter().map(String::as_str),
    );
    Ok(tls::private_certificates(folder, &names, clock.now())?)
}

/// Listeners that are bound, with what they will serve.
#[derive(Default)]
pub(super) struct Bound {
    pub(super) addresses: Addresses,
    pub(super) bound: Vec<(Listener, Router)>,
}

pub(super) fn bind(
    config: &Config,
    certificates: &Certificates,
    plane: &Arc<PhonePlane>,
    admin: &Arc<Admin>,
) -> anyhow::Result<Bound> {
    let listeners = &config.listeners;
    let tls = Some(tls::server_config(certificates)?);
    let mut bound = Bound::default();
    let request_timeout = config.connections.request_timeout();
    let phones = |side| phone_router(Arc::clone(plane), side, request_timeout);
    let management = api::router(Arc::clone(admin));
    let limits = limits(config);
    let http = &listeners.internal_http;
    bound.addresses.internal_http = bound.bind(http, None, phones(Side::Inside), &limits)?;
    let https = &listeners.internal_https;
    bound.addresses.internal_https = bound.bind(https, tls.clone(), phones(Side::Inside), &limits)?;
    let external = &listeners.external_https;
    bound.addresses.external_https = bound.bind(external, tls.clone(), phones(Side::Outside), &limits)?;
    bound.addresses.management_https = bound.bind(&listeners.management_https, tls, management, &limits)?;
    Ok(bound)
}

fn limits(config: &Config) -> ListenerLimits {
    let connections = &config.connections;
    ListenerLimits {
        connections: connections.most,
        handshake_timeout: connections.tls_handshake_timeout(),
        header_timeout: connections.header_timeout(),
        drain_timeout: connections.drain_timeout(),
        ..ListenerLimits::default()
    }
}

impl Bound {
    fn bind(
        &mut self,
        section: &ListenerSection,
        tls: Option<Arc<rustls::ServerConfig>>,
        router: Router,
        limits: &ListenerLimits,
    ) -> anyhow::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for address in &section.addresses {
            let settings = ListenerSettings {
                address: *address,
                tls: tls.clone(),
                proxy_from: section.proxy_from.clone(),
                limits: limits.clone(),
            };
            let listener = Listener::bind(settings).with_context(|| {
                format!("listening on {address}: is another program there, or is the right to use the port missing?")
            })?;
            addresses.push(listener.local_address());
            self.bound.push((listener, router.clone()));
        }
        Ok(addresses)
    }
}
