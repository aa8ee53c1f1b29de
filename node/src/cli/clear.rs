//! `ucupdates clear`: files that no rule refers to, and old logs (rows C11, C12, F01 to F07).

use crate::api::types::packages::{ClearReport, ClearRequest};
use crate::api::types::settings::PoolBody;
use crate::cli::output::{Console, Outcome, count, printable, size};
use crate::cli::{DryRun, usage_error};
use anyhow::{Result, bail};
use clap::Subcommand;
use reqwest::Method;

/// What to clear.
#[derive(Debug, Subcommand)]
pub enum ClearCommand {
    /// Delete stored update files that no rule refers to any more
    #[command(after_help = "\
Example:
  ucupdates clear files --dry-run

Replaces Clear-CsDeviceUpdateFile.")]
    Files {
        /// The pool's FQDN, or service:WebServer:FQDN; may be left out when there is one pool
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete device logs and request audit logs that are older than some days
    #[command(after_help = "\
Example:
  ucupdates clear logs --days-back 14

Replaces Clear-CsDeviceUpdateLog.")]
    Logs {
        /// The pool's FQDN, or service:WebServer:FQDN; may be left out when there is one pool
        #[arg(long)]
        pool: Option<String>,
        /// Delete what is older than this many days, 1 to 30
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=30))]
        days_back: u32,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

impl ClearCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let (route, pool, days_back, dry_run) = match self {
            Self::Files { pool, dry_run } => ("/files/clear", pool, None, dry_run),
            Self::Logs { pool, days_back, dry_run } => ("/logs/clear", pool, Some(days_back), dry_run),
        };
        let client = console.client()?;
        let pool = match pool {
            Some(pool) => pool,
            None => only_pool(&client.get::<Vec<PoolBody>>("/pools", &()).await?)?,
        };
        let request = ClearRequest { pool, days_back, dry_run: dry_run.dry_run };
        let report: ClearReport = client.send(Method::POST, route, &(), &request).await?;
        console.show(&report, |report, _| cleared(report))?;
        Ok(Outcome::Done)
    }
}

/// The pool that is meant when none is named.
fn only_pool(pools: &[PoolBody]) -> Result<String> {
    match pools {
        [] => bail!("there is no pool yet: make one with `ucupdates pool new`"),
        [pool] => Ok(pool.fqdn.clone()),
        pools => {
            let names: Vec<&str> = pools.iter().map(|pool| pool.fqdn.as_str()).collect();
            Err(usage_error(&format!("there are {} pools: say which with --pool ({})", pools.len(), names.join(", "))))
        }
    }
}

fn cleared(report: &ClearReport) -> String {
    if report.files.is_empty() {
        return "nothing to delete".to_owned();
    }
    let mut lines: Vec<String> = report.files.iter().map(|file| printable(file)).collect();
    let sum = format!("{} ({})", count(report.files.len(), "file", "files"), size(report.size_bytes));
    lines.push(if report.dry_run {
        format!("dry run: {sum} would be deleted; nothing was changed")
    } else {
        format!("{sum} deleted")
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(fqdn: &str) -> PoolBody {
        PoolBody { fqdn: fqdn.into(), ..PoolBody::default() }
    }

    #[test]
    fn the_only_pool_need_not_be_named() {
        assert_eq!(only_pool(&[pool("a.b")]).unwrap(), "a.b");
        assert!(only_pool(&[]).unwrap_err().to_string().contains("pool new"));
        let several = only_pool(&[pool("a.b"), pool("c.d")]).unwrap_err();
        assert!(several.is::<clap::Error>() && several.to_string().contains("a.b, c.d"));
    }

    #[test]
    fn what_was_deleted_is_listed() {
        let file = "DeviceUpdateStore/UCPhone/Polycom/CX700/A/ENU/1.0.0.0/CPE/CPE.nbt".to_owned();
        let mut report = ClearReport { dry_run: false, files: vec![file], size_bytes: 2048 };
        insta::assert_snapshot!(cleared(&report), @r"
        DeviceUpdateStore/UCPhone/Polycom/CX700/A/ENU/1.0.0.0/CPE/CPE.nbt
        1 file (2.00 KiB) deleted
        ");
        report.dry_run = true;
        insta::assert_snapshot!(cleared(&report).lines().last().unwrap(), @"dry run: 1 file (2.00 KiB) would be deleted; nothing was changed");
        report.files.clear();
        insta::assert_snapshot!(cleared(&report), @"nothing to delete");
    }
}
