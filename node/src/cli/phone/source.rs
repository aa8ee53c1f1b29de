//! Where the model comes from: a file that may change, or the node's API. Reads; what is right by it is not known here.

use crate::api::types::StatusBody;
use crate::api::types::snapshot::SnapshotBody;
use crate::cli::client::Client;
use crate::simulation::model::Model;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often a file is looked at.
const FILE_INTERVAL: Duration = Duration::from_millis(200);

/// How often the API is asked whether anything changed.
const NODE_INTERVAL: Duration = Duration::from_secs(2);

/// Where the model comes from.
pub(super) enum ModelSource {
    /// A file; `seen` is how it looked when it was last read.
    File {
        /// Where it is.
        path: PathBuf,
        /// When it was written, and its length.
        seen: Option<(SystemTime, u64)>,
    },
    /// The API; `generation` is the one last read.
    Node {
        /// The node.
        client: Client,
        /// Counts changes.
        generation: Option<i64>,
    },
}

impl ModelSource {
    /// A file, not read yet.
    pub(super) fn file(path: &Path) -> Self {
        Self::File { path: path.to_owned(), seen: None }
    }

    /// How long to wait before looking again.
    pub(super) fn interval(&self) -> Duration {
        match self {
            Self::File { .. } => FILE_INTERVAL,
            Self::Node { .. } => NODE_INTERVAL,
        }
    }

    /// The model, if it is another than the one read before. After an error the next call tries again.
    pub(super) async fn changed(&mut self) -> Result<Option<Model>> {
        match self {
            Self::File { path, seen } => {
                let doing = || format!("reading the model {}", path.display());
                let metadata = std::fs::metadata(&*path).with_context(doing)?;
                let now = (metadata.modified().with_context(doing)?, metadata.len());
                if *seen == Some(now) {
                    return Ok(None);
                }
                let text = std::fs::read_to_string(&*path).with_context(doing)?;
                let body: SnapshotBody = serde_json::from_str(&text).with_context(doing)?;
                let model = Model::new(&body).with_context(doing)?;
                *seen = Some(now);
                Ok(Some(model))
            }
            Self::Node { client, generation } => {
                let status: StatusBody = client.get("/status", &()).await?;
                if generation.is_some() && *generation == status.generation {
                    return Ok(None);
                }
                let body: SnapshotBody = client.get("/snapshot", &()).await?;
                let model = Model::new(&body).context("reading the node's /snapshot as a model")?;
                *generation = Some(body.generation);
                Ok(Some(model))
            }
        }
    }
}
