//! The settings that there are, and what is said of one that there is not, that is missing, or whose value is of the
//! wrong kind. Which there are is read from the annotated configuration: a test compares it with what is understood.

use super::problem::Findings;
use std::sync::LazyLock;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// Names that are at least this alike are taken for the same, mistyped.
const ALIKE: f64 = 0.75;

/// A setting or a section that there is.
struct Known {
    /// Of a setting of the file itself, empty.
    section: String,
    name: String,
    /// The line that shows it; of a section, its heading.
    line: String,
}

impl Known {
    fn path(&self) -> String {
        join(&self.section, &self.name)
    }
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| known(include_str!("../../../../deploy/config.toml")));

/// Settings without which there is no node, and what stands for them so that the rest can be looked at.
const REQUIRED: [(&str, &str, &str, &str); 3] = [
    ("pool", "fqdn", "pool.invalid", "the name by which phones and administrators know the pool"),
    ("database", "url", "host=database.invalid", "where PostgreSQL is, without a password"),
    ("store", "folder", "/", "where update files are kept: a folder, or a mounted share (or give url, of a bucket)"),
];

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The settings of an annotated file, those in comments (`# name = ...`) too; a section is one of the section above it.
fn known(text: &str) -> Vec<Known> {
    let mut section = String::new();
    let mut known: Vec<Known> = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            header.clone_into(&mut section);
            let mut above = String::new();
            for name in header.split('.') {
                known.push(Known {
                    section: above.clone(),
                    name: name.to_owned(),
                    line: format!("[{}]", join(&above, name)),
                });
                above = join(&above, name);
            }
        } else {
            let line = line.strip_prefix("# ").unwrap_or(line);
            if let Some((name, _)) = line.split_once(" =").filter(|(name, _)| !name.contains(' ')) {
                known.push(Known { section: section.clone(), name: name.to_owned(), line: line.to_owned() });
            }
        }
    }
    known
}

/// All settings and sections, by the section that they stand in.
#[cfg(test)]
pub(in crate::config) fn shown() -> std::collections::BTreeSet<(String, String)> {
    KNOWN.iter().map(|known| (known.section.clone(), known.name.clone())).collect()
}

fn is_section(path: &str) -> bool {
    KNOWN.iter().any(|known| known.section == path)
}

/// How the annotated configuration writes the setting; its list, for an item.
pub(super) fn example(setting: &str) -> Option<&'static str> {
    let setting = setting.split('[').next().unwrap_or(setting);
    KNOWN.iter().find(|known| known.path() == setting).map(|known| known.line.as_str())
}

/// Tells what is no TOML. Nothing behind it can be understood.
pub(super) fn syntax(error: &Error, findings: &mut Findings) {
    let mend = match error.message() {
        message if message.contains("duplicate key") => "keep one of the two, and give a section only once",
        message if message.contains("unclosed") => "close it; text is in double quotes: name = \"text\"",
        message if message.contains("escape") => {
            "in double quotes a backslash begins an escape: put the text in single quotes, or write \\\\"
        }
        message if message.contains("quote") || message.contains("string") => {
            "put text in double quotes: name = \"text\""
        }
        _ => "a line is `name = value`, with text in double quotes, or a `[section]`",
    };
    let what = error.message().lines().next().unwrap_or_default();
    findings.error_at(error.span().map(|span| span.start), "", format!("this is no TOML: {what}"), mend.to_owned());
}

/// Tells settings and sections that there are not, and takes them out.
pub(super) fn drop_unknown(root: &mut DeTable<'_>, findings: &mut Findings) {
    drop_unknown_of(root, "", findings);
}

fn drop_unknown_of(table: &mut DeTable<'_>, section: &str, findings: &mut Findings) {
    let names: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
    for name in names {
        let path = join(section, &name);
        let known = KNOWN.iter().any(|known| known.section == section && known.name == name);
        let value = table.get_mut(name.as_str()).map(Spanned::get_mut);
        match value {
            _ if !known => {
                let problem = match section {
                    "" => format!("there is no section or setting `{name}`"),
                    section => format!("[{section}] knows no setting `{name}`"),
                };
                findings.error(&path, problem, suggestion(section, &name));
                table.remove(name.as_str());
            }
            Some(DeValue::Table(inner)) if is_section(&path) => drop_unknown_of(inner, &path, findings),
            _ if is_section(&path) => {
                let mend = format!("write the section's heading [{path}] on a line of its own, and its settings below");
                findings.error(&path, format!("`{path}` is a section, not a setting"), mend);
                table.remove(name.as_str());
            }
            _ => {}
        }
    }
}

/// What was probably meant: the name as another section has it, or the nearest one.
fn suggestion(section: &str, name: &str) -> String {
    let likeness = |known: &Known| strsim::jaro_winkler(&known.name, &name.to_lowercase());
    let elsewhere: Vec<&Known> = KNOWN.iter().filter(|known| known.name == name && known.section != section).collect();
    let nearest = |known: &mut dyn Iterator<Item = &'static Known>| {
        known
            .map(|known| (likeness(known), known))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0))
    };
    if let Some((_, known)) = nearest(&mut KNOWN.iter().filter(|known| known.section == section)) {
        return meant(&known.name);
    }
    if !elsewhere.is_empty() {
        let sections: Vec<String> = elsewhere.iter().map(|known| heading(&known.section)).collect();
        return format!("`{name}` belongs in {}: move it there", sections.join(" or "));
    }
    if let Some((_, known)) = nearest(&mut KNOWN.iter()) {
        return format!("did you mean `{}` in {}?", known.name, heading(&known.section));
    }
    "delete the line; deploy/config.toml shows every setting".to_owned()
}

/// The mend of a mistyped name.
pub(super) fn meant(name: &str) -> String {
    format!("did you mean `{name}`?")
}

fn heading(section: &str) -> String {
    if section.is_empty() { "the file itself, before any [section]".to_owned() } else { format!("[{section}]") }
}

/// Tells settings that must be given and are not, and puts something in their place.
pub(super) fn add_missing(root: &mut DeTable<'_>, findings: &mut Findings) {
    for (section, name, _, meaning) in REQUIRED {
        let given = has(root, section, name) || is_elsewhere(root, section);
        let path = join(section, name);
        if !given && !findings.is_meant(&path) {
            let mend = format!("write `{}` below [{section}]", example(&path).unwrap_or(name));
            findings.error(&path, format!("[{section}] {name} is missing: {meaning}"), mend);
        }
    }
    add_placeholders(root);
}

fn has(root: &DeTable<'_>, section: &str, name: &str) -> bool {
    root.get(section).and_then(|value| value.get_ref().get(name)).is_some()
}

/// Whether the store is no folder, but one with a URL.
fn is_elsewhere(root: &DeTable<'_>, section: &str) -> bool {
    section == "store" && has(root, section, "url")
}

pub(super) fn add_placeholders(root: &mut DeTable<'_>) {
    for (section, name, placeholder, _) in REQUIRED {
        if is_elsewhere(root, section) {
            continue;
        }
        let inner = root.entry(Spanned::new(0..0, section.into()));
        let inner = inner.or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
        if let DeValue::Table(inner) = inner.get_mut() {
            let value = || Spanned::new(0..0, DeValue::String(placeholder.into()));
            inner.entry(Spanned::new(0..0, name.into())).or_insert_with(value);
        }
    }
}

/// Tells a value that is not of the setting's kind; the setting.
pub(super) fn wrong_value(error: &Error, findings: &mut Findings) -> Option<String> {
    let offset = error.span()?.start;
    let setting = findings.places.setting_at(offset)?.to_owned();
    let what = error.message().lines().next().unwrap_or_default();
    let written = findings.places.text(error.span()?);
    let quoted = example(&setting).is_some_and(|line| line.contains('"'));
    let (problem, hint) = match what {
        what if what.contains("socket address") => {
            (format!("{written} is no address with a port"), "an IPv6 address stands in brackets: ")
        }
        what if what.contains("IP address") => (format!("{written} is no IP address or network"), ""),
        what if what.contains("invalid type: string") && !quoted && !what.contains("a sequence") => {
            (told(what), "without quotes: ")
        }
        what => (told(what), ""),
    };
    let line = example(&setting).unwrap_or("name = \"text\"");
    let line = if line.starts_with("proxy_from") { "proxy_from = [\"10.0.0.0/24\"]" } else { line };
    findings.error_at(
        Some(offset),
        &setting,
        format!("{}: {problem}", named(&setting)),
        format!("{hint}write it like `{line}`"),
    );
    Some(setting)
}

/// serde's words for kinds, in ours.
fn told(what: &str) -> String {
    let number = if what.contains("integer `-") { "a whole number that is not negative" } else { "a whole number" };
    let words = [
        ("invalid type: ", ""),
        ("a sequence", "a list"),
        ("a borrowed string", "text"),
        ("a string", "text"),
        ("usize", number),
    ];
    let words = words.into_iter().chain(["u64", "u32", "u16"].map(|kind| (kind, number)));
    let what = what.strip_prefix("invalid value: ").unwrap_or(what);
    words.fold(what.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// `[connections] most`, of `connections.most`.
pub(super) fn named(setting: &str) -> String {
    match setting.rsplit_once('.') {
        Some((section, name)) => format!("[{section}] {name}"),
        None => format!("[{setting}]"),
    }
}

/// Takes a setting out, or the list that it is an item of.
pub(super) fn remove(root: &mut DeTable<'_>, setting: &str) -> bool {
    let setting = setting.split('[').next().unwrap_or(setting);
    let mut table = root;
    let mut names = setting.split('.').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            return table.remove(name).is_some();
        }
        match table.get_mut(name).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => table = inner,
            _ => return false,
        }
    }
    false
}
