//! The one error of all `parse` functions of this crate: what was given, and what is expected instead.
//! It must not hold more of the input than a log line can bear.

/// A text that is not a value of the type it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {expected}")]
pub struct ParseError {
    what: &'static str,
    value: String,
    expected: &'static str,
}

/// Characters of a refused value that an error repeats.
const VALUE_LIMIT_CHARS: usize = 80;

impl ParseError {
    /// `what` names the kind of value, `expected` tells a person what to write instead.
    pub fn new(what: &'static str, value: &str, expected: &'static str) -> Self {
        let mut shown: String = value.chars().take(VALUE_LIMIT_CHARS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self { what, value: shown, expected }
    }
}
