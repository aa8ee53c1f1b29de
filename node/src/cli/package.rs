//! `ucupdates package`: makes packages and looks into them, without a server, and lists what was imported. The work is
//! in `sync`; here are only the words and the tables.

mod build;
mod list;
mod show;

use crate::cli::output::{Console, Outcome};
use anyhow::{Context as _, Result};
use clap::Subcommand;

/// Make a package, or look into one; no server is asked
#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// Make a package (.cab) from a vendor's image files
    #[command(after_help = "\
Examples:
  Polycom's image for two models; CPE.cat beside it is taken along as its signature:
    ucupdates package build --brand Polycom --model CX500 --model CX600 --revision A --locale ENU \\
        --version 4.0.7577.4387 --output polycom.cab CPE.nbt

  AudioCodes' image, whose file name is not the update type that the phones ask for:
    ucupdates package build --brand AudioCodes --model 420HD --revision 0 --locale ENU \\
        --version 2.2.16.50 --update-type 420HD --output audiocodes.cab 420HD_2.2.16.50.img

  The interim build that old phones need first (version 1.0.522.103 unless you say otherwise):
    ucupdates package build --interim --locale ENU --output interim.cab CPE.nbt

Then: ucupdates package show polycom.cab, ucupdates import polycom.cab.")]
    Build(Box<build::BuildArgs>),
    /// Show what a package holds, and whether it can be imported
    #[command(after_help = "\
Examples:
  ucupdates package show UCUpdates.cab
  ucupdates package show UCUpdates.exe --json

Nothing is imported and no server is needed. Exit code 0: it can be imported; 1: it cannot, and the last line says why.
What a package may cost is limited as on a node whose [packages] are the defaults.")]
    Show(show::ShowArgs),
    /// List the packages that were imported, newest first
    #[command(after_help = "Example:\n  ucupdates package list")]
    List,
}

impl PackageCommand {
    /// Does the work on a thread of its own and shows what came of it.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let work: Box<dyn FnOnce() -> Result<show::PackageView> + Send> = match self {
            Self::List => return list::run(console).await,
            Self::Build(args) => Box::new(move || args.run()),
            Self::Show(args) => Box::new(move || args.run()),
        };
        let view = tokio::task::spawn_blocking(work).await.context("looking at the package")??;
        console.show(&view, show::render)?;
        Ok(Outcome::refused_if(!view.importable))
    }
}
