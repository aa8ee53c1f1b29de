//! `ucupdates import FILE` (row C01): streams a package to a node and shows the report card. What cannot be a package
//! at all (no such file, a folder, an empty file) is said before anything is sent.

use crate::api::types::StatusBody;
use crate::api::types::packages::{ImportOutcomeBody, ImportQuery, ReportCard};
use crate::cli::output::{Console, Outcome};
use crate::cli::replica;
use crate::cli::report_card::report_card;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

/// Bytes that are read and sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A package, and the pools that it is for.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The package: a .cab file, or the vendor's UCUpdates.exe
    pub file: PathBuf,
    /// The FQDN of a pool; may be repeated [default: every pool]
    #[arg(long, value_name = "POOL", value_delimiter = ',')]
    pub pool: Vec<String>,
    /// Tell what would happen and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until every node that lives has the files, and show how far each is
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "wait")]
    pub timeout: u64,
}

impl ImportArgs {
    /// Sends the package and shows what became of it.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        let (file, size_bytes) = open(&self.file).await?;
        // A node that does not know us would cut the upload short, and the reason could be lost with the connection.
        let client = console.client()?;
        let _: StatusBody = client.get("/status", &()).await?;
        let query = ImportQuery { name: file_name(&self.file), pool: self.pool.join(","), dry_run: self.dry_run };
        let bar = progress_bar(size_bytes);
        let body = reqwest::Body::wrap_stream(watched(file, size_bytes, bar.clone()));
        let answer = client.upload("/packages", &query, size_bytes, body).await;
        bar.finish_and_clear();
        let card: ReportCard = answer?;
        console.show(&card, report_card)?;
        let refused = card.rows.iter().any(|row| row.outcome == ImportOutcomeBody::Refused);
        if self.wait {
            let waited = replica::wait(&client, &self.pool, Duration::from_secs(self.timeout)).await?;
            return Ok(Outcome::refused_if(refused || waited == Outcome::Refused));
        }
        if !self.dry_run && !refused && std::io::stderr().is_terminal() {
            eprintln!("every node fetches the files by itself: see how far they are with `ucupdates replica list`");
        }
        Ok(Outcome::refused_if(refused))
    }
}

async fn open(path: &Path) -> Result<(File, u64)> {
    let named = path.display();
    let metadata = match tokio::fs::metadata(path).await {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no file {named}"),
        Err(error) => return Err(error).with_context(|| format!("opening {named}")),
    };
    let expected = "expected a package: a .cab file, or the vendor's UCUpdates.exe";
    if metadata.is_dir() {
        bail!("{named} is a folder; {expected}");
    }
    if !metadata.is_file() {
        bail!("{named} is not a regular file; {expected}");
    }
    if metadata.len() == 0 {
        bail!("{named} is empty; {expected}");
    }
    let file = File::open(path).await.with_context(|| format!("opening {named}"))?;
    Ok((file, metadata.len()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Draws on standard error, and only where that is a terminal.
fn progress_bar(size_bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("sending {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}");
    ProgressBar::new(size_bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The file's bytes; each chunk moves the bar, and behind the last one it turns into a sign of life: the node verifies.
fn watched(
    file: File,
    size_bytes: u64,
    bar: ProgressBar,
) -> impl tokio_stream::Stream<Item = std::io::Result<bytes::Bytes>> {
    ReaderStream::with_capacity(file, CHUNK_BYTES).map(move |chunk| {
        if let Ok(chunk) = &chunk {
            bar.inc(chunk.len() as u64);
        }
        if bar.position() >= size_bytes && bar.message().is_empty() {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message("sent; the node verifies and stores the package");
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        chunk
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_a_package_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.cab");
        std::fs::write(&empty, b"").unwrap();
        let cases = [
            (folder.path().join("missing.cab"), "there is no file"),
            (folder.path().to_owned(), "is a folder"),
            (empty, "is empty"),
            ("/dev/null".into(), "is not a regular file"),
        ];
        for (path, expected) in cases {
            let error = open(&path).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
