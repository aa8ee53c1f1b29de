//! Gives the command line a token for this node, so that there every command just works.

use crate::api::{new_token, token_digest};
use crate::app::RunningNode;
use crate::profile::{self, Profile};
use anyhow::Context as _;
use schema::store::StoreError;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Who the command line acts as here.
const ADMINISTRATOR: &str = "standard";

/// Writes the profile of this start; the token of an earlier one is used again, unless somebody revoked it: whoever may
/// start the service may command it. The data folder keeps a copy, because the user's own may belong to another
/// installation the next time.
pub(super) async fn provide(node: &RunningNode, folder: &Path) -> anyhow::Result<PathBuf> {
    let kept = folder.join("profile.toml");
    let port = node.addresses.management_https.first().map_or(0, SocketAddr::port);
    let token = match Profile::load(&kept)? {
        Some(profile) if is_valid(node, &profile.token).await? => profile.token,
        _ => made(node).await?,
    };
    let profile =
        Profile { server: format!("https://localhost:{port}"), token, ca_file: Some(folder.join("tls/ca.pem")) };
    profile.save(&kept)?;
    let path = profile::default_path()?;
    profile.save(&path)?;
    Ok(path)
}

async fn is_valid(node: &RunningNode, token: &str) -> anyhow::Result<bool> {
    let known = node.admin.database.authenticate(&token_digest(token)).await;
    Ok(known.context("checking the command line's token")?.is_some())
}

/// A new token of the administrator `standard`. Where the first one was revoked or its secret lost, the next has a name of its own.
async fn made(node: &RunningNode) -> anyhow::Result<String> {
    let (token, digest) = new_token();
    let database = &node.admin.database;
    let made = match database.create_token(ADMINISTRATOR, ADMINISTRATOR, &digest, None, ADMINISTRATOR).await {
        Err(StoreError::AlreadyExists(_)) => {
            let name = format!("{ADMINISTRATOR}-{}", &digest.to_string()[..8]);
            database.create_token(ADMINISTRATOR, &name, &digest, None, ADMINISTRATOR).await
        }
        made => made,
    };
    made.context("making a token for the command line")?;
    Ok(token)
}
