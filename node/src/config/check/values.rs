//! Values that make no sense, alone or together. Pure: nothing on this machine is looked at.

use super::problem::Findings;
use super::settings::named;
use super::store;
use crate::config::{Config, DatabaseSection, ListenerSection};
use crate::router::PhonePath;
use schema::store::check_url;
use schema::topology::{PoolFqdn, PublicUrl};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// The largest number of anything that a setting may allow.
const MOST: usize = 1_000_000;

/// Bytes of the audit spool at least: a few files, and the lines that come while those are shipped.
const LEAST_SPOOL_BYTES: u64 = 8 << 20;

/// The lowest limit of bytes a second for all downloads, or all transfers, together.
const LEAST_BYTES_PER_S: u64 = 16 * 1024;

/// What deploy/systemd/ucupdates.service gives a node to stop (TimeoutStopSec), less what the last audit lines take.
const UNIT_STOP_MS: u64 = 70_000;

/// Tells what makes no sense.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    certificate_pairs(config, findings);
    certificate_names(config, findings);
    counts(config, findings);
    times(config, findings);
    database(&config.database, findings);
    if !findings.is_wrong("listeners") {
        listeners(config, findings);
        urls(config, findings);
    }
    folders(config, findings);
    store::check(&config.store, findings);
    if let Err(error) = EnvFilter::try_new(&config.log.filter) {
        let mend = "write error, warn, info, debug, or directives such as \"info,node=debug\"";
        findings.error("log.filter", format!("[log] filter: {error}"), mend);
    }
}

fn certificate_pairs(config: &Config, findings: &mut Findings) {
    let tls = &config.tls;
    let pairs = [
        ("ecdsa", &tls.ecdsa_certificate_file, &tls.ecdsa_key_file),
        ("rsa", &tls.rsa_certificate_file, &tls.rsa_key_file),
    ];
    for (kind, certificate, key) in pairs {
        let (certificate_name, key_name) = (format!("{kind}_certificate_file"), format!("{kind}_key_file"));
        let (given, missing) = match (certificate, key) {
            (Some(_), None) => (certificate_name, key_name),
            (None, Some(_)) => (key_name, certificate_name),
            _ => continue,
        };
        let mend = format!("add {missing} below it, or take {given} out");
        findings.error(&format!("tls.{given}"), format!("[tls] {given} is given without {missing}"), mend);
    }
}

fn certificate_names(config: &Config, findings: &mut Findings) {
    for (index, domain) in config.tls.domains.iter().enumerate() {
        if PoolFqdn::parse(domain).is_err() {
            let mend = "write the DNS domain that DHCP gives to phones, such as \"contoso.com\"";
            findings.error(
                &format!("tls.domains[{index}]"),
                format!("[tls] domains: {domain:?} is no DNS domain"),
                mend,
            );
        }
    }
    for (index, name) in config.tls.names.iter().enumerate() {
        let host = name.strip_prefix("*.").unwrap_or(name);
        if PoolFqdn::parse(host).is_err() && name.parse::<IpAddr>().is_err() {
            let mend = "write a host name or an IP address, without scheme, port or path";
            findings.error(&format!("tls.names[{index}]"), format!("[tls] names: {name:?} is no host name"), mend);
        }
    }
}

/// Connections that imports, which hold one each, must leave to others.
const CONNECTIONS_BESIDE_IMPORTS: usize = 3;

/// The longest that an answer of the database may take for an administrator to hear within 3 seconds that none comes: 300 ms
/// pass before a server that has work is asked for a sign of life, and as much is left for everything else.
const MOST_QUERY_MS: u64 = 2_400;

fn counts(config: &Config, findings: &mut Findings) {
    let counts = [
        ("connections.most", config.connections.most, 1),
        ("connections.most_per_address", config.connections.most_per_address, 1),
        ("connections.most_management", config.connections.most_management, 1),
        ("connections.most_management_per_address", config.connections.most_management_per_address, 1),
        ("connections.most_large_checks", config.connections.most_large_checks, 1),
        ("downloads.slots", config.downloads.slots, 1),
        ("downloads.slots_per_address", config.downloads.slots_per_address.unwrap_or(1), 1),
        ("packages.most_imports", config.packages.most_imports, 1),
        ("accounts.most_hashes", config.accounts.most_hashes, 1),
        ("accounts.most_waiting", config.accounts.most_waiting, 1),
        ("replica.most_transfers", config.replica.most_transfers, 1),
        ("audit.most_waiting_lines", config.audit.most_waiting_lines, 1),
        ("access_log.most_waiting_lines", config.access_log.most_waiting_lines, 1),
        ("database.pool_size", config.database.pool_size, 2),
    ];
    let spools = [
        ("audit.most_spool_bytes", config.audit.most_spool_bytes),
        ("access_log.most_spool_bytes", config.access_log.most_spool_bytes),
    ];
    for (setting, bytes) in spools.into_iter().filter(|(_, bytes)| *bytes < LEAST_SPOOL_BYTES) {
        let mend = format!("write {LEAST_SPOOL_BYTES} or more: a smaller spool refuses lines between two shipments");
        findings.error(setting, format!("{} is {bytes}", named(setting)), mend);
    }
    let least_connections = config.packages.most_imports.saturating_add(CONNECTIONS_BESIDE_IMPORTS);
    if config.database.pool_size < least_connections {
        let problem = format!(
            "[database] pool_size is {}: {} imports at one time ([packages] most_imports) leave other requests, and the \
             question whether the server hangs, too few connections",
            config.database.pool_size, config.packages.most_imports
        );
        let mend = format!("write {least_connections} or more (most_imports and {CONNECTIONS_BESIDE_IMPORTS})");
        findings.warning("database.pool_size", problem, mend);
    }
    for (setting, value, least) in counts {
        if !(least..=MOST).contains(&value) {
            let mend = format!("write a number from {least} to {MOST}");
            findings.error(setting, format!("{} is {value}", named(setting)), mend);
        }
    }
}

fn times(config: &Config, findings: &mut Findings) {
    let (connections, database) = (&config.connections, &config.database);
    let limits = [
        ("connections.tls_handshake_timeout_ms", connections.tls_handshake_timeout_ms, 100),
        ("connections.header_timeout_ms", connections.header_timeout_ms, 100),
        ("connections.idle_timeout_ms", connections.idle_timeout_ms, 100),
        ("connections.request_timeout_ms", connections.request_timeout_ms, 100),
        ("connections.request_window_ms", connections.request_window_ms, 100),
        ("connections.response_window_ms", connections.response_window_ms, 100),
        ("database.connect_timeout_ms", database.connect_timeout_ms, 10),
        ("database.query_timeout_ms", database.query_timeout_ms, 10),
        ("database.poll_interval_ms", database.poll_interval_ms, 100),
        ("replica.poll_interval_ms", config.replica.poll_interval_ms, 100),
    ];
    for (setting, value_ms, least_ms) in limits {
        if value_ms < least_ms {
            let mend = format!("write {least_ms} or more (milliseconds)");
            findings.error(setting, format!("{} is {value_ms}: nothing would be in time", named(setting)), mend);
        }
    }
    let rates = [
        ("downloads.most_bytes_per_s", config.downloads.most_bytes_per_s, "be downloaded"),
        ("replica.most_bytes_per_s", config.replica.most_bytes_per_s, "reach this node"),
    ];
    for (setting, bytes_per_s, never) in rates {
        if (1..LEAST_BYTES_PER_S).contains(&bytes_per_s) {
            let problem = format!("{} is {bytes_per_s}: no image would ever {never}", named(setting));
            let mend = format!("write 0 for no limit, or {LEAST_BYTES_PER_S} or more");
            findings.error(setting, problem, mend);
        }
    }
    if database.query_timeout_ms < database.connect_timeout_ms {
        let problem = format!(
            "[database] query_timeout_ms ({}) is shorter than connect_timeout_ms ({}): a query gives up before a new \
             connection can stand",
            database.query_timeout_ms, database.connect_timeout_ms
        );
        findings.warning("database.query_timeout_ms", problem, "make query_timeout_ms the longer one");
    }
    if database.query_timeout_ms > MOST_QUERY_MS {
        let problem = format!(
            "[database] query_timeout_ms ({}) is longer than {MOST_QUERY_MS}: an administrator may wait more than 3 s to \
             hear that the database does not answer",
            database.query_timeout_ms
        );
        findings.warning("database.query_timeout_ms", problem, format!("write {MOST_QUERY_MS} or less"));
    }
    let stop_ms = connections.drain_notice_ms.saturating_add(connections.drain_timeout_ms);
    if stop_ms > UNIT_STOP_MS {
        let problem = format!(
            "[connections] a stop may take {stop_ms} ms (drain_notice_ms and drain_timeout_ms), and \
             deploy/systemd/ucupdates.service allows 90 s"
        );
        let mend = format!("stay below {UNIT_STOP_MS} ms, or raise TimeoutStopSec in the unit as well");
        findings.warning("connections.drain_timeout_ms", problem, mend);
    }
}

fn database(section: &DatabaseSection, findings: &mut Findings) {
    if let Err(error) = check_url(&section.url) {
        let error = error.to_string();
        let (problem, mend) = if error.contains("holds a password") {
            let mend = "take it out, put it alone into a file, and name that: password_file = \"/etc/ucupdates/database-password\"";
            ("[database] url holds a password: whoever may read this file would know it".to_owned(), mend)
        } else {
            let mend = "write libpq's words (`host=db.contoso.com user=ucupdates dbname=ucupdates sslmode=require`) or a \
                        postgresql:// URL";
            (error.replace("database settings: ", "[database] "), mend)
        };
        findings.error("database.url", problem, mend);
        return;
    }
    let encrypted = section.url.contains("sslmode=require");
    if section.ca_file.is_some() && !encrypted {
        let problem = "[database] ca_file is given, but url does not ask for TLS";
        findings.error("database.ca_file", problem, "add sslmode=require to url, or take ca_file out");
    } else if !encrypted && is_remote(&section.url) {
        let problem = "[database] url: the connection to PostgreSQL is not encrypted";
        findings.warning("database.url", problem, "add sslmode=require");
    }
}

/// Whether the words name a host that is not this machine. A URL is not looked into: its user information may be long.
fn is_remote(url: &str) -> bool {
    let host = url.split_whitespace().find_map(|word| word.strip_prefix("host="));
    let local = ["localhost", "127.0.0.1", "::1"];
    host.is_some_and(|host| !host.starts_with(['/', '\'']) && !local.contains(&host))
}

/// The listeners by their names.
fn sections(config: &Config) -> [(&'static str, &ListenerSection); 4] {
    let listeners = &config.listeners;
    [
        ("internal_http", &listeners.internal_http),
        ("internal_https", &listeners.internal_https),
        ("external_https", &listeners.external_https),
        ("management_https", &listeners.management_https),
    ]
}

/// Every address with its setting.
pub(super) fn addresses(config: &Config) -> Vec<(String, SocketAddr)> {
    let of = |(name, section): (&str, &ListenerSection)| {
        let addresses = section.addresses.iter().enumerate();
        addresses.map(|(index, address)| (format!("listeners.{name}.addresses[{index}]"), *address)).collect::<Vec<_>>()
    };
    sections(config).into_iter().flat_map(of).collect()
}

fn listeners(config: &Config, findings: &mut Findings) {
    if sections(config)[..3].iter().all(|(_, section)| section.addresses.is_empty()) {
        let mend = "give at least one of internal_http, internal_https and external_https an address, such as \
                    addresses = [\"0.0.0.0:443\", \"[::]:443\"]";
        findings.error("listeners", "[listeners] every phone listener is switched off: no phone would be served", mend);
    }
    if config.listeners.management_https.addresses.is_empty() {
        let problem = "[listeners.management_https] is switched off: no administrator can reach this node, and nothing \
                       can ask /ready or /metrics";
        findings.warning("listeners.management_https", problem, "give it an address, such as [\"127.0.0.1:9443\"]");
    }
    let addresses = addresses(config);
    for (index, (setting, address)) in addresses.iter().enumerate() {
        let Some((other, _)) = addresses[..index].iter().find(|(_, other)| collide(address, other)) else { continue };
        let list = |setting: &str| setting.split('[').next().map(named).unwrap_or_default();
        let problem = format!("{}: {address} is taken by {} already", list(setting), list(other));
        findings.error(setting, problem, "give each listener a port of its own; an empty list switches one off");
    }
    for (name, section) in sections(config) {
        for (index, network) in section.proxy_from.iter().enumerate().filter(|(_, network)| network.prefix_len() == 0) {
            let problem = format!(
                "[listeners.{name}] proxy_from: {network} is the whole world: whoever connects may name any address as \
                 the phone's"
            );
            let mend = "list the addresses of the balancers alone, such as \"10.1.1.5\"";
            findings.warning(&format!("listeners.{name}.proxy_from[{index}]"), problem, mend);
        }
    }
}

/// Whether the second of two addresses can't be bound. `::` is IPv6 only.
fn collide(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = |ip: IpAddr, other: IpAddr| ip == other || ip.is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    let port = one.port() == other.port() && one.port() != 0;
    port && same_family && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

fn urls(config: &Config, findings: &mut Findings) {
    let pool = &config.pool;
    let urls = [
        ("pool.internal_update_url", &pool.internal_update_url, "/RequestHandler/ucdevice.upx"),
        ("pool.external_update_url", &pool.external_update_url, "/RequestHandlerExt/ucdevice.upx"),
        ("pool.internal_files_url", &pool.internal_files_url, "/DeviceUpdateFiles_Int"),
        ("pool.external_files_url", &pool.external_files_url, "/DeviceUpdateFiles_Ext"),
    ];
    for (setting, url, path) in urls {
        let Some(url) = url else { continue };
        served(setting, url, path, findings);
        if setting.starts_with("pool.external") && url.as_str().starts_with("http://") {
            let problem = format!("{} is http: phones outside would send their passwords in the clear", named(setting));
            findings.warning(setting, problem, "write https://: the external listener speaks nothing else");
        }
    }
    let inside = &config.listeners;
    let plain = pool.internal_files_url.as_ref().is_some_and(|url| url.as_str().starts_with("http://"));
    if plain && inside.internal_http.addresses.is_empty() {
        let problem = "[pool] internal_files_url is http, but [listeners.internal_http] is switched off";
        findings.warning("pool.internal_files_url", problem, "write https://, or give that listener an address");
    }
}

/// A URL whose path is none of ours leads phones nowhere.
fn served(setting: &str, url: &PublicUrl, expected: &str, findings: &mut Findings) {
    let path = url.as_str().splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
    let known = match setting.ends_with("update_url") {
        true => PhonePath::parse(&path) == PhonePath::Handler,
        // An update file below it.
        false => matches!(PhonePath::parse(&format!("{path}/OCInterim/ENU/CPE.nbt")), PhonePath::File(_)),
    };
    if !known {
        let problem = format!("{}: no listener serves {:?}, the path of {}", named(setting), path, url.as_str());
        findings.warning(setting, problem, format!("end it with {expected}"));
    }
}

fn folders(config: &Config, findings: &mut Findings) {
    let (data, store) = (&config.node.data_folder, config.store.local_folder());
    let store = store.as_deref().unwrap_or(Path::new("/"));
    for (setting, folder) in [("node.data_folder", data.as_path()), ("store.folder", store)] {
        if folder.is_relative() {
            let problem = format!(
                "{}: {} is relative: it depends on where the program is started",
                named(setting),
                folder.display()
            );
            findings.warning(setting, problem, "write the whole path, from /");
        }
    }
    let inside = |one: &Path, other: &Path| other != Path::new("/") && one.starts_with(other);
    if inside(data, store) {
        let problem = format!(
            "[node] data_folder {} is inside [store] folder: other nodes would see this node's keys",
            data.display()
        );
        findings.error(
            "node.data_folder",
            problem,
            "keep the two apart, such as /var/lib/ucupdates and /srv/ucupdates",
        );
    }
}
