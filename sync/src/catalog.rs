//! The security catalog (`.cat`) of an update: enough of it to know which digests it vouches for.
//! Nothing here verifies a signature, and nothing here is a reason to refuse a package. Pure.
//!
//! A catalog is a PKCS#7 signed message whose content is a certificate trust list (Microsoft's "CTL"); each member of the
//! list carries the digest of a file. It is read element by element, never as a whole set: a set of the `der` crate is
//! sorted in quadratic time, which a hostile catalog could make us wait for.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use schema::package::CatalogDigest;

/// Digests that are kept of one catalog (ours). A phone's catalog lists a handful.
pub const DIGEST_LIMIT: usize = 10_000;
/// Bytes of the longest digest that is kept: SHA-512.
const DIGEST_BYTES: usize = 64;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TRUST_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.1");
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");

/// What the catalog in `bytes` says; `None` when it is none, or cannot be read.
pub fn read(bytes: &[u8]) -> Option<Vec<CatalogDigest>> {
    let message = Elements::of(SliceReader::new(bytes).ok()?.decode::<AnyRef<'_>>().ok()?)?;
    let signed = content(message, SIGNED_DATA)?;
    // version, digest algorithms, content
    let list = content(Elements::of(Elements::of(signed)?.nth(2)?)?, TRUST_LIST)?;
    // The members are the last sequence of the list; before them come usage and algorithm, which are short sequences
    // too, and behind them only extensions in a tag of their own.
    let members = Elements::of(list)?.filter(|element| element.tag() == Tag::Sequence).last()?;
    let digests = Elements::of(members)?.filter_map(member_digest).take(DIGEST_LIMIT).collect();
    Some(digests)
}

/// The content of `SEQUENCE { type, [0] content }`, if it is of this type.
fn content(mut sequence: Elements<'_>, expected: ObjectIdentifier) -> Option<AnyRef<'_>> {
    if sequence.next()?.decode_as::<ObjectIdentifier>().ok()? != expected {
        return None;
    }
    let explicit = sequence.next().filter(|element| is_context_0(element.tag()))?;
    AnyRef::from_der(explicit.value()).ok()
}

fn is_context_0(tag: Tag) -> bool {
    tag == Tag::ContextSpecific { constructed: true, number: TagNumber::N0 }
}

/// `SEQUENCE { name, SET OF SEQUENCE { type, SET { SEQUENCE { data, SEQUENCE { SEQUENCE { algorithm }, digest } } } } }`
fn member_digest(member: AnyRef<'_>) -> Option<CatalogDigest> {
    let mut attributes = Elements::of(Elements::of(member)?.nth(1)?)?;
    attributes.find_map(|attribute| {
        let mut attribute = Elements::of(attribute)?;
        if attribute.next()?.decode_as::<ObjectIdentifier>().ok()? != INDIRECT_DATA {
            return None;
        }
        let value = Elements::of(attribute.next()?)?.next()?;
        let mut digest = Elements::of(Elements::of(value)?.nth(1)?)?;
        let algorithm = Elements::of(digest.next()?)?.next()?.decode_as::<ObjectIdentifier>().ok()?;
        let value = digest.next().filter(|value| value.tag() == Tag::OctetString)?.value();
        (value.len() <= DIGEST_BYTES).then(|| CatalogDigest { algorithm: algorithm.to_string(), value: value.to_vec() })
    })
}

/// The elements of a sequence or set, up to the first that cannot be read.
struct Elements<'a>(SliceReader<'a>);

impl<'a> Elements<'a> {
    fn of(parent: AnyRef<'a>) -> Option<Self> {
        matches!(parent.tag(), Tag::Sequence | Tag::Set)
            .then(|| SliceReader::new(parent.value()).ok().map(Self))
            .flatten()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = AnyRef<'a>;

    fn next(&mut self) -> Option<AnyRef<'a>> {
        if self.0.is_finished() {
            return None;
        }
        self.0.decode().ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use der::Encode;
    use proptest::prelude::*;

    /// An element: the tag's byte, and its parts joined.
    fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let value = parts.concat();
        let length = match value.len() {
            length @ ..0x80 => vec![u8::try_from(length).unwrap()],
            length @ ..0x100 => vec![0x81, u8::try_from(length).unwrap()],
            length => [&[0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
        };
        [vec![tag], length, value].concat()
    }

    fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        element(0x30, parts)
    }

    fn oid(text: &str) -> Vec<u8> {
        ObjectIdentifier::new_unwrap(text).to_der().unwrap()
    }

    /// A member with this digest.
    pub(crate) fn member(algorithm: &str, digest: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[oid(algorithm), vec![5, 0]]);
        let file = sequence(&[oid("1.3.6.1.4.1.311.2.1.25"), element(0xa2, &[vec![0x80, 0]])]);
        let data = sequence(&[file, sequence(&[algorithm, element(4, &[digest.to_vec()])])]);
        let name = sequence(&[oid("1.3.6.1.4.1.311.12.2.1"), element(0x31, &[sequence(&[])])]);
        let attribute = sequence(&[oid("1.3.6.1.4.1.311.2.1.4"), element(0x31, &[data])]);
        sequence(&[element(4, &[digest.to_vec()]), element(0x31, &[name, attribute])])
    }

    /// A catalog of these members.
    pub(crate) fn catalog(members: &[Vec<u8>]) -> Vec<u8> {
        let list = sequence(&[
            sequence(&[oid("1.3.6.1.4.1.311.12.1.1")]),
            element(4, &[vec![7; 16]]),
            element(0x17, &[b"081216044358Z".to_vec()]),
            sequence(&[oid("1.3.6.1.4.1.311.12.1.2"), vec![5, 0]]),
            sequence(members),
            element(0xa0, &[sequence(&[])]),
        ]);
        let content = sequence(&[oid("1.3.6.1.4.1.311.10.1"), element(0xa0, &[list])]);
        let algorithms = element(0x31, &[sequence(&[oid("1.3.14.3.2.26"), vec![5, 0]])]);
        let signed = sequence(&[vec![2, 1, 1], algorithms, content, element(0x31, &[])]);
        sequence(&[oid("1.2.840.113549.1.7.2"), element(0xa0, &[signed])])
    }

    #[test]
    fn the_digests_of_all_members_are_read() {
        let (sha1, sha256) = ("1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1");
        let bytes = catalog(&[member(sha1, &[1; 20]), sequence(&[]), member(sha256, &[2; 32])]);
        let digest =
            |algorithm: &str, value: &[u8]| CatalogDigest { algorithm: algorithm.to_owned(), value: value.to_vec() };
        let expected = vec![digest(sha1, &[1; 20]), digest(sha256, &[2; 32])];
        assert_eq!(read(&bytes), Some(expected));
        assert_eq!(read(&catalog(&[])), Some(vec![]));
    }

    #[test]
    fn what_is_no_catalog_says_nothing() {
        let bytes = catalog(&[member("1.3.14.3.2.26", &[1; 20])]);
        assert!((0..bytes.len()).all(|end| read(&bytes[..end]).is_none()));
        assert_eq!(read(b"not a catalog"), None);
        assert_eq!(read(&sequence(&[oid("1.2.840.113549.1.7.1"), element(0xa0, &[sequence(&[])])])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(at in 0_usize..200, byte: u8, junk: Vec<u8>) {
            let mut bytes = catalog(&[member("1.3.14.3.2.26", &[1; 20])]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = (read(&bytes), read(&junk));
        }
    }
}
