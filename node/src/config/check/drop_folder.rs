//! What is wrong with the section of the drop folder: its values, and what it names on this machine.

use super::machine::user;
use super::problem::Findings;
use crate::config::Config;
use crate::config::drop_folder::is_all;
use nix::unistd::{AccessFlags, access};
use schema::topology::PoolFqdn;
use std::path::Path;

/// The shortest times that make sense.
const LEAST_MS: u64 = 10;

/// Values that make no sense.
pub(super) fn values(config: &Config, findings: &mut Findings) {
    let section = &config.drop_folder;
    let times = [("settle_ms", section.settle_ms, LEAST_MS), ("poll_interval_ms", section.poll_interval_ms, LEAST_MS)];
    for (name, value_ms, least_ms) in times {
        if value_ms < least_ms {
            let mend = format!("write {least_ms} or more (milliseconds)");
            findings.error(&format!("drop_folder.{name}"), format!("[drop_folder] {name} is {value_ms}"), mend);
        }
    }
    for (index, pool) in section.pools.iter().enumerate() {
        if !is_all(pool) && PoolFqdn::parse(pool).is_err() {
            let problem = format!("[drop_folder] pools: {pool:?} is no FQDN of a pool");
            let mend =
                "write names such as \"pool01.contoso.com\", or [\"all\"]; leave the list empty for this node's pool";
            findings.error(&format!("drop_folder.pools[{index}]"), problem, mend);
        }
    }
    if let Some(folder) = &section.folder {
        place(folder, config, findings);
    }
}

fn place(folder: &Path, config: &Config, findings: &mut Findings) {
    let (setting, shown) = ("drop_folder.folder", folder.display());
    if folder.is_relative() {
        let problem = format!("[drop_folder] folder: {shown} is relative: it depends on where the program is started");
        findings.warning(setting, problem, "write the whole path, from /");
    }
    let store = config.store.local_folder().map(|store| ("[store] folder", store));
    let others = [("[node] data_folder", config.node.data_folder.clone())].into_iter().chain(store);
    for (name, other) in others {
        let other = other.as_path();
        let related = folder.starts_with(other) || other.starts_with(folder);
        if related && other != Path::new("/") && folder != Path::new("/") {
            let problem = format!("[drop_folder] folder {shown} and {name} {} lie in one another", other.display());
            let mend = "keep them apart, such as /srv/ucupdates-drop: whoever may drop packages must not reach the node's files";
            findings.error(setting, problem, mend);
        }
    }
}

/// The folder on this machine.
pub(super) fn machine(config: &Config, findings: &mut Findings) {
    let Some(folder) = &config.drop_folder.folder else { return };
    let (setting, shown) = ("drop_folder.folder", folder.display());
    if !folder.is_dir() {
        let mend = format!("mount the share, or: install -d -o ucupdates -g ucupdates -m 2770 {shown}");
        findings.error(setting, format!("[drop_folder] folder {shown} is not there, or is no folder"), mend);
    } else if access(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let problem =
            format!("[drop_folder] folder {shown} can't be written by {}: nothing could be taken from it", user());
        findings.warning(
            setting,
            problem,
            format!("chown ucupdates: {shown}, or mount the share so that {} may write it", user()),
        );
    }
}
