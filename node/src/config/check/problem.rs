//! What is wrong with a configuration: the problem, its line, and the mend; shown to people as a compiler does, and to
//! programs as JSON.

use super::places::Places;
use super::settings::meant;
use serde::Serialize;
use std::fmt;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The node does not start.
    Error,
    /// The node starts, and something will not be as it is meant.
    Warning,
    /// Worth knowing; nothing may be wrong.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A place in a file, as editors count: from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The setting, such as `connections.most`; empty when it is about the file.
    pub setting: String,
    /// Where it stands; none when the setting is not in the file.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub mend: String,
}

/// Everything that is wrong with one file.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file, as it was named.
    pub file: String,
    /// In the order of its lines; what stands in no line comes last.
    pub problems: Vec<Problem>,
}

impl Report {
    /// How many problems keep the node from starting.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Why a node can't start with this file: its errors alone.
    pub fn into_error(self) -> anyhow::Error {
        let errors = self.problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        let errors = Self { file: self.file, problems: errors };
        anyhow::anyhow!("the configuration {} has {}\n{errors}", errors.file, errors.summary())
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// `2 errors, 1 warning`; empty when there is no problem.
    pub fn summary(&self) -> String {
        let counted =
            [Severity::Error, Severity::Warning, Severity::Note].map(|severity| (severity, self.count(severity)));
        let words = counted.into_iter().filter(|(_, count)| *count > 0);
        let words = words.map(|(severity, count)| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }));
        words.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Report {
    /// As a compiler shows it: `config.toml:12:1: error: ...`, and the mend on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{}", self.file)?;
            if let Some(Place { line, column }) = problem.place {
                write!(f, ":{line}:{column}")?;
            }
            writeln!(f, ": {}: {}\n  mend: {}", problem.severity, problem.problem, problem.mend)?;
        }
        Ok(())
    }
}

/// What has been found so far.
pub(super) struct Findings {
    pub places: Places,
    problems: Vec<Problem>,
}

impl Findings {
    pub fn new(places: Places) -> Self {
        Self { places, problems: Vec::new() }
    }

    pub fn error(&mut self, setting: &str, problem: impl Into<String>, mend: impl Into<String>) {
        self.add(Severity::Error, setting, problem.into(), mend.into());
    }

    pub fn warning(&mut self, setting: &str, problem: impl Into<String>, mend: impl Into<String>) {
        self.add(Severity::Warning, setting, problem.into(), mend.into());
    }

    pub fn note(&mut self, setting: &str, problem: impl Into<String>, mend: impl Into<String>) {
        self.add(Severity::Note, setting, problem.into(), mend.into());
    }

    fn add(&mut self, severity: Severity, setting: &str, problem: String, mend: String) {
        // A value that is wrong was replaced: what else is said of it is about the replacement.
        if self.problems.iter().any(|known| known.severity == Severity::Error && known.setting == setting) {
            return;
        }
        let place = self.places.of(setting);
        self.problems.push(Problem { severity, setting: setting.to_owned(), place, problem, mend });
    }

    /// An error at a byte of the text.
    pub fn error_at(&mut self, offset: Option<usize>, setting: &str, problem: String, mend: String) {
        let place = offset.map(|offset| self.places.at(offset));
        self.problems.push(Problem { severity: Severity::Error, setting: setting.to_owned(), place, problem, mend });
    }

    /// Whether something is wrong with a setting of this section, so that nothing can be said of all of it.
    pub fn is_wrong(&self, section: &str) -> bool {
        self.problems.iter().any(|problem| problem.setting.starts_with(section))
    }

    /// Whether a name that was found in the section is this setting's, mistyped.
    pub fn is_meant(&self, setting: &str) -> bool {
        let Some((section, name)) = setting.rsplit_once('.') else { return false };
        let here = |problem: &&Problem| problem.setting.rsplit_once('.').is_some_and(|(other, _)| other == section);
        self.problems.iter().filter(here).any(|problem| problem.mend == meant(name))
    }

    pub fn in_order(mut self) -> Vec<Problem> {
        let key = |problem: &Problem| (problem.place.is_none(), problem.place, problem.severity);
        self.problems.sort_by_key(key);
        self.problems
    }
}
