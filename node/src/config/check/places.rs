//! Where each setting stands in the text of a configuration file.

use super::Place;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The places of all settings and sections, by their paths: `connections.most`, `tls.domains[0]`.
pub(super) struct Places {
    text: String,
    places: BTreeMap<String, Span>,
}

/// A setting's name and value, as bytes of the text.
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

impl Places {
    pub fn new(text: &str, root: Option<&DeTable<'_>>) -> Self {
        let mut places = BTreeMap::new();
        if let Some(root) = root {
            collect(root, "", &mut places);
        }
        Self { text: text.to_owned(), places }
    }

    /// Where the setting begins; of an item that is not there its list, of a setting that is not there its section.
    pub fn of(&self, setting: &str) -> Option<Place> {
        let mut path = setting;
        loop {
            if let Some(span) = self.places.get(path) {
                return Some(self.at(span.name.start));
            }
            path = path.rsplit_once(['.', '[']).map(|(above, _)| above)?;
        }
    }

    /// Whether the file gives the setting.
    pub fn has(&self, setting: &str) -> bool {
        self.places.contains_key(setting)
    }

    /// The innermost setting whose value holds this byte.
    pub fn setting_at(&self, offset: usize) -> Option<&str> {
        let holds = |span: &Span| (span.name.start..span.value.end.max(span.name.end)).contains(&offset);
        let holding = self.places.iter().filter(|(_, span)| holds(span));
        holding.min_by_key(|(_, span)| span.value.len()).map(|(path, _)| path.as_str())
    }

    /// What is written there.
    pub fn text(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// The place of a byte.
    pub fn at(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        Place { line, column: String::from_utf8_lossy(last).chars().count() + 1 }
    }
}

fn collect(table: &DeTable<'_>, above: &str, into: &mut BTreeMap<String, Span>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &path, into),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    into.insert(format!("{path}[{index}]"), Span { name: item.span(), value: item.span() });
                }
            }
            _ => {}
        }
        into.insert(path, Span { name: key.span(), value: value.span() });
    }
}
