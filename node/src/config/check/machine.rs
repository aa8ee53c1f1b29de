//! What the configuration names on this machine: folders, files, addresses, limits of the process. Looks only; nothing
//! is made or changed. What the user who runs the check may do, another one may not, and the other way round.

use super::problem::Findings;
use super::settings::named;
use super::values::addresses;
use crate::config::Config;
use crate::{app, descriptors};
use nix::unistd::{AccessFlags, access, geteuid};
use schema::store::Database;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Tells what the node would stumble over.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    data_folder(&config.node.data_folder, findings);
    secret_files(config, findings);
    database(config, findings);
    if let Err(error) = app::dialect(config) {
        let mend = "mend that file (deploy/dialect.toml is the built-in one), or take the setting out";
        findings.error("phones.dialect_file", format!("[phones] dialect_file: {error:#}"), mend);
    }
    listening(config, findings);
    descriptors_enough(config, findings);
}

pub(super) fn may(folder: &Path, what: AccessFlags) -> bool {
    access(folder, what).is_ok()
}

pub(super) const WRITE: AccessFlags = AccessFlags::W_OK.union(AccessFlags::X_OK);

fn data_folder(folder: &Path, findings: &mut Findings) {
    let setting = "node.data_folder";
    let shown = folder.display();
    // It is made on the first start, where its parent lets us.
    let nearest = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let mend = format!("install -d -o ucupdates -g ucupdates -m 0750 {shown}  (or whoever runs the node)");
    if !nearest.is_dir() {
        let problem = format!("[node] data_folder {shown}: {} is no folder", nearest.display());
        findings.error(setting, problem, "name another folder");
    } else if !may(nearest, WRITE) {
        let problem = match nearest == folder {
            true => format!("[node] data_folder {shown} can't be written by {}", user()),
            false => format!("[node] data_folder {shown} is missing and can't be made by {}", user()),
        };
        findings.error(setting, problem, mend);
    }
}

/// Files whose first line is a secret.
fn secret_files(config: &Config, findings: &mut Findings) {
    let files = [
        ("database.password_file", &config.database.password_file, "password"),
        ("metrics.token_file", &config.metrics.token_file, "token"),
    ];
    for (setting, path, secret) in files {
        if let Some(path) = path {
            secret_file(setting, path, secret, findings);
        }
    }
}

fn secret_file(setting: &str, path: &Path, secret: &str, findings: &mut Findings) {
    let (name, shown) = (named(setting), path.display());
    let protect = format!("chown root:ucupdates {shown} && chmod 0640 {shown}");
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mend = format!("write the {secret} into it, then: {protect}");
            findings.error(setting, format!("{name} {shown} is not there"), mend);
        }
        Err(error) => {
            let mend = format!("let the service read it: {protect}");
            findings.error(setting, format!("{name} {shown} can't be read by {}: {error}", user()), mend);
        }
        Ok(text) if text.lines().next().unwrap_or_default().trim().is_empty() => {
            let mend = format!("write the {secret} into its first line, or take the setting out");
            findings.error(setting, format!("{name} {shown}: its first line is empty"), mend);
        }
        Ok(_) if open_to_all(path) => {
            findings.warning(setting, format!("{name} {shown} can be read by everyone here"), protect);
        }
        Ok(_) => {}
    }
}

/// Whether every user of this machine may read the file.
pub(super) fn open_to_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// The settings of the connection; nothing is connected to.
fn database(config: &Config, findings: &mut Findings) {
    if findings.is_wrong("database") {
        return;
    }
    let settings = match app::database_settings(config) {
        Ok(settings) => settings,
        Err(error) => return findings.error("database", format!("[database] {error:#}"), "mend what it names"),
    };
    if let Err(error) = Database::new(&settings) {
        let problem = error.to_string().replace("database settings: ", "[database] ");
        let mend =
            "name a PEM file with the certificate of the authority that signed the server's, or take the setting out";
        findings.error("database.ca_file", problem, mend);
    }
}

fn listening(config: &Config, findings: &mut Findings) {
    let mut privileged = Vec::new();
    for (setting, address) in addresses(config) {
        // Port 0 is any free one: whether the address is ours, not whether the port is free, which a running node has.
        let taken = TcpListener::bind((address.ip(), 0));
        if taken.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable) {
            let list = setting.split('[').next().map(named).unwrap_or_default();
            let mend = "write an address that `ip address` shows, 0.0.0.0 for all of IPv4, or [::] for all of IPv6";
            findings.error(&setting, format!("{list}: {} is no address of this machine", address.ip()), mend);
        }
        if (1..unprivileged_ports_begin()).contains(&address.port()) && !geteuid().is_root() {
            privileged.push((setting, address.port()));
        }
    }
    if let Some((setting, port)) = privileged.first() {
        let problem = format!("port {port} is for privileged processes, and {} has no privilege of its own", user());
        let mend =
            "run it as the systemd unit does (AmbientCapabilities=CAP_NET_BIND_SERVICE), or use ports from 1024 on";
        findings.note(setting, problem, mend);
    }
}

fn unprivileged_ports_begin() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// A connection is a descriptor, and a download one more.
fn descriptors_enough(config: &Config, findings: &mut Findings) {
    let Some(allowed) = descriptors::allowed() else { return };
    let connections = config.connections.most + config.connections.most_management;
    let needed = connections + config.downloads.slots;
    if usize::try_from(allowed).unwrap_or(usize::MAX) < needed {
        let problem = format!(
            "[connections] most allows {connections} connections, with downloads {needed} files, and this process may \
             open {allowed} files"
        );
        let mend = "raise the limit (LimitNOFILE=65536 in the systemd unit, `ulimit -Hn` in a shell), or lower most";
        findings.warning("connections.most", problem, mend);
    }
}

/// Who runs this check, in words.
pub fn user() -> String {
    let user = nix::unistd::User::from_uid(geteuid()).ok().flatten();
    user.map_or_else(|| format!("user {}", geteuid()), |user| format!("the user {}", user.name))
}
