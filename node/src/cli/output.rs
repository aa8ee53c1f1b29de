//! How the command line shows things: tables for people, JSON for programs, one sentence for an error. Rendering
//! functions are pure (bodies to text); only [`Console`] writes. No requests here.

use crate::api::types::NewToken;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use comfy_table::{ColumnConstraint, ContentArrangement, ContentLineStyle, Table, TableStyle};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;

/// How a command ended when nothing went wrong with the command itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// The service refused some or all of it: exit code 1.
    Refused,
}

impl Outcome {
    /// Refused when anything was.
    pub fn refused_if(refused: bool) -> Self {
        if refused { Self::Refused } else { Self::Done }
    }
}

/// The way to a node, and the way to show its answers.
pub struct Console {
    connection: Connection,
    /// Columns of the terminal; none when the output is a file or a pipe, where nothing is wrapped.
    width: Option<u16>,
}

impl Console {
    /// Reaches nothing yet.
    pub fn new(connection: Connection) -> Self {
        Self { connection, width: terminal_width() }
    }

    /// A client of the node that is meant. Ask for it when the command's own arguments are known to make sense, so
    /// that wrong usage is told before a missing node is.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.connection.client()
    }

    /// The same for what a node tells everybody.
    pub fn client_without_token(&self) -> anyhow::Result<Client> {
        self.connection.client_without_token()
    }

    /// The authority that listeners' certificates are verified by, if one is given or in the profile.
    pub fn authority(&self) -> anyhow::Result<Option<PathBuf>> {
        self.connection.authority()
    }

    /// Prints the answer as JSON, or as what `render` makes of it.
    pub fn show<T: Serialize>(&self, answer: &T, render: impl FnOnce(&T, Option<u16>) -> String) -> anyhow::Result<()> {
        if self.connection.json {
            print(&serde_json::to_string_pretty(answer)?)
        } else {
            print(&render(answer, self.width))
        }
    }

    /// Prints a new token, alone on standard output so that a script can keep it; what to know about it goes beside.
    pub fn show_token(&self, token: &NewToken) -> anyhow::Result<()> {
        self.show(token, |token, _| token.token.clone())?;
        let name = printable(&token.name);
        let _ = writeln!(std::io::stderr(), "token of {name}: keep it, it is shown this once");
        Ok(())
    }
}

/// Prints a text and a line end. A reader that went away (`| head`) is not an error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The terminal's columns; none when standard output is no terminal.
fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// Where a cell may be broken when the terminal is narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// Nowhere: ids and versions.
    Never,
    /// Between words.
    Words,
}

/// A plain table, without lines: `columns` are the headings, and how their cells wrap.
pub fn table(columns: &[(&str, Wrap)], rows: impl IntoIterator<Item = Vec<String>>, width: Option<u16>) -> String {
    let style = TableStyle::new().header_lines(ContentLineStyle::none()).content_lines(ContentLineStyle::none());
    let mut table = Table::new();
    table.load_style(style).force_no_tty().set_header(columns.iter().map(|(heading, _)| *heading));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>()));
    for (column, (_, wrap)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if *wrap == Wrap::Never {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.trim_fmt()
}

/// The text without control characters: what a package or a phone named must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The value, or `-`.
pub fn or_dash(value: Option<&str>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or("-").to_owned()
}

/// `1 rule`, `2 rules`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// `512 bytes`, `1.4 KiB`, `36.0 MiB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} bytes") } else { indicatif::BinaryBytes(bytes).to_string() }
}

/// An RFC 3339 time as people read it: `2026-03-06 17:07:20`, UTC. What is no such time stays as it is.
pub fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_and_fit_the_terminal() {
        let rows =
            || [vec!["1a2b3c4d".to_owned(), "UCPhone Polycom CX600 A ENU CPE".to_owned(), "two words".to_owned()]];
        let columns = [("ID", Wrap::Never), ("DEVICE", Wrap::Words), ("NOTE", Wrap::Words)];
        insta::assert_snapshot!(table(&columns, rows(), None), @r"
        ID        DEVICE                           NOTE
        1a2b3c4d  UCPhone Polycom CX600 A ENU CPE  two words
        ");
        insta::assert_snapshot!(table(&columns, rows(), Some(34)), @r"
        ID        DEVICE       NOTE
        1a2b3c4d  UCPhone      two words
                  Polycom
                  CX600 A ENU
                  CPE
        ");
    }

    #[test]
    fn hostile_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn times_and_sizes_are_for_people() {
        assert_eq!(time("2026-03-06T17:07:20.5Z"), "2026-03-06 17:07:20");
        assert_eq!(time("yesterday"), "yesterday");
        assert_eq!(size(512), "512 bytes");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!([count(1, "rule", "rules"), count(0, "rule", "rules")], ["1 rule", "0 rules"]);
    }
}
