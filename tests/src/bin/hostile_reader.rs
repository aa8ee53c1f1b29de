//! Reads packages that nobody vouches for in a process of its own, so that what each one costs can be measured: every
//! byte that it allocates is counted. Takes them one after the other on its standard input, and says on its standard
//! output what became of each. Judging that is the test's, not this program's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../hostile.rs"]
mod hostile;

use hostile::{Became, Outcome, ReadFile, Way};
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use sha2::{Digest, Sha256};
use std::io::{BufRead, Cursor, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use sync::cabinet::{Cabinet, CabinetError, Limits, Piece};
use sync::package::{PackageError, unpack};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

fn main() {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let staging = std::env::args().nth(1).expect("the staging folder is the first argument");
    std::panic::set_hook(Box::new(|_| {}));
    let mut line = String::new();
    while input.read_line(&mut line).unwrap() > 0 {
        let (way, length) = serde_json::from_str::<(Way, usize)>(&line).unwrap();
        line.clear();
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).unwrap();
        let outcome = measured(way, &bytes, Path::new(&staging));
        serde_json::to_writer(&mut output, &outcome).unwrap();
        output.write_all(b"\n").unwrap();
        output.flush().unwrap();
    }
}

fn measured(way: Way, bytes: &[u8], staging: &Path) -> Outcome {
    ALLOCATED.reset_peak_usage();
    let (before_bytes, before_ms) = (ALLOCATED.current_usage(), cpu_ms());
    let became = catch_unwind(AssertUnwindSafe(|| match way {
        Way::Cabinet => cabinet(bytes),
        Way::Package => package(bytes, staging),
    }));
    let became = became.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Became::Panicked(text.unwrap_or("without a text").to_owned())
    });
    Outcome { became, peak_bytes: ALLOCATED.peak_usage() - before_bytes, cpu_ms: cpu_ms() - before_ms }
}

/// Of this process: what others do meanwhile does not count.
fn cpu_ms() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    u64::try_from(time.tv_sec() * 1_000 + time.tv_nsec() / 1_000_000).unwrap()
}

fn cabinet(bytes: &[u8]) -> Became {
    let read = || {
        let mut cabinet = Cabinet::open(Cursor::new(bytes), 0, &Limits::default())?;
        let declared: Vec<u64> = cabinet.entries().iter().map(|entry| entry.size_bytes).collect();
        let mut files: Vec<ReadFile> = Vec::new();
        let mut hash = Sha256::new();
        cabinet.unpack(|piece| {
            match piece {
                Piece::Begin(entry) => {
                    files.push(ReadFile { name: entry.name.clone(), size_bytes: 0, digest: String::new() });
                }
                Piece::Bytes(bytes) => {
                    files.last_mut().unwrap().size_bytes += bytes.len() as u64;
                    hash.update(bytes);
                }
                Piece::End => files.last_mut().unwrap().digest = hex::encode(hash.finalize_reset()),
            }
            Ok(())
        })?;
        assert_eq!(files.len(), declared.len(), "a file is missing");
        assert_eq!(
            files.iter().map(|file| file.size_bytes).sum::<u64>(),
            declared.iter().sum::<u64>(),
            "bytes are missing, or too many"
        );
        Ok(files)
    };
    became(read(), cabinet_reason)
}

fn package(bytes: &[u8], staging: &Path) -> Became {
    let folder = tempfile::tempdir_in(staging).unwrap();
    let (source, staging) = (folder.path().join("package"), folder.path().join("staging"));
    std::fs::write(&source, bytes).unwrap();
    std::fs::create_dir(&staging).unwrap();
    let read = unpack(&source, &staging, &Limits::default()).map(|package| {
        let staged = package.updates.iter().flat_map(|staged| staged.update.files().iter().zip(&staged.sources));
        let files = staged.map(|(file, source)| {
            let digest = hex::encode(Sha256::digest(std::fs::read(source).unwrap()));
            assert_eq!(digest, file.digest.to_string(), "what is staged is not what was unpacked");
            ReadFile { name: file.path.to_string(), size_bytes: file.size_bytes, digest }
        });
        files.collect()
    });
    became(read, package_reason)
}

/// A refusal by its variant; what the machine did is none.
fn became<E>(result: Result<Vec<ReadFile>, E>, reason: impl Fn(&E) -> Option<String>) -> Became
where
    E: std::error::Error,
{
    match result.map_err(|error| (reason(&error), error.to_string())) {
        Ok(files) => Became::Read(files),
        Err((Some(reason), text)) => Became::Refused { reason, text },
        Err((None, text)) => Became::Failed(text),
    }
}

fn cabinet_reason(error: &CabinetError) -> Option<String> {
    match error {
        CabinetError::Read(_) | CabinetError::Write(_) => None,
        CabinetError::HostileName { reason, .. } => Some(format!("HostileName.{}", variant(&format!("{reason:?}")))),
        error => Some(variant(&format!("{error:?}"))),
    }
}

fn package_reason(error: &PackageError) -> Option<String> {
    match error {
        error if error.is_failure() => None,
        PackageError::Cabinet { reason, .. } => cabinet_reason(reason),
        PackageError::Manifest(reason) => Some(format!("Manifest.{}", variant(&format!("{reason:?}")))),
        error => Some(format!("Package.{}", variant(&format!("{error:?}")))),
    }
}

/// The first word of what `Debug` writes.
fn variant(debug: &str) -> String {
    debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
