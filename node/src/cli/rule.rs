//! `ucupdates rule`: list, show, approve, reset, restore, remove (rows C02 to C06). What is selected is worked out in
//! `selection`, how rules and reports look in `table`.

mod selection;
mod table;

use crate::api::types::rules::{RuleBody, RuleFilterBody, RuleReport, RuleStateBody};
use crate::cli::client::Client;
use crate::cli::output::{Console, Outcome};
use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use selection::{Selected, find, resolve, selected};

/// What to do with device update rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// List the device update rules
    #[command(after_help = "\
Example: the rules that wait for approval
  ucupdates rule list --state pending --brand Polycom

Replaces Get-CsDeviceUpdateRule.")]
    List(FilterArgs),
    /// Show everything about one rule
    #[command(after_help = "Example:\n  ucupdates rule show 1a2b3c4d\n\nReplaces Get-CsDeviceUpdateRule -Identity.")]
    Show {
        /// The rule's GUID, as much of its beginning as is unique, or its identity
        id: String,
    },
    /// Approve the pending version: every phone that the rule speaks of gets it
    #[command(after_help = "\
Examples:
  ucupdates rule approve 1a2b3c4d
  ucupdates rule approve --brand Polycom --model 'CX*' --dry-run

Replaces Approve-CsDeviceUpdateRule.")]
    Approve(ActionArgs),
    /// Reject the pending version: test devices go back to the approved one
    #[command(after_help = "\
Example:
  ucupdates rule reset --brand Polycom

Replaces Reset-CsDeviceUpdateRule.")]
    Reset(ActionArgs),
    /// Go back to the version that was approved before (one step)
    #[command(after_help = "\
Example:
  ucupdates rule restore 1a2b3c4d

Replaces Restore-CsDeviceUpdateRule.")]
    Restore {
        /// Where no earlier version is kept: approve none
        #[arg(long)]
        uninstall: bool,
        #[command(flatten)]
        action: ActionArgs,
    },
    /// Remove rules for good; nothing is uninstalled, and files stay until `clear files`
    #[command(after_help = "\
Example:
  ucupdates rule remove --model CX700 --dry-run

Replaces Remove-CsDeviceUpdateRule.")]
    Remove(ActionArgs),
}

/// Rules by what they say; all that are given must match. `*` and `?` are wildcards, case is ignored.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filter")]
pub struct FilterArgs {
    /// Rules with this identity (Service:WebServer:POOL/GUID) or GUID; * and ? are wildcards here and below
    #[arg(long, value_name = "PATTERN")]
    pub identity: Option<String>,
    /// Rules of this pool
    #[arg(long, value_name = "PATTERN")]
    pub pool: Option<String>,
    /// Rules for this device type: UCPhone, RoundTable, ...
    #[arg(long, value_name = "PATTERN")]
    pub device_type: Option<String>,
    /// Rules for this vendor
    #[arg(long, value_name = "PATTERN")]
    pub brand: Option<String>,
    /// Rules for this model
    #[arg(long, value_name = "PATTERN")]
    pub model: Option<String>,
    /// Rules that hold a version in this place
    #[arg(long, value_enum)]
    pub state: Option<RuleStateBody>,
}

impl From<FilterArgs> for RuleFilterBody {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { identity, pool, device_type, brand, model, state } = args;
        Self { identity, pool, device_type, brand, model, state }
    }
}

/// The rules to act on.
#[derive(Debug, Clone, Default, Args)]
pub struct ActionArgs {
    /// GUIDs of rules, as much of each beginning as is unique, or identities
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Every rule of every pool
    #[arg(long)]
    pub all: bool,
    /// Tell what would happen and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What is done to the selected rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Approve,
    Reset,
    Restore,
    Uninstall,
    Remove,
}

impl Verb {
    fn route(self) -> &'static str {
        match self {
            Self::Approve => "/rules/approve",
            Self::Reset => "/rules/reset",
            Self::Restore | Self::Uninstall => "/rules/restore",
            Self::Remove => "/rules/remove",
        }
    }

    /// `3 rules <done>`.
    fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reset => "reset",
            Self::Restore => "restored",
            Self::Uninstall => "uninstalled",
            Self::Remove => "removed",
        }
    }
}

impl RuleCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::List(filter) => list(filter, console).await,
            Self::Show { id } => show(&id, console).await,
            Self::Approve(args) => act(Verb::Approve, args, console).await,
            Self::Reset(args) => act(Verb::Reset, args, console).await,
            Self::Restore { action, uninstall: false } => act(Verb::Restore, action, console).await,
            Self::Restore { action, uninstall: true } => act(Verb::Uninstall, action, console).await,
            Self::Remove(args) => act(Verb::Remove, args, console).await,
        }
    }
}

async fn list(filter: FilterArgs, console: &Console) -> Result<Outcome> {
    let filter = RuleFilterBody::from(filter);
    let rules: Vec<RuleBody> = console.client()?.get("/rules", &filter).await?;
    let filtered = filter != RuleFilterBody::default();
    console.show(&rules, |rules, width| table::list(rules, filtered, width))?;
    Ok(Outcome::Done)
}

async fn show(id: &str, console: &Console) -> Result<Outcome> {
    let rules = every_rule(&console.client()?).await?;
    let rule = find(id, &rules)?;
    console.show(rule, |rule, _| table::one(rule))?;
    Ok(Outcome::Done)
}

async fn act(verb: Verb, args: ActionArgs, console: &Console) -> Result<Outcome> {
    // Of all rules there may be none; what is named must be there.
    let named = !args.all;
    let selected = selected(args)?;
    let client = console.client()?;
    let mut selection = match selected {
        Selected::Ids(mut selection) => {
            selection.ids = resolve(&selection.ids, &every_rule(&client).await?)?;
            selection
        }
        Selected::Whole(selection) => selection,
    };
    selection.uninstall = verb == Verb::Uninstall;
    let report: RuleReport = client.send(Method::POST, verb.route(), &(), &selection).await?;
    console.show(&report, |report, width| table::report(verb, report, width))?;
    let refused = report.results.iter().any(|result| result.refused.is_some());
    Ok(Outcome::refused_if(refused || (named && report.results.is_empty())))
}

async fn every_rule(client: &Client) -> Result<Vec<RuleBody>> {
    client.get("/rules", &RuleFilterBody::default()).await
}
