//! Reads a configuration file and finds what is wrong with it, all at once: each problem with its line, what is wrong
//! and how to mend it. `read` is pure (settings, types, values that contradict each other); [`check`] also looks at
//! what the file names on this machine. `check-config` shows the report, and a node that starts obeys it.

mod certificates;
mod drop_folder;
mod machine;
mod places;
mod problem;
mod settings;
mod store;
mod values;

pub use machine::user;
pub use problem::{Place, Problem, Report, Severity};

use super::Config;
use places::Places;
use problem::Findings;
use serde::Deserialize as _;
use std::path::Path;
use toml::de::DeTable;
use toml::{Deserializer, Spanned};

/// Values that are wrong and looked past, so that those behind them are found too.
const MOST_WRONG_VALUES: usize = 100;

/// What a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A person asks what is wrong.
    Telling,
    /// A node starts. What may be mended while it runs does not keep it from that.
    Starting,
}

/// Reads the text of a configuration file. There is a configuration unless a problem is an error.
pub(super) fn read(text: &str) -> (Option<Config>, Vec<Problem>) {
    let (config, findings) = find(text);
    let problems = findings.in_order();
    let usable = problems.iter().all(|problem| problem.severity != Severity::Error);
    (config.filter(|_| usable), problems)
}

/// Reads a configuration file and everything that it names on this machine. There is a configuration unless a problem
/// is an error; the error of this function itself is a file that can't be read.
pub fn check(path: &Path, purpose: Purpose) -> anyhow::Result<(Option<Config>, Report)> {
    let text = super::text_of(path)?;
    let (config, mut findings) = find(&text);
    if let Some(config) = &config {
        machine::check(config, &mut findings);
        drop_folder::machine(config, &mut findings);
        store::look(&config.store, purpose, &mut findings);
        certificates::check(config, jiff::Timestamp::now(), &mut findings);
    }
    let report = Report { file: path.display().to_string(), problems: findings.in_order() };
    let config = config.filter(|_| report.errors() == 0);
    Ok((config, report))
}

/// The configuration, where it can be read, with defaults for what is wrong in it.
fn find(text: &str) -> (Option<Config>, Findings) {
    let mut root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let mut findings = Findings::new(Places::new(text, None));
            settings::syntax(&error, &mut findings);
            return (None, findings);
        }
    };
    let mut findings = Findings::new(Places::new(text, Some(root.get_ref())));
    settings::drop_unknown(root.get_mut(), &mut findings);
    settings::add_missing(root.get_mut(), &mut findings);
    let config = deserialize(root, &mut findings);
    if let Some(config) = &config {
        values::check(config, &mut findings);
        drop_folder::values(config, &mut findings);
    }
    (config, findings)
}

/// Values that are wrong are told and taken out, one after the other, until the rest can be read.
fn deserialize(mut root: Spanned<DeTable<'_>>, findings: &mut Findings) -> Option<Config> {
    for _ in 0..MOST_WRONG_VALUES {
        match Config::deserialize(Deserializer::from(root.clone())) {
            Ok(config) => return Some(config),
            Err(error) => {
                let setting = settings::wrong_value(&error, findings)?;
                if !settings::remove(root.get_mut(), &setting) {
                    return None;
                }
                // What is wrong may be a setting that must be given.
                settings::add_placeholders(root.get_mut());
            }
        }
    }
    None
}

#[cfg(test)]
pub(super) use settings::shown;

#[cfg(test)]
mod tests;
