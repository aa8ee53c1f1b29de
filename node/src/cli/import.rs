//! `ucupdates import FILE` (row C01): streams a package to a node and shows the report card. What cannot be a package
//! at all (no such file, a folder, an empty file) is said before anything is sent.

use crate::api::types::StatusBody;
use crate::api::types::packages::{ImportOutcomeBody, ImportQuery, ReportCard, ReportRow, TargetBody};
use crate::cli::output::{Console, Outcome, Wrap, count, printable, size, table};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

/// Bytes that are read and sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Names of unused files that are shown at most.
const NAMED_FILES: usize = 10;

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
        Ok(Outcome::refused_if(card.rows.iter().any(|row| row.outcome == ImportOutcomeBody::Refused)))
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

/// The report card: a table, remarks, and one line that sums it up.
fn report_card(card: &ReportCard, width: Option<u16>) -> String {
    let mut parts = Vec::new();
    if !card.rows.is_empty() {
        let pools = card.rows.iter().any(|row| row.pool != card.rows[0].pool);
        parts.push(rows(&card.rows, pools, width));
        parts.extend(card.rows.iter().filter(|row| !row.detail.is_empty()).map(|row| remark(row, pools)));
    }
    if !card.ignored.is_empty() {
        let shown: Vec<&str> = card.ignored.iter().take(NAMED_FILES).map(String::as_str).collect();
        let more = card.ignored.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(printable(&format!("belong to no update and were left out: {}{more}", shown.join(", "))));
    }
    parts.push(verdict(card));
    parts.join("\n")
}

fn rows(rows: &[ReportRow], pools: bool, width: Option<u16>) -> String {
    let mut columns = vec![("DEVICE", Wrap::Words), ("VERSION", Wrap::Never)];
    if pools {
        columns.push(("POOL", Wrap::Words));
    }
    columns.push(("OUTCOME", Wrap::Never));
    let cells = |row: &ReportRow| {
        let pool = pools.then(|| row.pool.clone());
        let outcome = outcome_word(row.outcome).to_owned();
        [device(&row.target), row.version.clone()].into_iter().chain(pool).chain([outcome]).collect()
    };
    table(&columns, rows.iter().map(cells), width)
}

fn remark(row: &ReportRow, pools: bool) -> String {
    let place = if pools { format!(" in {}", row.pool) } else { String::new() };
    let outcome = outcome_word(row.outcome);
    printable(&format!("{outcome}: {} {}{place}: {}", device(&row.target), row.version, row.detail))
}

fn verdict(card: &ReportCard) -> String {
    let of = |outcome| card.rows.iter().filter(|row| row.outcome == outcome).count();
    let outcomes = [
        ImportOutcomeBody::Created,
        ImportOutcomeBody::Replaced,
        ImportOutcomeBody::Unchanged,
        ImportOutcomeBody::Refused,
    ];
    let counts: Vec<String> = outcomes
        .into_iter()
        .filter(|outcome| of(*outcome) > 0)
        .map(|outcome| format!("{} {}", of(outcome), outcome_word(outcome)))
        .collect();
    let name = printable(&card.name);
    let package = format!("{name} ({})", size(card.size_bytes));
    if counts.is_empty() {
        return format!("{package} holds no update");
    }
    let counts = format!("{} in {package}: {}", count(card.rows.len(), "update", "updates"), counts.join(", "));
    if card.dry_run {
        return format!("dry run: {counts}; nothing was changed");
    }
    let pending = of(ImportOutcomeBody::Created) + of(ImportOutcomeBody::Replaced) > 0;
    let next = "; see what waits for approval with `ucupdates rule list --state pending`";
    format!("{counts}{}", if pending { next } else { "" })
}

fn outcome_word(outcome: ImportOutcomeBody) -> &'static str {
    match outcome {
        ImportOutcomeBody::Created => "created",
        ImportOutcomeBody::Replaced => "replaced",
        ImportOutcomeBody::Unchanged => "unchanged",
        ImportOutcomeBody::Refused => "refused",
    }
}

/// The key, in the order of the file store's folders.
pub(super) fn device(target: &TargetBody) -> String {
    let TargetBody { device_type, locale, update_type, .. } = target;
    if target.interim {
        return format!("interim build {device_type} {locale} {update_type}");
    }
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    let (brand, model, revision) = (part(&target.brand), part(&target.model), part(&target.revision));
    format!("{device_type} {brand} {model} {revision} {locale} {update_type}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: Option<&str>, outcome: ImportOutcomeBody, detail: &str) -> ReportRow {
        let target = TargetBody {
            interim: model.is_none(),
            device_type: "UCPhone".into(),
            brand: model.map(|_| "Polycom".into()),
            model: model.map(str::to_owned),
            revision: model.map(|_| "A".into()),
            locale: "ENU".into(),
            update_type: "CPE".into(),
        };
        let pool = "pool01.contoso.com".into();
        ReportRow { pool, target, version: "4.0.7577.4387".into(), outcome, detail: detail.into() }
    }

    fn card(rows: Vec<ReportRow>) -> ReportCard {
        let digest = "ab".repeat(32);
        let name = "UCUpdates.cab".into();
        ReportCard { name, digest, size_bytes: 36 * 1024 * 1024, dry_run: false, rows, ignored: Vec::new() }
    }

    #[test]
    fn a_clean_import_ends_with_what_to_do_next() {
        let rows = vec![
            row(Some("CX600"), ImportOutcomeBody::Created, ""),
            row(Some("CX700"), ImportOutcomeBody::Replaced, ""),
            row(None, ImportOutcomeBody::Unchanged, ""),
        ];
        let mut card = card(rows);
        insta::assert_snapshot!(report_card(&card, None), @r"
        DEVICE                           VERSION        OUTCOME
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  created
        UCPhone Polycom CX700 A ENU CPE  4.0.7577.4387  replaced
        interim build UCPhone ENU CPE    4.0.7577.4387  unchanged
        3 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 replaced, 1 unchanged; see what waits for approval with `ucupdates rule list --state pending`
        ");
        card.dry_run = true;
        insta::assert_snapshot!(report_card(&card, None).lines().last().unwrap(), @"dry run: 3 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 replaced, 1 unchanged; nothing was changed");
    }

    #[test]
    fn refusals_and_unused_files_are_named() {
        let detail = "version 4.0.7577.4387 is stored with other bytes";
        let mut other_pool = row(Some("CX600"), ImportOutcomeBody::Created, "");
        other_pool.pool = "pool02.contoso.com".into();
        let mut card = card(vec![row(Some("CX600"), ImportOutcomeBody::Refused, detail), other_pool]);
        card.ignored = (1..=12).map(|number| format!("readme{number}.txt")).collect();
        insta::assert_snapshot!(report_card(&card, None), @r"
        DEVICE                           VERSION        POOL                OUTCOME
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  pool01.contoso.com  refused
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  pool02.contoso.com  created
        refused: UCPhone Polycom CX600 A ENU CPE 4.0.7577.4387 in pool01.contoso.com: version 4.0.7577.4387 is stored with other bytes
        belong to no update and were left out: readme1.txt, readme2.txt, readme3.txt, readme4.txt, readme5.txt, readme6.txt, readme7.txt, readme8.txt, readme9.txt, readme10.txt and 2 more
        2 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 refused; see what waits for approval with `ucupdates rule list --state pending`
        ");
    }

    #[test]
    fn nothing_found_is_said() {
        insta::assert_snapshot!(report_card(&card(Vec::new()), None), @"UCUpdates.cab (36.00 MiB) holds no update");
    }

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
