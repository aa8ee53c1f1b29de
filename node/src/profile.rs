//! The profile of the command line: which server to speak to, with which token. `standard` writes it, so that there
//! every command just works. Holds a secret: the file is readable by its owner alone.

use crate::durable;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the administrators' API is, and who we are there.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `https://localhost:9443`
    pub server: String,
    /// What goes behind `Authorization: Bearer`.
    pub token: String,
    /// PEM file of the authority that signed the server's certificate, when it is not a public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// `$UCUPDATES_PROFILE`, else `ucupdates/profile.toml` in the user's configuration folder.
pub fn default_path() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("UCUPDATES_PROFILE") {
        return Ok(path.into());
    }
    let folder = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => std::env::home_dir().context("finding the home folder: set UCUPDATES_PROFILE")?.join(".config"),
    };
    Ok(folder.join("ucupdates/profile.toml"))
}

impl Profile {
    /// Reads the file; none when there is no such file.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let profile =
                    toml::from_str(&text).with_context(|| format!("reading the profile {}", path.display()))?;
                Ok(Some(profile))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error).with_context(|| {
                let path = path.display();
                format!("reading the profile {path}, which is its owner's alone: be that user, or give UCUPDATES_TOKEN")
            }),
            Err(error) => Err(error).with_context(|| format!("reading the profile {}", path.display())),
        }
    }

    /// Writes the file whole or not at all.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().context("a profile needs a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let text = toml::to_string(self).context("writing the profile as TOML")?;
        durable::replace(path, text.as_bytes()).with_context(|| format!("writing the profile {}", path.display()))
    }
}
