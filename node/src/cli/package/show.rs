//! What a package holds, as a value, as a table, as a verdict.

use crate::api::types::packages::TargetBody;
use crate::cli::output::{Wrap, count, printable, size, table};
use crate::cli::report_card::device;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use schema::package::{Digest, FileRole, UpdateTarget};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use sync::cabinet::Limits;
use sync::package::{Container, StagedPackage, StagedUpdate, unpack};

/// The package to look into.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The package: a .cab file, or the vendor's UCUpdates.exe
    file: PathBuf,
}

impl ShowArgs {
    pub(super) fn run(self) -> Result<PackageView> {
        look_into(&self.file)
    }
}

/// What a package holds; also the JSON of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct PackageView {
    /// The file that was looked into, or made.
    file: String,
    /// Whether an import would take it, as far as can be told without a server.
    pub(super) importable: bool,
    /// One sentence.
    verdict: String,
    /// `cabinet`, `self_extracting` or `nested`; none when it cannot be imported.
    container: Option<&'static str>,
    /// Whether it has an `updateInfo.xml`.
    description_found: bool,
    updates: Vec<UpdateView>,
    /// Files that belong to no update.
    ignored: Vec<String>,
}

#[derive(Debug, Serialize)]
struct UpdateView {
    target: TargetBody,
    version: String,
    files: Vec<FileView>,
    /// How many digests its security catalog lists; none without a catalog, or with one that cannot be read.
    catalog_digests: Option<usize>,
}

#[derive(Debug, Serialize)]
struct FileView {
    name: String,
    role: &'static str,
    size_bytes: u64,
    time_stamp: String,
    sha256: String,
    /// Where it would be stored, below `DeviceUpdateStore`.
    path: String,
}

/// Digits of a digest that the table shows; the JSON has them all.
const DIGEST_SHOWN: usize = 16;

/// Looks into the package at `path`. What an import would refuse is a view; what the machine cannot do is an error.
pub(super) fn look_into(path: &Path) -> Result<PackageView> {
    if !path.exists() {
        bail!("there is no file {}", path.display());
    }
    let staging = tempfile::tempdir().context("making a temporary folder")?;
    let file = path.display().to_string();
    // The defaults, and no `--config`: which node will import it is not known here, and each may have limits of its own.
    match unpack(path, staging.path(), &Limits::default()) {
        Ok(package) => Ok(view(file, &package)),
        Err(error) if error.is_failure() => Err(error.into()),
        Err(error) => Ok(PackageView {
            file,
            importable: false,
            verdict: format!("cannot be imported: {error}"),
            container: None,
            description_found: false,
            updates: Vec::new(),
            ignored: Vec::new(),
        }),
    }
}

fn view(file: String, package: &StagedPackage) -> PackageView {
    let container = match package.container {
        Container::Cabinet => "cabinet",
        Container::SelfExtracting => "self_extracting",
        Container::Nested => "nested",
    };
    let listed = package.catalogs.iter().map(|catalog| (catalog.file, catalog.digests.len())).collect();
    PackageView {
        file,
        importable: true,
        verdict: verdict(&package.updates),
        container: Some(container),
        description_found: package.description_found,
        updates: package.updates.iter().map(|staged| update_view(staged, &listed)).collect(),
        ignored: package.ignored.clone(),
    }
}

fn update_view(staged: &StagedUpdate, listed: &HashMap<Digest, usize>) -> UpdateView {
    let files = staged.update.files().iter().map(|file| FileView {
        name: file.name.to_string(),
        role: role_word(file.role),
        size_bytes: file.size_bytes,
        time_stamp: file.time_stamp.to_string(),
        sha256: file.digest.to_string(),
        path: file.path.to_string(),
    });
    UpdateView {
        target: TargetBody::from(staged.update.target()),
        version: staged.update.version().to_string(),
        files: files.collect(),
        catalog_digests: staged.update.signature().and_then(|file| listed.get(&file.digest)).copied(),
    }
}

fn role_word(role: FileRole) -> &'static str {
    match role {
        FileRole::Image => "image",
        FileRole::Signature => "signature",
        FileRole::Other => "other",
    }
}

/// `can be imported: 3 updates for 2 device models, and 1 interim build`
fn verdict(updates: &[StagedUpdate]) -> String {
    let models: HashSet<_> = updates
        .iter()
        .filter_map(|staged| match staged.update.target() {
            UpdateTarget::Device(key) => Some((&key.brand, &key.model)),
            UpdateTarget::Interim { .. } => None,
        })
        .collect();
    let interim = updates.iter().filter(|staged| matches!(staged.update.target(), UpdateTarget::Interim { .. }));
    let interim = interim.count();
    let devices = updates.len() - interim;
    let mut parts = Vec::new();
    if devices > 0 {
        let models = count(models.len(), "device model", "device models");
        parts.push(format!("{} for {models}", count(devices, "update", "updates")));
    }
    if interim > 0 {
        parts.push(count(interim, "interim build", "interim builds"));
    }
    format!("can be imported: {}", parts.join(", and "))
}

/// The table of files, what was left out, and the verdict as the last line.
pub(super) fn render(view: &PackageView, width: Option<u16>) -> String {
    let columns = [
        ("DEVICE", Wrap::Words),
        ("VERSION", Wrap::Never),
        ("FILE", Wrap::Words),
        ("ROLE", Wrap::Never),
        ("SIZE", Wrap::Never),
        ("TIME STAMP", Wrap::Words),
        ("SHA-256", Wrap::Never),
    ];
    let mut parts = Vec::new();
    if !view.updates.is_empty() {
        parts.push(table(&columns, view.updates.iter().flat_map(rows), width));
    }
    if !view.ignored.is_empty() {
        parts.push(printable(&format!("belong to no update and would be left out: {}", view.ignored.join(", "))));
    }
    if view.importable && !view.description_found {
        parts.push("it has no updateInfo.xml; the paths of its files say what they are for".to_owned());
    }
    parts.push(printable(&view.verdict));
    parts.join("\n")
}

/// A row for each file; the device and the version stand in the first.
fn rows(update: &UpdateView) -> impl Iterator<Item = Vec<String>> {
    update.files.iter().enumerate().map(|(number, file)| {
        let first = |text: String| if number == 0 { text } else { String::new() };
        vec![
            first(device(&update.target)),
            first(update.version.clone()),
            file.name.clone(),
            file.role.to_owned(),
            size(file.size_bytes),
            file.time_stamp.replace('T', " "),
            format!("{}…", &file.sha256[..DIGEST_SHOWN.min(file.sha256.len())]),
        ]
    })
}
