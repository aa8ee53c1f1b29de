//! `ucupdates explain`: what would this phone get, and why. The node decides as it does for phones; this only asks.

use crate::api::types::devices::{ExplainQuery, Explanation};
use crate::cli::output::{Console, Outcome, time};
use crate::cli::usage_error;
use anyhow::Result;
use clap::Args;

/// A phone: one that asked before, or an imagined one.
#[derive(Debug, Clone, Default, Args)]
pub struct ExplainArgs {
    /// MAC address; alone it means the phone as it last asked
    #[arg(long, value_name = "ADDRESS")]
    pub mac: Option<String>,
    /// Serial number; alone it means the phone as it last asked
    #[arg(long, value_name = "NUMBER")]
    pub serial: Option<String>,
    /// Device type: UCPhone, RoundTable, ...
    #[arg(long)]
    pub device_type: Option<String>,
    /// Vendor
    #[arg(long)]
    pub brand: Option<String>,
    /// Model
    #[arg(long)]
    pub model: Option<String>,
    /// Hardware revision
    #[arg(long)]
    pub revision: Option<String>,
    /// Locale, Windows' three letters
    #[arg(long)]
    pub locale: Option<String>,
    /// The module's file name, for example CPE.nbt
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    /// The installed version
    #[arg(long)]
    pub version: Option<String>,
    /// The pool that the phone asks [default: the node's own]
    #[arg(long)]
    pub pool: Option<String>,
}

impl From<ExplainArgs> for ExplainQuery {
    fn from(args: ExplainArgs) -> Self {
        let ExplainArgs { mac, serial, device_type, brand, model, revision, locale, file, version, pool } = args;
        Self { pool, mac, serial, device_type, brand, model, revision, locale, file, version }
    }
}

impl ExplainArgs {
    /// Asks the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let query = ExplainQuery::from(self);
        if query == (ExplainQuery { pool: query.pool.clone(), ..ExplainQuery::default() }) {
            return Err(usage_error(
                "which phone? give --mac or --serial of one that asked before, or describe one by \
                 --device-type, --brand, --model, --revision, --locale and --version",
            ));
        }
        let explanation: Explanation = console.client()?.get("/explain", &query).await?;
        console.show(&explanation, |explanation, _| text(explanation))?;
        Ok(Outcome::Done)
    }
}

fn text(explanation: &Explanation) -> String {
    let asked = explanation.last_asked.as_deref().map(|at| format!("\nThe phone last asked at {} UTC.", time(at)));
    format!("{}{}", explanation.text, asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_says_when_the_phone_asked() {
        let mut explanation = Explanation {
            text: "The phone gets 2.0.0.0.".into(),
            reasons: vec!["offered".into()],
            offered: vec!["2.0.0.0".into()],
            last_asked: Some("2026-03-06T17:07:20Z".into()),
        };
        insta::assert_snapshot!(text(&explanation), @r"
        The phone gets 2.0.0.0.
        The phone last asked at 2026-03-06 17:07:20 UTC.
        ");
        explanation.last_asked = None;
        insta::assert_snapshot!(text(&explanation), @"The phone gets 2.0.0.0.");
    }
}
