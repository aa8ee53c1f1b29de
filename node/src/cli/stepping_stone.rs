//! `ucupdates stepping-stone`: list, new, remove: the interim builds that old phones need first (row D11).

use crate::api::types::devices::SteppingStoneBody;
use crate::cli::DryRun;
use crate::cli::output::{Console, Outcome, Wrap, or_dash, printable, table};
use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;

/// What to do with stepping stones.
#[derive(Debug, Subcommand)]
pub enum SteppingStoneCommand {
    /// List the stepping stones
    #[command(after_help = "Example:\n  ucupdates stepping-stone list")]
    List,
    /// Let phones below a version get an interim build before the approved version
    #[command(after_help = "\
Example: phones of every brand below 1.0.522.98 get 1.0.522.103 first
  ucupdates stepping-stone new --device-type UCPhone --below 1.0.522.98 --via 1.0.522.103")]
    New {
        #[command(flatten)]
        stone: StoneArgs,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove a stepping stone
    #[command(after_help = "\
Example:
  ucupdates stepping-stone remove --device-type UCPhone --below 1.0.522.98 --via 1.0.522.103")]
    Remove {
        #[command(flatten)]
        stone: StoneArgs,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// A stepping stone.
#[derive(Debug, Clone, Args)]
pub struct StoneArgs {
    /// The device type that it is for
    #[arg(long, default_value = "UCPhone")]
    pub device_type: String,
    /// The brand that it is for [default: any]
    #[arg(long)]
    pub brand: Option<String>,
    /// The model that it is for [default: any]
    #[arg(long)]
    pub model: Option<String>,
    /// Installed versions below this one need the stone
    #[arg(long, value_name = "VERSION")]
    pub below: String,
    /// The interim build
    #[arg(long, value_name = "VERSION")]
    pub via: String,
}

impl From<StoneArgs> for SteppingStoneBody {
    fn from(args: StoneArgs) -> Self {
        let StoneArgs { device_type, brand, model, below, via } = args;
        Self { device_type, brand, model, below, via }
    }
}

impl SteppingStoneCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let (method, stone, dry_run, done) = match self {
            Self::List => {
                let stones: Vec<SteppingStoneBody> = console.client()?.get("/stepping-stones", &()).await?;
                console.show(&stones, |stones, width| list(stones, width))?;
                return Ok(Outcome::Done);
            }
            Self::New { stone, dry_run } => (Method::POST, stone, dry_run, "new"),
            Self::Remove { stone, dry_run } => (Method::DELETE, stone, dry_run, "removed"),
        };
        let stone = SteppingStoneBody::from(stone);
        let stone: SteppingStoneBody = console.client()?.send(method, "/stepping-stones", &dry_run, &stone).await?;
        console.show(&stone, |stone, _| dry_run.told(&format!("{done}: {}", line(stone))))?;
        Ok(Outcome::Done)
    }
}

fn list(stones: &[SteppingStoneBody], width: Option<u16>) -> String {
    if stones.is_empty() {
        return "no stepping stones: every phone goes straight to its version; see `ucupdates stepping-stone new --help`"
            .to_owned();
    }
    let any = |name: &Option<String>| name.clone().unwrap_or_else(|| "any".to_owned());
    let row = |stone: &SteppingStoneBody| {
        let SteppingStoneBody { device_type, brand, model, below, via } = stone;
        vec![or_dash(Some(device_type)), any(brand), any(model), below.clone(), via.clone()]
    };
    let columns = [
        ("DEVICE TYPE", Wrap::Words),
        ("BRAND", Wrap::Words),
        ("MODEL", Wrap::Words),
        ("BELOW", Wrap::Never),
        ("VIA", Wrap::Never),
    ];
    table(&columns, stones.iter().map(row), width)
}

fn line(stone: &SteppingStoneBody) -> String {
    let SteppingStoneBody { device_type, brand, model, below, via } = stone;
    let named: Vec<&str> =
        [Some(device_type), brand.as_ref(), model.as_ref()].into_iter().flatten().map(String::as_str).collect();
    printable(&format!("{} below {below} via {via}", named.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepping_stones_are_a_table() {
        let stone = SteppingStoneBody {
            device_type: "UCPhone".into(),
            brand: Some("LG-Nortel".into()),
            model: None,
            below: "1.0.522.98".into(),
            via: "1.0.522.103".into(),
        };
        insta::assert_snapshot!(line(&stone), @"UCPhone LG-Nortel below 1.0.522.98 via 1.0.522.103");
        insta::assert_snapshot!(list(&[stone], None), @r"
        DEVICE TYPE  BRAND      MODEL  BELOW       VIA
        UCPhone      LG-Nortel  any    1.0.522.98  1.0.522.103
        ");
        insta::assert_snapshot!(list(&[], None), @"no stepping stones: every phone goes straight to its version; see `ucupdates stepping-stone new --help`");
    }
}
