//! A strict, bounded walk over a small XML document, for bytes that nobody vouches for (PROTOCOL.md 3). What quick-xml
//! lets pass is refused here: unclosed elements, several roots, text around the root, characters that XML forbids.
//! What the elements mean is not here.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use quick_xml::{XmlVersion, escape};
use std::borrow::Cow;

/// Bytes of a document at most.
pub const SIZE_LIMIT_BYTES: usize = 64 * 1024;

/// Elements inside one another at most.
pub const DEPTH_LIMIT: usize = 32;

/// Attributes of one element at most (ours).
pub const ATTRIBUTE_LIMIT: usize = 64;

/// Characters of an error's text at most (ours).
const MESSAGE_LIMIT_CHARS: usize = 160;

/// Why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Over [`SIZE_LIMIT_BYTES`].
    #[error("the body is larger than 65536 bytes")]
    TooLarge,
    /// Neither UTF-8 nor, with a byte order mark, UTF-16.
    #[error("the body is neither UTF-8 nor UTF-16 with a byte order mark")]
    Encoding,
    /// Over [`DEPTH_LIMIT`].
    #[error("elements are nested more than 32 deep")]
    TooDeep,
    /// Over [`ATTRIBUTE_LIMIT`].
    #[error("an element has more than 64 attributes")]
    TooManyAttributes,
    /// Entities are a way to make small bodies large, and no phone needs them.
    #[error("a document type definition is not accepted")]
    Dtd,
    /// Anything else; the text says what.
    #[error("the body is not well-formed XML: {0}")]
    IllFormed(String),
}

/// A step of the walk. Names are local names: without their namespace prefix.
#[derive(Debug)]
pub enum Step<'a> {
    /// An element begins.
    Open(&'a str),
    /// An attribute of the element that has just begun. Namespace declarations are left out.
    Attribute(&'a str, Cow<'a, str>),
    /// A piece of the text directly inside the innermost open element.
    Text(&'a str),
    /// The innermost open element, of this name, ends.
    Close(&'a str),
}

/// The text of a document: UTF-8, or UTF-16 by its byte order mark. The encoding that the document declares is not
/// looked at (ours): .NET clients write `utf-16` there and send UTF-8.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    if bytes.len() > SIZE_LIMIT_BYTES {
        return Err(XmlError::TooLarge);
    }
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
        text.ok().filter(|_| rest.is_empty()).map(Cow::Owned).ok_or(XmlError::Encoding)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => str::from_utf8(rest).map(Cow::Borrowed).map_err(|_| XmlError::Encoding),
    }
}

/// Takes `visit` through the document in its order; stops at the first error, the visitor's or the document's.
pub fn walk<E: From<XmlError>>(text: &str, mut visit: impl FnMut(Step<'_>) -> Result<(), E>) -> Result<(), E> {
    check_characters(text)?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut document = Document::default();
    loop {
        match reader.read_event().map_err(|error| ill_formed(error.to_string()))? {
            Event::Start(start) => document.open(&start, &mut visit)?,
            Event::Empty(start) => {
                document.open(&start, &mut visit)?;
                document.close(start.name().as_ref(), &mut visit)?;
            }
            Event::End(end) => document.close(end.name().as_ref(), &mut visit)?,
            Event::Text(piece) => document.text(&piece, &mut visit)?,
            Event::CData(piece) => document.inside(&piece, &mut visit)?,
            Event::GeneralRef(reference) => document.inside(&resolve(&reference)?, &mut visit)?,
            Event::Decl(_) if document.begun => return Err(ill_formed("an XML declaration is not at the start").into()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => document.begun = true,
            Event::DocType(_) => return Err(XmlError::Dtd.into()),
            Event::Eof => return Ok(document.end()?),
        }
    }
}

/// Where the walk is.
#[derive(Debug, Default)]
struct Document {
    begun: bool,
    depth: usize,
    rooted: bool,
}

impl Document {
    fn open<E: From<XmlError>>(
        &mut self,
        start: &BytesStart<'_>,
        visit: &mut impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.depth == 0 && self.rooted {
            return Err(ill_formed("it has several root elements").into());
        }
        if self.depth == DEPTH_LIMIT {
            return Err(XmlError::TooDeep.into());
        }
        *self = Self { begun: true, depth: self.depth + 1, rooted: true };
        let name = start.name();
        check_name(name.as_ref())?;
        visit(Step::Open(local(name.as_ref())))?;
        attributes(start, visit)
    }

    fn close<E: From<XmlError>>(
        &mut self,
        name: &str,
        visit: &mut impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.depth = self.depth.saturating_sub(1);
        visit(Step::Close(local(name)))
    }

    fn text<E: From<XmlError>>(&self, piece: &str, visit: &mut impl FnMut(Step<'_>) -> Result<(), E>) -> Result<(), E> {
        let white = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        if self.depth == 0 && piece.chars().all(white) { Ok(()) } else { self.inside(piece, visit) }
    }

    fn inside<E: From<XmlError>>(
        &self,
        piece: &str,
        visit: &mut impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.depth == 0 {
            return Err(ill_formed("there is text outside of the root element").into());
        }
        visit(Step::Text(piece))
    }

    fn end(&self) -> Result<(), XmlError> {
        match (self.rooted, self.depth) {
            (false, _) => Err(ill_formed("it has no element")),
            (true, 0) => Ok(()),
            (true, _) => Err(ill_formed("an element is not closed")),
        }
    }
}

fn attributes<E: From<XmlError>>(
    start: &BytesStart<'_>,
    visit: &mut impl FnMut(Step<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for (index, attribute) in start.attributes().enumerate() {
        if index == ATTRIBUTE_LIMIT {
            return Err(XmlError::TooManyAttributes.into());
        }
        let attribute = attribute.map_err(|error| ill_formed(error.to_string()))?;
        let name = attribute.key.as_ref();
        check_name(name)?;
        if attribute.value.contains('<') {
            return Err(ill_formed("an attribute's value holds '<'").into());
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| ill_formed(error.to_string()))?;
        check_characters(&value)?;
        if name != "xmlns" && !name.starts_with("xmlns:") {
            visit(Step::Attribute(local(name), value))?;
        }
    }
    Ok(())
}

/// The text that a reference stands for: a character's number, or one of the five entities that need no definition.
fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| ill_formed(error.to_string()))? {
        let text = character.to_string();
        check_characters(&text)?;
        return Ok(text);
    }
    let entity = escape::resolve_predefined_entity(reference);
    entity.map(str::to_owned).ok_or_else(|| ill_formed("it refers to an entity that is not defined"))
}

fn local(name: &str) -> &str {
    name.bytes().rposition(|byte| byte == b':').map_or(name, |colon| &name[colon + 1..])
}

/// Refuses what quick-xml takes for a name and XML does not. Beyond ASCII everything passes: no alias is found there.
fn check_name(name: &str) -> Result<(), XmlError> {
    let start = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || !byte.is_ascii();
    let rest = |byte: u8| start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if name.bytes().next().is_some_and(start) && name.bytes().all(rest) {
        return Ok(());
    }
    Err(ill_formed("a name holds a character that names may not hold"))
}

fn check_characters(text: &str) -> Result<(), XmlError> {
    let control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    // Every request passes here whole: looking at each byte, without leaving early, is what compiles to wide steps.
    let controls = text.bytes().fold(false, |found, byte| found | control(byte));
    if controls || text.contains('\u{fffe}') || text.contains('\u{ffff}') {
        return Err(ill_formed("it holds a character that XML forbids"));
    }
    Ok(())
}

/// quick-xml's messages repeat names of the document: they are cut to what an answer can bear.
fn ill_formed(what: impl Into<String>) -> XmlError {
    XmlError::IllFormed(what.into().chars().take(MESSAGE_LIMIT_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steps(text: &str) -> Result<String, XmlError> {
        let mut seen = String::new();
        walk(text, |step| {
            seen += &match step {
                Step::Open(name) => format!("<{name}>"),
                Step::Attribute(name, value) => format!("[{name}={value}]"),
                Step::Text(text) => text.to_owned(),
                Step::Close(_) => "</>".to_owned(),
            };
            Ok::<_, XmlError>(())
        })?;
        Ok(seen)
    }

    #[test]
    fn well_formed_documents_are_walked_in_their_order() {
        let check = |text: &str, expected: &str| assert_eq!(steps(text).as_deref(), Ok(expected), "{text}");
        check("<a/>", "<a></>");
        check("<?xml version=\"1.0\"?>\n<!-- c --><?pi x?><a>b</a >\r\n<!-- d -->\n", "<a>b</>");
        check("<s:a xmlns:s='u' xmlns='v' s:b='1' c=\"x&amp;&#65;\ty\"/>", "<a>[b=1][c=x&A y]</>");
        check("<a>x&amp;&#x41;<![CDATA[<&]]><b/>z</a>", "<a>x&A<&<b></>z</>");
        check("<Größe>1</Größe>", "<Größe>1</>");
        check(&("<a>".repeat(32) + &"</a>".repeat(32)), &("<a>".repeat(32) + &"</>".repeat(32)));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let ill_formed = [
            "",
            " ",
            "text",
            "<a>",
            "<a><b></a>",
            "<a></b>",
            "<a></a></a>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a/>&amp;",
            "<a/><![CDATA[x]]>",
            "<!-- -- --><a/>",
            "<a b=1/>",
            "<a b='1' b='2'/>",
            "<a b='<'/>",
            "<a b/>",
            "<1/>",
            "<a<b/>",
            "<a>&</a>",
            "<a>&x;</a>",
            "<a>&#0;</a>",
            "<a>&#xFFFE;</a>",
            "<a b='&#1;'/>",
            "<a>\0</a>",
            "<a b='&x;'/>",
            "<a/><?xml version='1.0'?>",
            "<?xml version='1.0'?><?xml version='1.0'?><a/>",
            "<a",
            "<a b='",
            "<a><![CDATA[",
            "<!--",
            "<a>\u{ffff}</a>",
            "</a>",
            "<a/",
            "<a 1='x'/>",
        ];
        for text in ill_formed {
            let error = steps(text).unwrap_err();
            assert!(matches!(error, XmlError::IllFormed(_)), "{text:?}: {error:?}");
        }
        assert_eq!(steps("<!DOCTYPE a><a/>"), Err(XmlError::Dtd));
        assert_eq!(steps("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Err(XmlError::Dtd));
        assert_eq!(steps(&("<a>".repeat(33) + &"</a>".repeat(33))), Err(XmlError::TooDeep));
        let many = |count| (0..count).map(|index| format!(" a{index}=''")).collect::<String>();
        assert_eq!(steps(&format!("<a{}/>", many(65))), Err(XmlError::TooManyAttributes));
        assert!(steps(&format!("<a{}/>", many(64))).is_ok());
    }

    #[test]
    fn an_error_repeats_little_of_the_document() {
        let name = "a".repeat(10_000);
        assert!(steps(&format!("<{name}></b>")).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn the_encoding_is_told_by_the_byte_order_mark() {
        let text = "<a>é😀</a>";
        let units = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            ['\u{feff}'].into_iter().chain(text.chars()).collect::<String>().encode_utf16().flat_map(bytes).collect()
        };
        assert_eq!(decode(text.as_bytes()).as_deref(), Ok(text));
        assert_eq!(decode(format!("\u{feff}{text}").as_bytes()).as_deref(), Ok(text));
        assert_eq!(decode(&units(u16::to_le_bytes)).as_deref(), Ok(text));
        assert_eq!(decode(&units(u16::to_be_bytes)).as_deref(), Ok(text));
        for wrong in [&b"<a>\xe9</a>"[..], b"\xff\xfe<", b"\xff\xfe\x00\xd8", b"\xfe\xff\xd8\x00\x00<"] {
            assert_eq!(decode(wrong), Err(XmlError::Encoding), "{wrong:?}");
        }
        assert!(decode(&[b' '; SIZE_LIMIT_BYTES]).is_ok());
        assert_eq!(decode(&[b' '; SIZE_LIMIT_BYTES + 1]), Err(XmlError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(bytes: Vec<u8>, text in "[<>/&;!?'\"=a-c \\[\\]CDATA-]{0,60}") {
            let _ = decode(&bytes).map(|text| steps(&text));
            let (mut opened, mut closed) = (0, 0);
            let well_formed = walk(&text, |step| {
                opened += usize::from(matches!(step, Step::Open(_)));
                closed += usize::from(matches!(step, Step::Close(_)));
                Ok::<_, XmlError>(())
            });
            prop_assert!(well_formed.is_err() || (opened == closed && opened > 0));
        }
    }
}
