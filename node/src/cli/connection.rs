//! Which node to speak to, and as whom: from the options, the environment, or the profile that `standard` writes.
//! [`resolve`] is the rule; reading files and making the client is beside it.

use crate::cli::client::Client;
use crate::profile::{self, Profile};
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::PathBuf;

/// Options of every command that speaks to a node.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Print the API's JSON instead of tables
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// The node's management address, for example https://node1.contoso.com:9443
    #[arg(long, global = true, value_name = "URL", env = "UCUPDATES_SERVER")]
    pub server: Option<String>,
    /// The administrator's token (better given by the environment: options can be seen by others)
    #[arg(long, global = true, value_name = "TOKEN", env = "UCUPDATES_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// PEM file of the authority that signed the node's certificate, when it is not a public one
    #[arg(long, global = true, value_name = "FILE", env = "UCUPDATES_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The profile to take what is not given from [default: ucupdates/profile.toml in the configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "UCUPDATES_PROFILE")]
    pub profile: Option<PathBuf>,
}

impl Connection {
    /// The node that the options, the environment or the profile name.
    pub fn client(&self) -> anyhow::Result<Client> {
        let target = resolve(self.clone(), self.load_profile()?)?;
        Client::new(&target.server, &target.token, target.ca_file.as_deref())
    }

    /// The same node as nobody in particular: for what a node says to everybody.
    pub fn client_without_token(&self) -> anyhow::Result<Client> {
        let profile = if self.server.is_some() && self.profile.is_none() { None } else { self.load_profile()? };
        // A token that is not sent, in place of one that need not be there.
        let given = Self { token: Some("none".to_owned()), ..self.clone() };
        let target = resolve(given, profile)?;
        Client::new(&target.server, "", target.ca_file.as_deref())
    }

    /// The authority given, or the profile's. Phones speak to the profile's node and to its listeners.
    pub fn authority(&self) -> anyhow::Result<Option<PathBuf>> {
        match &self.ca_file {
            Some(path) => Ok(Some(path.clone())),
            None => Ok(self.load_profile()?.and_then(|profile| profile.ca_file)),
        }
    }

    fn load_profile(&self) -> anyhow::Result<Option<Profile>> {
        if let Some(path) = &self.profile {
            let profile = Profile::load(path)?;
            return Ok(Some(profile.with_context(|| {
                format!("there is no profile {} (`ucupdates standard` writes one when it starts)", path.display())
            })?));
        }
        // With everything given, a machine without a home folder will do.
        if self.server.is_some() && self.token.is_some() {
            return Ok(None);
        }
        Profile::load(&profile::default_path()?)
    }
}

/// Options win over the profile. The profile's token and authority go to the profile's server only: a token must not
/// travel to whatever host `--server` names.
fn resolve(given: Connection, profile: Option<Profile>) -> anyhow::Result<Profile> {
    let same_server = |profile: &Profile| given.server.as_deref().is_none_or(|server| same(server, &profile.server));
    let profile = profile.filter(same_server);
    let (known_server, known_token, known_ca) = match profile {
        Some(profile) => (Some(profile.server), Some(profile.token), profile.ca_file),
        None => (None, None, None),
    };
    let Some(server) = given.server.or(known_server) else {
        bail!(
            "no node to speak to: start one with `ucupdates standard`, which also writes the profile that this command \
             looks for, or name one with --server and UCUPDATES_TOKEN"
        );
    };
    check(&server)?;
    let Some(token) = given.token.filter(|token| !token.is_empty()).or(known_token) else {
        bail!(
            "no token for {server}: give one with UCUPDATES_TOKEN, or --token (a profile's is for the server that the \
             profile names, and for no other)"
        );
    };
    Ok(Profile { server, token, ca_file: given.ca_file.or(known_ca) })
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// `https`, with a host and nothing behind it. Plain `http` would show the token to the network, so it is for this
/// machine only.
fn check(server: &str) -> anyhow::Result<()> {
    let url = url::Url::parse(server).ok().filter(|url| url.host().is_some() && url.path() == "/");
    let Some(url) = url.filter(|url| url.query().is_none() && url.username().is_empty()) else {
        bail!("{server:?} is not the address of a node: expected https://HOST:PORT");
    };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => bail!("{server} would show the token to the network: expected https://HOST:PORT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(server: &str, token: &str) -> Connection {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Connection { server: some(server), token: some(token), ..Connection::default() }
    }

    fn profile() -> Option<Profile> {
        let ca_file = Some("ca.pem".into());
        Some(Profile { server: "https://localhost:9443".into(), token: "kept".into(), ca_file })
    }

    fn resolved(given: Connection, profile: Option<Profile>) -> Result<(String, String, bool), String> {
        let target = resolve(given, profile).map_err(|error| error.to_string())?;
        Ok((target.server, target.token, target.ca_file.is_some()))
    }

    fn ok(server: &str, token: &str, ca: bool) -> Result<(String, String, bool), String> {
        Ok((server.to_owned(), token.to_owned(), ca))
    }

    #[test]
    fn options_win_over_the_profile() {
        assert_eq!(resolved(given("", ""), profile()), ok("https://localhost:9443", "kept", true));
        assert_eq!(resolved(given("", "mine"), profile()), ok("https://localhost:9443", "mine", true));
        assert_eq!(resolved(given("https://other:9443", "mine"), profile()), ok("https://other:9443", "mine", false));
        let ca_file = Connection { ca_file: Some("other.pem".into()), ..given("", "") };
        assert_eq!(resolve(ca_file, profile()).unwrap().ca_file, Some("other.pem".into()));
    }

    #[test]
    fn the_token_of_the_profile_goes_to_the_server_of_the_profile_only() {
        assert_eq!(resolved(given("https://LOCALHOST:9443/", ""), profile()).unwrap().1, "kept");
        let refused = resolved(given("https://elsewhere:9443", ""), profile()).unwrap_err();
        assert!(refused.starts_with("no token for https://elsewhere:9443"), "{refused}");
    }

    #[test]
    fn without_a_node_the_sentence_says_how_to_get_one() {
        let told = resolved(given("", "mine"), None).unwrap_err();
        assert!(told.contains("ucupdates standard") && told.contains("--server"), "{told}");
    }

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for server in ["https://node1:9443", "https://10.0.0.1", "http://127.0.0.1:80", "http://[::1]:80/"] {
            assert!(check(server).is_ok(), "{server}");
        }
        for server in
            ["node1", "node1:9443", "http://node1:9443", "ftp://node1", "https://node1/api", "https://u@node1"]
        {
            assert!(check(server).is_err(), "{server}");
        }
    }
}
