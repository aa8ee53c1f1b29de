//! Names that would harm whoever writes them to a disk, names that are one, and harmless ones that look odd.

use super::{Expected, Maker};
use tests::cab::{CabBuilder, Packing};

const UTF8: u16 = 0xa0;
const PLAIN: u16 = 0x20;

/// Names, and why each is refused.
const HOSTILE: [(&str, &[&[u8]]); 8] = [
    ("HostileName.Dots", &[b"..", b".", b"../a", b"..\\a", b"a/../b", b"a\\..\\..\\b", b"./a", b"a/.", b"a\\.."]),
    ("HostileName.Absolute", &[b"/a", b"\\a", b"\\\\server\\share\\a", b"//a", b"/", b"\\"]),
    ("HostileName.Drive", &[b"C:\\a", b"c:a", b"a:", b"a:stream", b"a\\b:c:$DATA", b":"]),
    ("HostileName.EmptySegment", &[b"", b"a//b", b"a\\\\b", b"a/", b"a\\", b"a/\\b"]),
    ("HostileName.Control", &[b"a\nb", b"a\rb", b"\x01", b"a\x7f", b"a\tb", b"\x1b[2J"]),
    ("HostileName.Device", &[b"NUL", b"nul.nbt", b"a\\AUX", b"con", b"PRN.x.y", b"COM1", b"lpt9.cat", b"a/CONIN$"]),
    ("HostileName.Ending", &[b"a.", b"a ", b"a./b", b"a \\b", b"...", b"a/...", b" "]),
    (
        "HostileName.TooDeep",
        &[b"1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7", b"1\\2\\3\\4\\5\\6\\7\\8\\9\\0\\1\\2\\3\\4\\5\\6\\7"],
    ),
];

const HARMLESS: [&[u8]; 8] =
    [b"..a", b"a..b", b".a", b"COM", b"COM10", b"a b", b"1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6", b"%2e%2e"];

pub(super) fn hostile(maker: &mut Maker<'_>) {
    for (reason, names) in HOSTILE {
        for name in names {
            one(maker, name, PLAIN, Expected::Reason(reason));
            one(maker, name, UTF8, Expected::Reason(reason));
        }
    }
    for name in HARMLESS {
        one(maker, name, PLAIN, Expected::Any);
    }
    for length in [1, 254, 255, 256, 257, 1_000, 70_000] {
        let expected = if length > 255 { Expected::Reason("HostileName.TooLong") } else { Expected::Any };
        one(maker, &vec![b'a'; length], PLAIN, expected);
    }
    // Two bytes each in Latin-1, as we read them: the limit is of what is kept.
    one(maker, &[0xe9; 128], PLAIN, Expected::Reason("HostileName.TooLong"));
    one(maker, &[0xe9; 127], PLAIN, Expected::Any);
    one(maker, b"\xff\xfe", UTF8, Expected::Reason("HostileName.NotUtf8"));
    one(maker, b"\xc0\xae\xc0\xae/a", UTF8, Expected::Reason("HostileName.NotUtf8"));
    one(maker, b"\xed\xa0\x80", UTF8, Expected::Reason("HostileName.NotUtf8"));
    one(maker, "a\u{85}b".as_bytes(), UTF8, Expected::Reason("HostileName.Control"));
    one(maker, "lpt\u{b9}".as_bytes(), UTF8, Expected::Reason("HostileName.Device"));
    // A name ends at its first zero byte; what follows is then read as the next entry.
    one(maker, b"a\0b", PLAIN, Expected::Refused);
    for pair in [["a", "a"], ["a", "A"], ["x/CPE.nbt", "X\\cpe.NBT"], ["\u{e9}", "\u{c9}"]] {
        let cab = CabBuilder::new().folder(Packing::Stored).file(pair[0], b"1").file(pair[1], b"2").build();
        maker.add("names", format!("{pair:?}"), cab.bytes, Expected::Reason("DuplicateName"));
    }
    // Every byte, alone and inside.
    for byte in 1..=255 {
        for attributes in [PLAIN, UTF8] {
            one(maker, &[byte], attributes, Expected::Any);
            one(maker, &[b'a', byte, b'b'], attributes, Expected::Any);
        }
    }
}

fn one(maker: &mut Maker<'_>, name: &[u8], attributes: u16, expected: Expected) {
    let cab = CabBuilder::new().folder(Packing::Stored).raw_file(name, attributes, b"x").file("other", b"y").build();
    let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
    maker.add("names", format!("{shown:?} with attributes {attributes:#x}"), cab.bytes, expected);
}
