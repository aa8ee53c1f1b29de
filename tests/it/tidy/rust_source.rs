//! A Rust file taken apart into code and string literals, comments dropped; enough of the language for the checks of
//! [`super`], and no more. What the code means is not looked at.

/// The code and the string literals of one file.
pub(super) struct RustSource {
    code: String,
    dense: String,
    literals: Vec<String>,
}

impl RustSource {
    /// Takes a file apart.
    pub(super) fn read(text: &str) -> Self {
        let mut source = Self { code: String::new(), dense: String::new(), literals: Vec::new() };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = source.take(rest, first);
            rest = &rest[taken..];
        }
        source.dense = source.code.split_whitespace().collect();
        source
    }

    /// Takes what `rest` begins with, and says how many bytes that was.
    fn take(&mut self, rest: &str, first: char) -> usize {
        if rest.starts_with("//") {
            return rest.find('\n').unwrap_or(rest.len());
        }
        if rest.starts_with("/*") {
            return block_comment_length(rest);
        }
        if is_word(first) {
            let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            let raw = matches!(word, "r" | "br" | "cr").then(|| raw_string(&rest[word.len()..])).flatten();
            if let Some((literal, length)) = raw {
                return self.take_literal(literal, word.len() + length);
            }
            self.code.push_str(word);
            return word.len();
        }
        if first == '"' {
            let (literal, length) = string(rest);
            return self.take_literal(literal, length);
        }
        if let Some(length) = char_length(rest) {
            return length;
        }
        self.code.push(first);
        first.len_utf8()
    }

    fn take_literal(&mut self, literal: &str, length: usize) -> usize {
        self.literals.push(literal.to_owned());
        self.code.push_str("\"\"");
        length
    }

    /// What the string literals say, escapes as written.
    pub(super) fn literals(&self) -> &[String] {
        &self.literals
    }

    /// The code without white space.
    pub(super) fn dense(&self) -> &str {
        &self.dense
    }

    /// Whether the code holds this word.
    pub(super) fn names(&self, word: &str) -> bool {
        words(&self.code).any(|other| other == word)
    }

    /// Whether the code holds the path `from::to`, written out or by a `use from::{.., to, ..}`.
    pub(super) fn names_path(&self, from: &str, to: &str) -> bool {
        let after = |start: String| {
            self.dense.match_indices(&start).map(|(at, found)| &self.dense[at + found.len()..]).collect::<Vec<_>>()
        };
        let group_of = |rest: &'_ str| rest.split(';').next().is_some_and(|group| words(group).any(|word| word == to));
        let first_is = |rest: &'_ str| rest.starts_with(to) && words(rest).next() == Some(to);
        after(format!("{from}::")).into_iter().any(first_is)
            || after(format!("use{from}::{{")).into_iter().any(group_of)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// What stands between the quotes of a string that `text` begins with, and the string's whole length.
fn string(text: &str) -> (&str, usize) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (&text[1..at], at + 1),
            _ => {}
        }
    }
    (&text[1..], text.len())
}

/// The same for what follows the `r` of a raw string; none where it is something else, such as `r#type`.
fn raw_string(text: &str) -> Option<(&str, usize)> {
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    let inner = text[hashes..].strip_prefix('"')?;
    let end = inner.find(&format!("\"{}", "#".repeat(hashes))).unwrap_or(inner.len());
    Some((&inner[..end], (hashes + 1 + end + 1 + hashes).min(text.len())))
}

/// The length of a character literal; none for a lifetime or any other text.
fn char_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let mut chars = inner.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        let end = chars.find(|(_, c)| *c == '\'')?;
        return Some(1 + end.0 + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(1 + at + 1)
}

#[test]
fn code_and_literals_are_told_apart() {
    let text = r####"let a = "x \" y"; // "no"
        /* /* "no" */ */ let b = br##"raw "# here"##; let c: &'a str = '"'; let d = ('\'', "z", '\u{41}', r#type);"####;
    let source = RustSource::read(text);
    assert_eq!(source.literals(), [r#"x \" y"#, r##"raw "# here"##, "z"]);
    assert_eq!(source.dense(), r##"leta="";letb="";letc:&'astr=;letd=(,"",,r#type);"##);
    assert!(source.names("str") && !source.names("st") && !source.names("no"));
}
