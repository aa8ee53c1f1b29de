//! The shared file store: whether its settings make sense (pure), and what they name on this machine. No bucket is
//! connected to.

use super::Purpose;
use super::machine::{WRITE, may, open_to_all, user};
use super::problem::Findings;
use crate::config::StoreSettings;
use nix::unistd::AccessFlags;
use schema::topology::NodeName;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use sync::blobs::{Provider, StoreAddress};
use url::Url;

/// How long a folder is waited for: a share that hangs never answers.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);

const ADDRESSES: &str = "write url = \"s3://bucket/prefix\", \"az://container/prefix\" or \"gs://bucket/prefix\", or folder = \"/srv/ucupdates\"";

/// Tells what makes no sense.
pub(super) fn check(store: &StoreSettings, findings: &mut Findings) {
    if store.folder.is_some() && store.url.is_some() {
        let problem = "[store] folder and url are both given, and the store is one";
        findings.error("store.url", problem, "take one of the two out");
        return;
    }
    match store.address() {
        Ok(StoreAddress::Folder(_)) => bucket_settings_of_a_folder(store, findings),
        Ok(StoreAddress::Bucket { provider, .. }) => endpoint(store, provider, findings),
        Err(problem) => findings.error("store.url", format!("[store] url: {problem}"), ADDRESSES),
    }
}

fn bucket_settings_of_a_folder(store: &StoreSettings, findings: &mut Findings) {
    let given = [
        ("endpoint", store.endpoint.is_some()),
        ("region", store.region.is_some()),
        ("credentials_file", store.credentials_file.is_some()),
        ("ca_file", store.ca_file.is_some()),
        ("allow_http", store.allow_http),
    ];
    for (name, _) in given.into_iter().filter(|(_, given)| *given) {
        let problem = format!("[store] {name} is for a bucket, and the store is a folder");
        findings.error(&format!("store.{name}"), problem, "take it out, or give url instead of folder");
    }
}

fn endpoint(store: &StoreSettings, provider: Provider, findings: &mut Findings) {
    if store.region.is_some() && provider != Provider::S3 {
        findings.error(
            "store.region",
            format!("[store] region is for s3://, not {}://", provider.scheme()),
            "take it out",
        );
    }
    let Some(endpoint) = &store.endpoint else { return };
    let mend = "write the server's URL, such as \"https://s3.contoso.com:9000\"";
    let Some(url) = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return findings.error(
            "store.endpoint",
            format!("[store] endpoint {endpoint:?} is no http or https URL"),
            mend,
        );
    };
    if !url.username().is_empty() || url.password().is_some() {
        let problem = "[store] endpoint holds credentials: whoever may read this file would know them";
        findings.error("store.endpoint", problem, "put them into a file, and name that: credentials_file");
    } else if url.scheme() == "http" && !store.allow_http {
        let problem = "[store] endpoint is http: everybody on the way could change what phones install";
        findings.error("store.endpoint", problem, "write https://, or say that it is meant: allow_http = true");
    }
}

/// Tells what the store's settings name and is not there, or cannot be used.
pub(super) fn look(store: &StoreSettings, purpose: Purpose, findings: &mut Findings) {
    if findings.is_wrong("store") {
        return;
    }
    if let Some(path) = store.local_folder() {
        return folder(path, purpose, findings);
    }
    if let Some(path) = store.credentials_file.as_deref().filter(|path| open_to_all(path)) {
        let shown = path.display();
        let mend = format!("chown root:ucupdates {shown} && chmod 0640 {shown}");
        findings.warning(
            "store.credentials_file",
            format!("[store] credentials_file {shown} can be read by everyone here"),
            mend,
        );
    }
    let nobody = NodeName::parse("check-config").expect("a constant that is a node name");
    if let Err(problem) = store.open(&nobody) {
        let mend = match problem.setting {
            "credentials_file" => "write NAME=value lines, such as AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=...",
            "ca_file" => "name a PEM file with the certificate of the authority that signed the server's",
            _ => "mend what it names; account and keys come from credentials_file or the environment",
        };
        let setting = format!("store.{}", problem.setting);
        findings.error(&setting, format!("[store] {problem}"), mend);
    }
}

/// What is wrong with a folder, and the mend.
enum Wrong {
    Missing,
    NoFolder,
    NotOurs,
}

fn folder(path: PathBuf, purpose: Purpose, findings: &mut Findings) {
    let setting = if findings.places.has("store.url") { "store.url" } else { "store.folder" };
    let shown = format!("[store] folder {}", path.display());
    let (told, answer) = mpsc::channel();
    let looked_at = path.clone();
    std::thread::spawn(move || told.send(look_at(&looked_at)));
    let mut tell = |problem: String, mend: String| match purpose {
        Purpose::Telling => findings.error(setting, problem, mend),
        Purpose::Starting => findings.warning(setting, problem, mend),
    };
    let path = path.display();
    match answer.recv_timeout(FOLDER_PATIENCE) {
        Ok(None) => {}
        Ok(Some(Wrong::Missing)) => {
            let mend = format!("mount the share, or: install -d -o ucupdates -g ucupdates -m 0750 {path}");
            tell(format!("{shown} is not there"), mend);
        }
        Ok(Some(Wrong::NoFolder)) => tell(format!("{shown} is no folder"), "name a folder".to_owned()),
        Ok(Some(Wrong::NotOurs)) => {
            let mend = format!("chown ucupdates: {path}, or mount the share so that {} may write it", user());
            findings.warning(setting, format!("{shown} can't be written by {}: imports would fail", user()), mend);
        }
        Err(_) => tell(format!("{shown} does not answer"), "see whether the share's server is up".to_owned()),
    }
}

fn look_at(folder: &Path) -> Option<Wrong> {
    if !folder.exists() {
        return Some(Wrong::Missing);
    }
    if !folder.is_dir() {
        return Some(Wrong::NoFolder);
    }
    (!may(folder, AccessFlags::R_OK | WRITE)).then_some(Wrong::NotOurs)
}
