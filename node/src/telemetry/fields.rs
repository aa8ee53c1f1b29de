//! How the fields of a log line are written as text: `name=value`, on one line whatever the values hold. A phone chooses
//! its MAC address, its model, and what stands in an error's text; a line end in one of them would forge a line, an
//! escape would paint on the administrator's terminal, a space would forge a field. JSON lines need nothing of this.

use std::fmt;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes fields so that no value can look like something else.
#[derive(Debug)]
pub(super) struct OneLineFields;

impl<'writer> FormatFields<'writer> for OneLineFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.try_write(field.name(), value);
        }
    }

    fn try_write(&mut self, name: &str, value: &str) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_char(' ')?;
        }
        if name == "message" {
            return message(&mut self.writer, value);
        }
        let name = name.strip_prefix("r#").unwrap_or(name);
        match is_plain(value) {
            true => write!(self.writer, "{name}={value}"),
            false => write!(self.writer, "{name}={value:?}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    /// Also what is given by `%`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format!("{value:?}"));
    }
}

/// Whether a value ends where it seems to end, without quotes around it.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}

/// The message is ours, and read by people: only what could leave the line is escaped. Libraries that we use have
/// messages of their own.
fn message(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            ' '..='~' => writer.write_char(c)?,
            _ => write!(writer, "{}", c.escape_debug())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log has of what was said; without times, levels and targets.
    fn logged(say: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_target(false)
            .fmt_fields(OneLineFields)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_reads_as_it_was_said() {
        let address: std::net::IpAddr = "10.1.1.123".parse().unwrap();
        let line =
            logged(|| tracing::info!(%address, count = 3, mac = "0021630F207B", empty = "", "phones are answered"));
        assert_eq!(line, "phones are answered address=10.1.1.123 count=3 mac=0021630F207B empty=\"\"\n");
        let spanned = logged(|| tracing::info_span!("request", id = "1f").in_scope(|| tracing::info!("done")));
        assert_eq!(spanned, "request{id=1f}: done\n");
    }

    #[test]
    fn no_value_forges_a_line_a_field_or_an_escape() {
        let hostile = "00\r\n2026-01-05T12:00:00Z ERROR all is lost mac=1 \u{1b}[31m\u{9b}2J\u{202e}\u{2028}\"";
        let lines = [
            logged(|| tracing::info!(mac = hostile, "check")),
            logged(|| tracing::info!(mac = %hostile, "check")),
            logged(|| tracing::info!(mac = ?hostile, "check")),
            logged(|| tracing::info!("check {hostile}")),
            logged(|| tracing::info_span!("request", mac = hostile).in_scope(|| tracing::info!("check"))),
        ];
        for line in lines {
            let text = line.strip_suffix('\n').unwrap();
            assert!(text.chars().all(|c| matches!(c, ' '..='~')), "{text:?}");
        }
        let forged = logged(|| tracing::info!(vendor = "A b=c", "check"));
        assert_eq!(forged, "check vendor=\"A b=c\"\n");
    }
}
