//! More than ten thousand mutated packages, each read by a process of its own that counts what it costs: a refusal that
//! says what is wrong, or a correct read; never a panic, never more than two seconds or 64 MiB.
//!
//! The seed is fixed; `MUTATION_SEED=7 tests/run.sh -p tests mutated` tries others. A failure names the seed and the
//! mutation, and keeps the bytes.

mod bases;
mod kinds;
mod random;

use super::cabextract_or_refusal;
use super::reader::HostileReader;
use bases::Base;
use kinds::{Expected, Mutation};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::hostile::{Became, ReadFile, Way};

/// What one package may cost.
pub(super) const MOST_BYTES: usize = 64 << 20;
pub(super) const MOST_MS: u64 = 2_000;

/// How many of those that are read to something else are shown to cabextract.
const COMPARED: usize = 400;

/// After so many faults there is nothing to learn from another.
const MOST_FAULTS: usize = 40;

/// What was found, by kind of mutation and outcome.
type Tally = BTreeMap<(&'static str, String), usize>;

fn seed() -> u64 {
    std::env::var("MUTATION_SEED").map_or(1, |seed| seed.parse().unwrap())
}

#[test]
fn mutated_packages_are_refused_by_name_or_read_correctly_and_cost_little() {
    let seed = seed();
    let bases = bases::all();
    let mutations = kinds::all(&bases, seed);
    let next = AtomicUsize::new(0);
    let run = Run {
        seed,
        faults: Mutex::default(),
        tally: Mutex::default(),
        compared: AtomicUsize::new(0),
        agreed: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = HostileReader::start();
                let originals: Vec<Vec<ReadFile>> = bases.iter().map(|base| run.original(&mut reader, base)).collect();
                while let Some(mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run.check(&mut reader, mutation, &originals[mutation.base]);
                }
                reader.end(MOST_BYTES);
            });
        }
    });
    let faults = run.faults.into_inner().unwrap();
    assert!(faults.is_empty(), "with seed {seed}:\n{}", faults.join("\n"));
    let tally = run.tally.into_inner().unwrap();
    for ((kind, outcome), count) in &tally {
        println!("{kind:12} {outcome:32} {count:6}");
    }
    let (compared, agreed) = (run.compared.into_inner().min(COMPARED), run.agreed.into_inner());
    println!("{} mutations of seed {seed}; cabextract read {agreed} of {compared} that it was shown", mutations.len());
    assert_eq!(tally.values().sum::<usize>(), mutations.len());
    assert!(mutations.len() >= 10_000, "only {}", mutations.len());
    assert!(agreed >= 100, "cabextract, the oracle, read only {agreed}");
}

struct Run {
    seed: u64,
    faults: Mutex<Vec<String>>,
    tally: Mutex<Tally>,
    compared: AtomicUsize,
    agreed: AtomicUsize,
}

impl Run {
    fn original(&self, reader: &mut HostileReader, base: &Base) -> Vec<ReadFile> {
        match reader.read(base.way, &base.cab.bytes).became {
            Became::Read(files) => files,
            other => panic!("{} as it was built: {other:?}", base.name),
        }
    }

    fn check(&self, reader: &mut HostileReader, mutation: &Mutation, original: &[ReadFile]) {
        match self.judge(reader, mutation, original) {
            Ok(outcome) => *self.tally.lock().unwrap().entry((mutation.kind, outcome)).or_default() += 1,
            Err(text) => {
                let mut faults = self.faults.lock().unwrap();
                let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mutation-{}", faults.len()));
                std::fs::write(&kept, &mutation.bytes).unwrap();
                faults.push(format!("{}: {text}; its bytes are in {}", mutation.name, kept.display()));
                assert!(faults.len() < MOST_FAULTS, "enough (seed {}):\n{}", self.seed, faults.join("\n"));
            }
        }
    }

    /// A word for what became of it, or what is wrong with that.
    fn judge(&self, reader: &mut HostileReader, mutation: &Mutation, original: &[ReadFile]) -> Result<String, String> {
        let outcome = reader.try_read(mutation.way, &mutation.bytes)?;
        if outcome.peak_bytes > MOST_BYTES || outcome.cpu_ms > MOST_MS {
            return Err(format!("it cost {} bytes and {} ms", outcome.peak_bytes, outcome.cpu_ms));
        }
        if !mutation.expected.admits(&outcome.became, original) {
            return Err(format!("expected {:?}, found {:?}", mutation.expected, outcome.became));
        }
        match outcome.became {
            Became::Panicked(text) | Became::Failed(text) => Err(text),
            Became::Refused { text, .. } if !is_sentence(&text) => Err(format!("refused with {text:?}")),
            Became::Refused { reason, .. } => Ok(reason),
            Became::Read(files) if files == original => Ok("read the same".to_owned()),
            Became::Read(files) => self.compare(mutation, &files).map(|()| "read otherwise".to_owned()),
        }
    }

    /// It holds something else now: then cabextract, where it reads it at all, must find the same.
    fn compare(&self, mutation: &Mutation, files: &[ReadFile]) -> Result<(), String> {
        if mutation.way != Way::Cabinet || self.compared.fetch_add(1, Ordering::Relaxed) >= COMPARED {
            return Ok(());
        }
        let Some(expected) = cabextract_or_refusal(&mutation.bytes) else { return Ok(()) };
        self.agreed.fetch_add(1, Ordering::Relaxed);
        // By content: what it makes of a name that is not ASCII depends on where it runs.
        let expected: Vec<String> = expected.values().map(|bytes| hex::encode(Sha256::digest(bytes))).collect();
        let found: Vec<String> = files.iter().map(|file| file.digest.clone()).collect();
        let sorted = |digests: Vec<String>| BTreeSet::from_iter(digests);
        if sorted(expected) == sorted(found) { Ok(()) } else { Err(format!("cabextract does not find {files:?}")) }
    }
}

/// One line that says what was found and what was expected.
fn is_sentence(text: &str) -> bool {
    let says_what = text.contains("expected") || text.contains(" is not valid: ");
    says_what && !text.contains('\n') && !text.ends_with('.') && text.len() < 2_000
}

impl Expected {
    fn admits(&self, became: &Became, original: &[ReadFile]) -> bool {
        match (self, became) {
            (Self::Any, _) | (Self::Refused, Became::Refused { .. }) => true,
            (Self::Same, Became::Read(files)) => files == original,
            (Self::Reason(expected), Became::Refused { reason, .. }) => reason == expected,
            _ => false,
        }
    }
}
