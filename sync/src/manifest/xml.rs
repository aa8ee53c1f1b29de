//! A small XML document as a tree: text and attributes, no namespaces, no DTD, bounded depth.
//! Bounded in size by whoever read its bytes.

use quick_xml::escape;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Its local name, in lower case.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    text: String,
    pub(super) children: Vec<Element>,
}

/// Elements inside each other (PROTOCOL.md 3, the same for requests).
const DEPTH: usize = 32;
/// Elements of a document (ours): each costs more memory than the few bytes that it may have.
const ELEMENTS: usize = 100_000;
/// Attributes of an element (ours).
const ATTRIBUTES: usize = 64;

impl Element {
    /// The value of an attribute or a direct child with one of these names (in lower case), trimmed; an empty one is
    /// none.
    pub(super) fn field(&self, names: &[&str]) -> Option<&str> {
        let attribute = |name: &&str| self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let child = |name: &&str| self.children.iter().find(|child| child.name == **name).map(|child| &child.text);
        let found = |name| attribute(name).into_iter().chain(child(name)).map(|text| text.trim());
        names.iter().flat_map(found).find(|text| !text.is_empty())
    }

    /// All elements of this name (in lower case) below this one that are not inside another of that name.
    pub(super) fn descendants<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let below = |child: &'a Element| match child.name == name {
            true => vec![child],
            false => child.descendants(name),
        };
        self.children.iter().flat_map(below).collect()
    }
}

/// Reads a document: UTF-8 with or without a byte order mark, UTF-16 with one. The root is returned as the only child of
/// an element without a name.
pub(super) fn read(bytes: &[u8]) -> Result<Element, String> {
    let text = decode(bytes)?;
    let mut reader = Reader::from_str(&text);
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        elements += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
        if elements > ELEMENTS {
            return Err(format!("it has more than {ELEMENTS} elements"));
        }
        match event {
            Event::Start(start) if open.len() > DEPTH => {
                return Err(format!("<{}> is deeper than {DEPTH} elements", start.local_name().as_ref()));
            }
            Event::Start(start) => open.push(element(&start)?),
            Event::Empty(start) => attach(&mut open, element(&start)?),
            Event::End(_) => {
                let closed = open.pop().unwrap_or_default();
                attach(&mut open, closed);
            }
            Event::Text(text) => add_text(&mut open, &text.into_inner()),
            Event::CData(text) => add_text(&mut open, &text.into_inner()),
            Event::GeneralRef(reference) => add_text(&mut open, &resolve(&reference)?),
            Event::DocType(_) => return Err("it has a DTD, expected none".to_owned()),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(document), true) if !document.children.is_empty() => Ok(document),
        (Some(unclosed), false) => Err(format!("<{}> is not closed", unclosed.name)),
        _ => Err("it has no element".to_owned()),
    }
}

fn attach(open: &mut [Element], closed: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(closed);
    }
}

fn add_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element { name: start.local_name().as_ref().to_lowercase(), ..Element::default() };
    // Looking for attributes that are there twice takes quadratic time; the first one counts.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if element.attributes.len() == ATTRIBUTES {
            return Err(format!("<{}> has more than {ATTRIBUTES} attributes", element.name));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        element.attributes.push((attribute.key.local_name().as_ref().to_lowercase(), value.into_owned()));
    }
    Ok(element)
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let unknown = || format!("the entity {:?} is not known", &**reference);
    escape::resolve_predefined_entity(reference).map(str::to_owned).ok_or_else(unknown)
}

fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok()
            .filter(|_| bytes.len().is_multiple_of(2))
            .ok_or("it is not the UTF-16 that its byte order mark says".to_owned())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => {
            let error = "it is neither UTF-8 nor UTF-16 with a byte order mark";
            std::str::from_utf8(rest).map(str::to_owned).map_err(|_| error.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(bytes: &[u8]) -> Result<Option<String>, String> {
        read(bytes).map(|document| document.children[0].field(&["a"]).map(str::to_owned))
    }

    #[test]
    fn a_field_is_an_attribute_or_a_child_in_any_case() {
        let expected = Ok(Some("1 < 2".to_owned()));
        for text in [
            "<r a='1 &lt; 2'/>",
            "<R A='1 &#60; 2'></R>",
            "<r xmlns:x='u' x:A='1 &lt; 2'/>",
            "<r><A> 1 &lt; 2\n</A></r>",
            "<r a=''><a>1 <![CDATA[< 2]]></a></r>",
            "\u{feff}<?xml version='1.0' encoding='utf-8'?><!-- c --><r><b><a>3</a></b><a>1 &#x3c; 2</a></r>",
        ] {
            assert_eq!(field(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(field(b"<r><b a='1'/></r>"), Ok(None));
    }

    #[test]
    fn utf_16_is_read_by_its_byte_order_mark() {
        let text = "\u{feff}<r a='Müller'/>";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(field(&little), Ok(Some("Müller".to_owned())));
        assert_eq!(field(&big), Ok(Some("Müller".to_owned())));
        assert!(field(&little[..little.len() - 1]).is_err());
    }

    #[test]
    fn what_is_no_plain_document_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        for text in [
            "",
            "text",
            "<r>",
            "<r><a></r>",
            "</r>",
            "<r a=1/>",
            "<r>&nbsp;</r>",
            "<r a='&nbsp;'/>",
            "<!DOCTYPE r [<!ENTITY e 'x'>]><r>&e;</r>",
            &deep,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"<r a='\xe4'/>").is_err());
        assert!(read(format!("<r>{}</r>", "<a/>".repeat(ELEMENTS)).as_bytes()).is_err());
        assert!(read(format!("<r{}/>", " a='1'".repeat(ATTRIBUTES + 1)).as_bytes()).is_err());
        assert!(read(format!("{}{}", "<a>".repeat(32), "</a>".repeat(32)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "(<[/!?]?[a-z]{0,3}( a=['\"]?[^<]{0,3}['\"]?)?/?>|&[a-z#]{0,4};?|x){0,20}") {
            let _ = (read(&bytes), read(text.as_bytes()));
        }
    }
}
