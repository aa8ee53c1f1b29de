//! `ucupdates pool`: list, new, set (rows C19, C20): the pools and the addresses that phones are told.

use crate::api::types::settings::{PoolBody, PoolChange};
use crate::cli::output::{Console, Outcome, or_dash, printable};
use crate::cli::{DryRun, usage_error};
use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;

/// What to do with pools.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// List the pools with their addresses
    #[command(after_help = "Example:\n  ucupdates pool list\n\nReplaces Get-CsService -WebServer.")]
    List,
    /// Make a pool
    #[command(after_help = "\
Example:
  ucupdates pool new pool01.contoso.com --site Redmond --service-id 1-WebServices-1 \\
      --internal-files-url http://pool01.contoso.com/RequestHandler/Files")]
    New {
        /// The pool's FQDN
        fqdn: String,
        /// The site that the pool is in
        #[arg(long)]
        site: String,
        /// The pool's folder in the file store, for example 1-WebServices-1
        #[arg(long, value_name = "ID")]
        service_id: String,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        urls: UrlArgs,
    },
    /// Change a pool's addresses; what is not given stays
    #[command(after_help = "\
Example:
  ucupdates pool set pool01.contoso.com \\
      --external-files-url https://updates.contoso.com/RequestHandlerExt/Files

Replaces Set-CsWebServer.")]
    Set {
        /// The pool's FQDN
        fqdn: String,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        urls: UrlArgs,
    },
}

/// The four addresses of a pool; in `set` the empty text takes one away.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Addresses (an empty one takes it away)")]
pub struct UrlArgs {
    /// Where phones inside ask
    #[arg(long, value_name = "URL")]
    pub internal_update_url: Option<String>,
    /// Where phones outside ask
    #[arg(long, value_name = "URL")]
    pub external_update_url: Option<String>,
    /// Where phones inside fetch files
    #[arg(long, value_name = "URL")]
    pub internal_files_url: Option<String>,
    /// Where phones outside fetch files
    #[arg(long, value_name = "URL")]
    pub external_files_url: Option<String>,
}

impl UrlArgs {
    fn change(self, fqdn: String) -> PoolChange {
        let Self { internal_update_url, external_update_url, internal_files_url, external_files_url } = self;
        PoolChange { fqdn, internal_update_url, external_update_url, internal_files_url, external_files_url }
    }

    fn pool(self, fqdn: String, site: String, service_id: String) -> PoolBody {
        PoolBody {
            identity: String::new(),
            fqdn,
            site,
            service_id,
            internal_update_url: self.internal_update_url,
            external_update_url: self.external_update_url,
            internal_files_url: self.internal_files_url,
            external_files_url: self.external_files_url,
        }
    }
}

impl PoolCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::List => {
                let pools: Vec<PoolBody> = console.client()?.get("/pools", &()).await?;
                console.show(&pools, |pools, _| list(pools))?;
            }
            Self::New { fqdn, site, service_id, urls, dry_run } => {
                let pool = urls.pool(fqdn, site, service_id);
                let pool: PoolBody = console.client()?.send(Method::POST, "/pools", &dry_run, &pool).await?;
                console.show(&pool, |pool, _| dry_run.told(&one(pool)))?;
            }
            Self::Set { fqdn, urls, dry_run } => {
                let change = urls.change(fqdn);
                if change == (PoolChange { fqdn: change.fqdn.clone(), ..PoolChange::default() }) {
                    return Err(usage_error("nothing to set: give an address, for example --internal-files-url"));
                }
                let pool: PoolBody = console.client()?.send(Method::PATCH, "/pools", &dry_run, &change).await?;
                console.show(&pool, |pool, _| dry_run.told(&one(pool)))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(pools: &[PoolBody]) -> String {
    if pools.is_empty() {
        return "no pools yet: make one with `ucupdates pool new`".to_owned();
    }
    pools.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// One pool: addresses are too long for a table.
fn one(pool: &PoolBody) -> String {
    let url = |url: &Option<String>| or_dash(url.as_deref());
    let lines = [
        ("Identity", or_dash(Some(&pool.identity))),
        ("Fqdn", pool.fqdn.clone()),
        ("Site", pool.site.clone()),
        ("ServiceId", pool.service_id.clone()),
        ("InternalUpdateUrl", url(&pool.internal_update_url)),
        ("ExternalUpdateUrl", url(&pool.external_update_url)),
        ("InternalFilesUrl", url(&pool.internal_files_url)),
        ("ExternalFilesUrl", url(&pool.external_files_url)),
    ];
    lines.map(|(name, value)| format!("{name:<17} : {}", printable(&value))).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_shown_with_their_addresses() {
        let pool = PoolBody {
            identity: "service:WebServer:pool01.contoso.com".into(),
            fqdn: "pool01.contoso.com".into(),
            site: "Redmond".into(),
            service_id: "1-WebServices-1".into(),
            internal_files_url: Some("http://pool01.contoso.com/RequestHandler/Files".into()),
            ..PoolBody::default()
        };
        insta::assert_snapshot!(list(&[pool]), @r"
        Identity          : service:WebServer:pool01.contoso.com
        Fqdn              : pool01.contoso.com
        Site              : Redmond
        ServiceId         : 1-WebServices-1
        InternalUpdateUrl : -
        ExternalUpdateUrl : -
        InternalFilesUrl  : http://pool01.contoso.com/RequestHandler/Files
        ExternalFilesUrl  : -
        ");
        insta::assert_snapshot!(list(&[]), @"no pools yet: make one with `ucupdates pool new`");
    }
}
