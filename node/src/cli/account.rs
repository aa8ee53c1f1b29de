//! `ucupdates account`: the accounts that phones outside sign in with. A password is never an argument, where other
//! users of the machine could see it: it comes from a file, a pipe, or the keyboard.

use crate::api::types::NamedBody;
use crate::api::types::devices::AccountRequest;
use crate::cli::output::{Console, Outcome, Wrap, printable, table, time};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;

/// Bytes of a password, and of the file or pipe that it comes from.
const PASSWORD_LIMIT_BYTES: u64 = 1024;

/// What to do with the accounts of phones outside.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// List the accounts
    #[command(after_help = "Example:\n  ucupdates account list")]
    List,
    /// Make an account
    #[command(after_help = "\
Examples:
  ucupdates account new ruisilva@demo.local
  ucupdates account new ruisilva@demo.local --password-file /run/secrets/ruisilva")]
    New {
        /// The account's name, as the phone sends it
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give an account a new password
    #[command(after_help = "Example:\n  ucupdates account set-password ruisilva@demo.local")]
    SetPassword {
        /// The account's name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Remove an account
    #[command(after_help = "Example:\n  ucupdates account remove ruisilva@demo.local")]
    Remove {
        /// The account's name
        name: String,
    },
}

/// Where the password comes from; a pipe or the keyboard when nothing is said.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// File whose first line is the password [default: it is asked for, or read from a pipe]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl AccountCommand {
    /// Speaks to the node and shows its answer.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        match self {
            Self::List => {
                let accounts: Vec<NamedBody> = console.client()?.get("/accounts", &()).await?;
                let none = "no accounts yet: phones outside need one; make it with `ucupdates account new NAME`";
                console.show(&accounts, |accounts, width| named(accounts, none, width))?;
            }
            Self::New { name, password } => {
                let request = AccountRequest { name, password: password.read()? };
                let account: NamedBody = console.client()?.send(Method::POST, "/accounts", &(), &request).await?;
                console.show(&account, |account, _| format!("new account: {}", printable(&account.name)))?;
            }
            Self::SetPassword { name, password } => {
                let request = AccountRequest { name, password: password.read()? };
                let account: NamedBody = console.client()?.send(Method::PATCH, "/accounts", &(), &request).await?;
                console.show(&account, |account, _| format!("new password for {}", printable(&account.name)))?;
            }
            Self::Remove { name } => {
                let account: NamedBody = console.client()?.delete("/accounts", &[("name", &name)]).await?;
                console.show(&account, |account, _| format!("removed account {}", printable(&account.name)))?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// Accounts or tokens as a table, or what to do when there is none.
pub fn named(bodies: &[NamedBody], none: &str, width: Option<u16>) -> String {
    if bodies.is_empty() {
        return none.to_owned();
    }
    let rows = bodies.iter().map(|body| vec![body.name.clone(), time(&body.created_at)]);
    table(&[("NAME", Wrap::Words), ("MADE (UTC)", Wrap::Never)], rows, width)
}

impl PasswordArgs {
    fn read(&self) -> Result<String> {
        if let Some(path) = &self.password_file {
            let doing = || format!("reading the password file {}", path.display());
            return first_line(std::fs::File::open(path).with_context(doing)?).with_context(doing);
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return first_line(stdin.lock()).context("reading the password from standard input");
        }
        let password = rpassword::prompt_password("Password: ").context("asking for the password")?;
        let again = rpassword::prompt_password("Once more: ").context("asking for the password")?;
        if password != again {
            bail!("the two passwords differ");
        }
        checked(password)
    }
}

fn first_line(source: impl Read) -> Result<String> {
    let mut text = String::new();
    source.take(PASSWORD_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > PASSWORD_LIMIT_BYTES {
        bail!("longer than {PASSWORD_LIMIT_BYTES} bytes: expected one line, the password");
    }
    let line = text.lines().next().unwrap_or_default();
    checked(line.to_owned())
}

fn checked(password: String) -> Result<String> {
    if password.is_empty() {
        bail!("the password is empty");
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let read = |text: &str| first_line(text.as_bytes()).ok();
        assert_eq!(read("secret\n"), Some("secret".into()));
        assert_eq!(read(" spaced \r\nmore"), Some(" spaced ".into()));
        assert_eq!(read(""), None);
        assert_eq!(read("\n"), None);
        assert_eq!(read(&"x".repeat(1025)), None);
    }

    #[test]
    fn accounts_are_a_table() {
        let body = NamedBody { name: "ruisilva@demo.local".into(), created_at: "2026-03-06T17:07:20Z".into() };
        insta::assert_snapshot!(named(&[body], "none", None), @r"
        NAME                 MADE (UTC)
        ruisilva@demo.local  2026-03-06 17:07:20
        ");
        assert_eq!(named(&[], "none", None), "none");
    }
}
