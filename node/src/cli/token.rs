//! `ucupdates token`: the administrators' tokens. A new token's secret is shown once and goes to standard output alone,
//! so that a script can keep it.

use crate::api::types::{NamedBody, NewToken};
use crate::cli::account::named;
use crate::cli::output::{Console, Outcome, printable};
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;

/// What to do with administrators' tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the tokens (never their secrets)
    #[command(after_help = "Example:\n  ucupdates token list")]
    List,
    /// Make a token and print it: the only time that it is shown
    #[command(after_help = "Example:\n  UCUPDATES_TOKEN=$(ucupdates token new nightly-import)")]
    New {
        /// The administrator that it acts as: this name stands in the admin events
        name: String,
    },
    /// Revoke a token at once
    #[command(after_help = "Example:\n  ucupdates token revoke nightly-import")]
    Revoke {
        /// The token's name
        name: String,
    },
}

impl TokenCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::List => {
                let tokens: Vec<NamedBody> = console.client()?.get("/tokens", &()).await?;
                let none = "no tokens: make one with `ucupdates token new NAME`";
                console.show(&tokens, |tokens, width| named(tokens, none, width))?;
            }
            Self::New { name } => {
                let request = serde_json::json!({ "name": name });
                let token: NewToken = console.client()?.send(Method::POST, "/tokens", &(), &request).await?;
                console.show_token(&token)?;
            }
            Self::Revoke { name } => {
                let token: NamedBody = console.client()?.delete("/tokens", &[("name", &name)]).await?;
                console.show(&token, |token, _| format!("revoked the token of {}", printable(&token.name)))?;
            }
        }
        Ok(Outcome::Done)
    }
}
