//! The `Range` header (RFC 9110, 14.2): which bytes of a file are asked for. Pure.

use http::HeaderValue;

/// Ranges that one request may ask for (ours); a request for more gets the whole file, which costs less.
const RANGES_LIMIT: usize = 16;

/// Bytes from `first` to `last`, both included; never empty and never beyond the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes it is.
    pub fn length_bytes(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether both are one range: they overlap or follow each other.
    fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The whole file: no header, or one that is none of ours to understand.
    Whole,
    /// One range, as it is.
    One(ByteRange),
    /// Several ranges, as parts, none touching another: together never more than the file.
    Several(Vec<ByteRange>),
    /// No range has a byte of the file.
    Unsatisfiable,
}

/// Reads the header for a file of this size.
pub fn select(header: Option<&HeaderValue>, size_bytes: u64) -> Selection {
    let specs = header.and_then(|value| value.to_str().ok()).and_then(specs);
    let Some(specs) = specs else { return Selection::Whole };
    let mut ranges: Vec<ByteRange> = Vec::new();
    for range in specs.into_iter().filter_map(|spec| spec.within(size_bytes)) {
        merge_into(&mut ranges, range);
    }
    match ranges[..] {
        [] => Selection::Unsatisfiable,
        [range] => Selection::One(range),
        _ => Selection::Several(ranges),
    }
}

/// A range as written.
#[derive(Debug, Clone, Copy)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn within(self, size_bytes: u64) -> Option<ByteRange> {
        let end = size_bytes.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::Between(first, last) => (first, last.min(end)),
            Self::Last(0) => return None,
            Self::Last(count) => (size_bytes.saturating_sub(count), end),
        };
        (first <= end).then_some(ByteRange { first, last })
    }
}

/// The ranges of a header; nothing when it is not well-formed, of another unit, or asks for too many.
fn specs(header: &str) -> Option<Vec<Spec>> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty elements of a list are allowed to be there (RFC 9110, 5.6.1).
    let elements = set.split(',').map(str::trim).filter(|element| !element.is_empty());
    let specs: Vec<Spec> = elements.take(RANGES_LIMIT + 1).map(spec).collect::<Option<_>>()?;
    (1..=RANGES_LIMIT).contains(&specs.len()).then_some(specs)
}

fn spec(text: &str) -> Option<Spec> {
    match text.split_once('-')? {
        ("", count) => Some(Spec::Last(number(count)?)),
        (first, "") => Some(Spec::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

/// Digits; a number beyond all files is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Adds a range, joined with those that it touches, at the place of the first of them.
fn merge_into(ranges: &mut Vec<ByteRange>, mut range: ByteRange) {
    let mut place = ranges.len();
    while let Some(index) = ranges.iter().position(|other| other.touches(range)) {
        let other = ranges.remove(index);
        range = ByteRange { first: range.first.min(other.first), last: range.last.max(other.last) };
        place = place.min(index);
    }
    ranges.insert(place.min(ranges.len()), range);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(header: &str, size_bytes: u64) -> Selection {
        select(Some(&HeaderValue::from_str(header).unwrap()), size_bytes)
    }

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange { first, last }
    }

    #[test]
    fn one_range_is_read_as_rfc_9110_says() {
        let check = |header: &str, expected: Selection| assert_eq!(chosen(header, 1000), expected, "{header}");
        check("bytes=0-0", Selection::One(range(0, 0)));
        check("bytes=0-499", Selection::One(range(0, 499)));
        check("bytes=500-", Selection::One(range(500, 999)));
        check("bytes=-1", Selection::One(range(999, 999)));
        check("bytes=-5000", Selection::One(range(0, 999)));
        check("bytes=990-5000", Selection::One(range(990, 999)));
        check("BYTES = 1-2 ,", Selection::One(range(1, 2)));
        check("bytes=0-99999999999999999999999999", Selection::One(range(0, 999)));
        check("bytes=1000-", Selection::Unsatisfiable);
        check("bytes=1000-2000,-0", Selection::Unsatisfiable);
        check("bytes=99999999999999999999999999-", Selection::Unsatisfiable);
    }

    #[test]
    fn what_is_not_a_range_of_bytes_gets_the_whole_file() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1",
            "bytes=0-1,x",
            "lines=0-1",
            "bytes=0x1-2",
            "bytes= 1 - 2",
        ] {
            assert_eq!(chosen(header, 1000), Selection::Whole, "{header:?}");
        }
        assert_eq!(select(None, 1000), Selection::Whole);
        assert_eq!(chosen("bytes=0-", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn several_ranges_keep_their_order_and_those_that_touch_are_joined() {
        let check = |header: &str, expected: &[(u64, u64)]| {
            let expected: Vec<_> = expected.iter().map(|(first, last)| range(*first, *last)).collect();
            assert_eq!(chosen(header, 1000), Selection::Several(expected), "{header}");
        };
        check("bytes=0-1,10-11", &[(0, 1), (10, 11)]);
        check("bytes=500-600, 10-11", &[(500, 600), (10, 11)]);
        check("bytes=0-1,2000-3000,-10,5-6", &[(0, 1), (990, 999), (5, 6)]);
        check("bytes=20-30,0-1,31-40", &[(20, 40), (0, 1)]);
        check("bytes=100-110,0-1,120-130,105-125", &[(100, 130), (0, 1)]);
        assert_eq!(chosen("bytes=0-10,5-20", 1000), Selection::One(range(0, 20)));
        assert_eq!(chosen("bytes=0-,0-,0-,-1", 1000), Selection::One(range(0, 999)));
    }

    #[test]
    fn too_many_ranges_get_the_whole_file() {
        let header = |count: usize| {
            let specs: Vec<String> = (0..count).map(|n| format!("{}-{}", n * 10, n * 10)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(
            matches!(chosen(&header(RANGES_LIMIT), 1000), Selection::Several(ranges) if ranges.len() == RANGES_LIMIT)
        );
        assert_eq!(chosen(&header(RANGES_LIMIT + 1), 1000), Selection::Whole);
    }

    proptest! {
        #[test]
        fn no_more_than_the_file_is_ever_selected(header in "bytes=[-0-9, ]{0,40}", size_bytes in 0_u64..200) {
            let ranges = match chosen(&header, size_bytes) {
                Selection::One(range) => vec![range],
                Selection::Several(ranges) => ranges,
                Selection::Whole | Selection::Unsatisfiable => vec![],
            };
            prop_assert!(ranges.iter().all(|range| range.first <= range.last && range.last < size_bytes));
            let mut touched = std::collections::HashSet::new();
            prop_assert!(ranges.iter().flat_map(|range| range.first..=range.last).all(|byte| touched.insert(byte)));
        }
    }
}
