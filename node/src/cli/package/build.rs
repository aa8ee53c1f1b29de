//! `ucupdates package build`: from options and image files to a package, which is read back before it is shown.

use super::show::{PackageView, look_into};
use crate::cli::usage_error;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use jiff::civil::DateTime;
use schema::device::{DeviceKey, Name};
use schema::package::UpdateTarget;
use schema::rule_set::SteppingStone;
use schema::version::FirmwareVersion;
use std::path::{Path, PathBuf};
use sync::build::{FileSpec, PackageSpec, UpdateSpec, build_package};

/// What the package is to hold.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The image files: each is an update of its own, such as CPE.nbt
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The package to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Write it even if there is such a file
    #[arg(long)]
    force: bool,
    /// Device type: UCPhone, RoundTable, or another word that your phones send
    #[arg(long, alias = "type", value_name = "TYPE", default_value = "UCPhone")]
    device_type: Name,
    /// Vendor, as the phones write it: Polycom, LG-Nortel
    #[arg(long, required_unless_present = "interim")]
    brand: Option<Name>,
    /// Model, as the phones write it; may be repeated
    #[arg(long, required_unless_present = "interim")]
    model: Vec<Name>,
    /// Hardware revision
    #[arg(long, required_unless_present = "interim")]
    revision: Option<Name>,
    /// Locale, Windows' three letters
    #[arg(long)]
    locale: Name,
    /// Version of the firmware: one to four numbers, such as 4.0.7577.4387
    #[arg(long, required_unless_present = "interim")]
    version: Option<FirmwareVersion>,
    /// What the phones ask for by; only with one image [default: the image's file name without its extension]
    #[arg(long, value_name = "NAME")]
    update_type: Option<Name>,
    /// Security catalog of the image; only with one image [default: the .cat of the image's name beside it, if any]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Time stamp of all files, such as 2008-12-16T04:43:58 [default: when each was changed last, in UTC]
    #[arg(long, value_name = "TIME")]
    time_stamp: Option<DateTime>,
    /// An interim build, which old phones of every brand and model take before their target
    #[arg(long, conflicts_with_all = ["brand", "model", "revision"])]
    interim: bool,
}

impl BuildArgs {
    pub(super) fn run(self) -> Result<PackageView> {
        if self.images.len() > 1 && (self.update_type.is_some() || self.signature.is_some()) {
            return Err(usage_error("--update-type and --signature are of one image; build the others by themselves"));
        }
        if self.output.exists() && !self.force {
            bail!("{} is there already; add --force to replace it", self.output.display());
        }
        let mut updates = Vec::new();
        for image in &self.images {
            updates.extend(self.updates(image)?);
        }
        self.write(&PackageSpec { updates })?;
        look_into(&self.output).context("reading back what was written")
    }

    /// The image for every model.
    fn updates(&self, image: &Path) -> Result<Vec<UpdateSpec>> {
        let file = FileSpec::of(image, self.time_stamp)?;
        let signature = self.signature.clone().or_else(|| beside(image));
        let signature = signature.map(|path| FileSpec::of(&path, self.time_stamp)).transpose()?;
        let update_type = match &self.update_type {
            Some(update_type) => update_type.clone(),
            None => Name::parse(file.name.stem())?,
        };
        let update =
            |(target, version)| UpdateSpec { target, version, image: file.clone(), signature: signature.clone() };
        Ok(self.targets(&update_type).into_iter().map(update).collect())
    }

    fn targets(&self, update_type: &Name) -> Vec<(UpdateTarget, FirmwareVersion)> {
        let (device_type, locale, update_type) = (self.device_type.clone(), self.locale.clone(), update_type.clone());
        let (Some(brand), Some(revision), Some(version)) = (&self.brand, &self.revision, self.version) else {
            let version = self.version.unwrap_or(SteppingStone::of_the_original().via);
            return vec![(UpdateTarget::Interim { device_type, locale, update_type }, version)];
        };
        let key = |model: &Name| DeviceKey {
            device_type: device_type.clone(),
            brand: brand.clone(),
            model: model.clone(),
            revision: revision.clone(),
            locale: locale.clone(),
            update_type: update_type.clone(),
        };
        self.model.iter().map(|model| (UpdateTarget::Device(key(model)), version)).collect()
    }

    /// Writes beside the output and moves it there when it is whole.
    fn write(&self, spec: &PackageSpec) -> Result<()> {
        let folder = self.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let writing = || format!("writing {}", self.output.display());
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
        build_package(spec, file.as_file_mut())?;
        make_readable(file.as_file()).with_context(writing)?;
        file.persist(&self.output).with_context(writing)?;
        Ok(())
    }
}

/// A temporary file is the owner's alone; a package is a file like any other.
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// The security catalog beside the image: its name, with the ending `.cat` in any case.
fn beside(image: &Path) -> Option<PathBuf> {
    let is_catalog = |path: &PathBuf| {
        path != image
            && path.file_stem() == image.file_stem()
            && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("cat"))
    };
    let folder = image.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_catalog).collect();
    found.sort();
    found.into_iter().next()
}
