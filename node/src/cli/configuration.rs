//! `ucupdates config`: get, new, set, remove (rows C07 to C10, G01 to G12): the device update configuration, global or
//! of a site.

use crate::api::types::settings::{ConfigurationBody, ConfigurationChange, ListChangeBody};
use crate::cli::output::{Console, Outcome, or_dash, printable};
use crate::cli::{DryRun, usage_error};
use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;

/// What to do with the device update configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigurationCommand {
    /// Show the device update configuration of every scope, or of one
    #[command(after_help = "\
Example:
  ucupdates config get site:Redmond

Replaces Get-CsDeviceUpdateConfiguration.")]
    Get {
        /// global or site:NAME
        scope: Option<String>,
    },
    /// Make a configuration for a site: its pools follow it instead of the global one
    #[command(after_help = "\
Example: what is not given has its default
  ucupdates config new site:Redmond --log-clean-up-interval 30

Replaces New-CsDeviceUpdateConfiguration.")]
    New {
        /// site:NAME
        scope: String,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Change settings; what is not given stays
    #[command(after_help = "\
Example:
  ucupdates config set global --log-clean-up-time-of-day 03:30 --add-extension .log

Replaces Set-CsDeviceUpdateConfiguration.")]
    Set {
        /// global or site:NAME
        scope: String,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Remove a site's configuration, or reset the global one to the defaults
    #[command(after_help = "\
Example:
  ucupdates config remove site:Redmond

Replaces Remove-CsDeviceUpdateConfiguration.")]
    Remove {
        /// global or site:NAME
        scope: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// The settings, by the names of the cmdlets' parameters.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Age at which a log file is deleted, 1 to 365 days: days, or dd.hh:mm:ss
    #[arg(long, value_name = "TIMESPAN")]
    pub log_clean_up_interval: Option<String>,
    /// Time of day (UTC) at which old logs are deleted; the empty text takes it away (then 02:00)
    #[arg(long, value_name = "HH:MM")]
    pub log_clean_up_time_of_day: Option<String>,
    /// How often the log cache is written to the file store, 1 minute to 1 hour: hh:mm:ss
    #[arg(long, value_name = "TIMESPAN")]
    pub log_flush_interval: Option<String>,
    /// Size of the log cache that forces a flush before the interval
    #[arg(long, value_name = "BYTES")]
    pub max_log_cache_limit: Option<u32>,
    /// Size of a log file at which the next batch goes to a new one
    #[arg(long, value_name = "BYTES")]
    pub max_log_file_size: Option<u32>,
    /// Accept device logs with this extension too; may be repeated
    #[arg(long, value_name = ".EXT", value_delimiter = ',')]
    pub add_extension: Vec<String>,
    /// Accept device logs with this extension no longer; may be repeated
    #[arg(long, value_name = ".EXT", value_delimiter = ',')]
    pub remove_extension: Vec<String>,
    /// Accept device logs with these extensions only
    #[arg(long, value_name = ".EXT,.EXT", value_delimiter = ',', conflicts_with_all = ["add_extension", "remove_extension"])]
    pub replace_extensions: Option<Vec<String>>,
    /// Accept device logs of this type too; may be repeated
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub add_type: Vec<String>,
    /// Accept device logs of this type no longer; may be repeated
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub remove_type: Vec<String>,
    /// Accept device logs of these types only
    #[arg(long, value_name = "TYPE,TYPE", value_delimiter = ',', conflicts_with_all = ["add_type", "remove_type"])]
    pub replace_types: Option<Vec<String>>,
}

impl SettingsArgs {
    fn change(self, scope: String) -> ConfigurationChange {
        let list = |replace, add, remove| ListChangeBody { replace, add, remove };
        ConfigurationChange {
            scope,
            log_clean_up_interval: self.log_clean_up_interval,
            log_clean_up_time_of_day: self.log_clean_up_time_of_day,
            log_flush_interval: self.log_flush_interval,
            max_log_cache_limit: self.max_log_cache_limit,
            max_log_file_size: self.max_log_file_size,
            valid_log_file_extensions: list(self.replace_extensions, self.add_extension, self.remove_extension),
            valid_log_file_types: list(self.replace_types, self.add_type, self.remove_type),
        }
    }
}

impl ConfigurationCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::Get { scope } => {
                let query: Vec<_> = scope.iter().map(|scope| ("scope", scope)).collect();
                let found: Vec<ConfigurationBody> = console.client()?.get("/configuration", &query).await?;
                console.show(&found, |found, _| found.iter().map(one).collect::<Vec<_>>().join("\n\n"))?;
            }
            Self::New { scope, settings, dry_run } => {
                change(Method::POST, settings.change(scope), dry_run, console).await?;
            }
            Self::Set { scope, settings, dry_run } => {
                let given = settings.change(scope);
                if given == SettingsArgs::default().change(given.scope.clone()) {
                    return Err(usage_error("nothing to set: see the settings in `ucupdates config set --help`"));
                }
                change(Method::PATCH, given, dry_run, console).await?;
            }
            Self::Remove { scope, dry_run } => {
                let query = dry_run.with("scope", &scope);
                let holds: ConfigurationBody = console.client()?.delete("/configuration", &query).await?;
                console.show(&holds, |holds, _| dry_run.told(&removed(&scope, holds)))?;
            }
        }
        Ok(Outcome::Done)
    }
}

async fn change(method: Method, change: ConfigurationChange, dry_run: DryRun, console: &Console) -> Result<()> {
    let holds: ConfigurationBody = console.client()?.send(method, "/configuration", &dry_run, &change).await?;
    console.show(&holds, |holds, _| dry_run.told(&one(holds)))
}

fn removed(scope: &str, holds: &ConfigurationBody) -> String {
    let told =
        if holds.scope.eq_ignore_ascii_case(scope) { "reset to the defaults" } else { "removed; this holds now" };
    format!("the configuration of {} is {told}:\n{}", printable(scope), one(holds))
}

/// One configuration, as the cmdlet prints it.
fn one(body: &ConfigurationBody) -> String {
    let time = body.log_clean_up_time_of_day.as_deref();
    let lines = [
        ("Identity", body.scope.clone()),
        ("LogCleanUpInterval", body.log_clean_up_interval.clone()),
        ("LogCleanUpTimeOfDay", time.map_or_else(|| "- (then 02:00)".to_owned(), |time| or_dash(Some(time)))),
        ("LogFlushInterval", body.log_flush_interval.clone()),
        ("MaxLogCacheLimit", body.max_log_cache_limit.to_string()),
        ("MaxLogFileSize", body.max_log_file_size.to_string()),
        ("ValidLogFileExtensions", or_dash(Some(&body.valid_log_file_extensions.join(", ")))),
        ("ValidLogFileTypes", or_dash(Some(&body.valid_log_file_types.join(", ")))),
    ];
    lines.map(|(name, value)| format!("{name:<22} : {}", printable(&value))).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::settings::DeviceUpdateConfiguration;
    use schema::test_device::Scope;

    fn defaults() -> ConfigurationBody {
        ConfigurationBody::new(&Scope::Global, &DeviceUpdateConfiguration::default())
    }

    #[test]
    fn a_configuration_is_shown_as_the_cmdlet_does() {
        insta::assert_snapshot!(one(&defaults()), @r"
        Identity               : global
        LogCleanUpInterval     : 10.00:00:00
        LogCleanUpTimeOfDay    : - (then 02:00)
        LogFlushInterval       : 00:05:00
        MaxLogCacheLimit       : 512000
        MaxLogFileSize         : 1024000
        ValidLogFileExtensions : .dmp, .clg, .clg1, .clg2, .bak, .kdmp, .dat, .bin, .cat, .xml, .txt, .hex
        ValidLogFileTypes      : Watson, Config, Diaglog, CELog
        ");
    }

    #[test]
    fn removing_tells_what_holds_now() {
        insta::assert_snapshot!(removed("Global", &defaults()).lines().next().unwrap(), @"the configuration of Global is reset to the defaults:");
        insta::assert_snapshot!(removed("site:Redmond", &defaults()).lines().next().unwrap(), @"the configuration of site:Redmond is removed; this holds now:");
    }
}
