//! The snapshot as a file: a line that says the format, the length and the SHA-256 of the rest, and then one JSON document.
//! What is read goes through the constructors of the domain: a damaged or hostile file is refused by name and never makes
//! a rule set that may not exist. Bytes in, values out; files and folders are not here.

mod content;

use content::Content;
use jiff::Timestamp;
use schema::package::Digest;
use schema::rule_set::{AbsurdRuleSet, RuleSet};
use sha2::{Digest as _, Sha256};
use std::fmt::Display;

/// The format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// What every snapshot file begins with.
const MAGIC: &str = "ucupdates-snapshot ";

/// Bytes in which the first line must end.
const HEADER_LIMIT_BYTES: usize = 160;

/// Bytes of a file at most: what the largest rule set (`schema::rule_set::LIMITS`) takes.
pub const SIZE_LIMIT_BYTES: u64 = 256 << 20;

/// Characters of an error that repeats what a file holds.
const ERROR_LIMIT_CHARS: usize = 300;

/// A snapshot that was kept.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// When it was loaded from the Central Management store.
    pub taken_at: Timestamp,
    /// The rules.
    pub rules: RuleSet,
}

/// Why a file is no snapshot that can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFileError {
    /// Not one of ours.
    #[error("it is no snapshot file")]
    NotASnapshot,
    /// Written by a newer program.
    #[error("it has format {found}, and this program reads format {VERSION} only: a newer ucupdates wrote it")]
    NewerFormat {
        /// The format that the file says it has.
        found: u32,
    },
    /// Longer than any snapshot.
    #[error("it is longer than {SIZE_LIMIT_BYTES} bytes")]
    TooLong,
    /// Cut short, or changed after it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Whole, but not what a snapshot holds.
    #[error("its content is wrong: {0}")]
    Content(String),
    /// Whole and readable, but no rule set.
    #[error(transparent)]
    Absurd(#[from] AbsurdRuleSet),
}

impl SnapshotFileError {
    /// Errors repeat what they found, which may be a text of any length with any character in it.
    fn content(error: impl Display) -> Self {
        let told = error.to_string();
        let mut shown = String::new();
        for character in told.chars().take(ERROR_LIMIT_CHARS) {
            if character.is_control() {
                shown.extend(character.escape_debug());
            } else {
                shown.push(character);
            }
        }
        if told.chars().nth(ERROR_LIMIT_CHARS).is_some() {
            shown.push('…');
        }
        Self::Content(shown)
    }
}

/// Reads a file.
pub fn parse(bytes: &[u8]) -> Result<StoredSnapshot, SnapshotFileError> {
    if bytes.len() as u64 > SIZE_LIMIT_BYTES {
        return Err(SnapshotFileError::TooLong);
    }
    if bytes.is_empty() {
        return Err(SnapshotFileError::Damaged("it is empty"));
    }
    let start = &bytes[..bytes.len().min(HEADER_LIMIT_BYTES)];
    let end = start.iter().position(|byte| *byte == b'\n');
    let line = std::str::from_utf8(&start[..end.unwrap_or(start.len())]);
    let said = line.ok().and_then(|line| line.strip_prefix(MAGIC)).ok_or(SnapshotFileError::NotASnapshot)?;
    let version = said.split(' ').next().and_then(|word| word.parse::<u32>().ok());
    match version {
        Some(found) if found > VERSION => return Err(SnapshotFileError::NewerFormat { found }),
        Some(VERSION) => {}
        _ => return Err(SnapshotFileError::NotASnapshot),
    }
    let end = end.ok_or(SnapshotFileError::Damaged("its first line does not end"))?;
    let (header, content) = bytes.split_at(end + 1);
    let length = said.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    if length != Some(content.len()) {
        return Err(SnapshotFileError::Damaged("it has not the length that it says"));
    }
    if header != header_of(content).as_bytes() {
        return Err(SnapshotFileError::Damaged("it has not the digest that it says"));
    }
    let content: Content = serde_json::from_slice(content).map_err(SnapshotFileError::content)?;
    content.into_snapshot()
}

/// The file of a rule set; a longer one than could be read again is refused.
pub fn render(taken_at: Timestamp, rules: &RuleSet) -> Result<Vec<u8>, SnapshotFileError> {
    let content = Content::of(taken_at, rules.parts());
    // A document of texts and numbers; a Vec takes all that is written to it.
    let content = serde_json::to_vec(&content).map_err(SnapshotFileError::content)?;
    let bytes = sealed(&content);
    if bytes.len() as u64 > SIZE_LIMIT_BYTES {
        return Err(SnapshotFileError::TooLong);
    }
    Ok(bytes)
}

/// The content behind a first line that fits it, whatever the content is.
pub fn sealed(content: &[u8]) -> Vec<u8> {
    [header_of(content).as_bytes(), content].concat()
}

fn header_of(content: &[u8]) -> String {
    let digest = Digest::new(Sha256::digest(content).into());
    format!("{MAGIC}{VERSION} {} {digest}\n", content.len())
}

#[cfg(test)]
mod tests;
