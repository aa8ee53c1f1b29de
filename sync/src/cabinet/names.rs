//! Names of files in a cabinet: read, brought to `/`, and refused when they could harm whoever writes them to a disk.
//! We never do that (files are staged under names of our own), but what a name says goes into paths of the store.

use super::error::{CabinetError, HostileName};
use super::limits::Limits;

/// How the bytes of a name are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The file's attributes say UTF-8.
    Utf8,
    /// They do not: the packer's code page, unknown; its ASCII is what matters, the rest is read as Latin-1 (ours).
    Latin1,
}

/// Characters of a refused name that an error repeats.
const SHOWN_CHARS: usize = 80;

/// The name with `/` between its segments.
pub(super) fn read(bytes: &[u8], encoding: Encoding, limits: &Limits) -> Result<String, CabinetError> {
    let latin1 = || bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let text = match encoding {
        Encoding::Utf8 => std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| HostileName::NotUtf8),
        Encoding::Latin1 => Ok(latin1()),
    };
    let checked = text.and_then(|text| {
        let path = text.replace('\\', "/");
        check(&path, limits).map(|()| path)
    });
    checked.map_err(|reason| CabinetError::HostileName { name: latin1().chars().take(SHOWN_CHARS).collect(), reason })
}

fn check(path: &str, limits: &Limits) -> Result<(), HostileName> {
    if path.len() > limits.name_bytes {
        return Err(HostileName::TooLong { limit: limits.name_bytes });
    }
    if path.chars().any(char::is_control) {
        return Err(HostileName::Control);
    }
    if path.starts_with('/') {
        return Err(HostileName::Absolute);
    }
    if path.contains(':') {
        return Err(HostileName::Drive);
    }
    if path.split('/').count() > limits.path_depth {
        return Err(HostileName::TooDeep { limit: limits.path_depth });
    }
    path.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), HostileName> {
    match segment {
        "" => Err(HostileName::EmptySegment),
        "." | ".." => Err(HostileName::Dots),
        _ if segment.ends_with(['.', ' ']) => Err(HostileName::Ending),
        _ if is_device(segment) => Err(HostileName::Device),
        _ => Ok(()),
    }
}

/// Whether Windows takes the segment for a device: the stem counts, whatever the extension.
fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|digit| digit.chars().count() == 1 && "123456789¹²³".contains(digit))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, HostileName>) {
        let found = match read(bytes, Encoding::Latin1, &Limits::default()) {
            Ok(name) => Ok(name),
            Err(CabinetError::HostileName { reason, .. }) => Err(reason),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected.map(str::to_owned), "{bytes:?}");
    }

    #[test]
    fn both_separators_and_latin_1_are_read() {
        check(b"UCPhone\\Polycom/CX600\\CPE.nbt", Ok("UCPhone/Polycom/CX600/CPE.nbt"));
        check(b"M\xfcller.nbt", Ok("Müller.nbt"));
        check(b"..nbt", Ok("..nbt"));
        check(b"COM.nbt", Ok("COM.nbt"));
        check(b"CONSOLE/COM10.nbt", Ok("CONSOLE/COM10.nbt"));
        let utf8 = read("Müller.nbt".as_bytes(), Encoding::Utf8, &Limits::default()).unwrap();
        assert_eq!(utf8, "Müller.nbt");
    }

    #[test]
    fn hostile_names_are_refused_by_their_reason() {
        use HostileName::{Absolute, Control, Device, Dots, Drive, EmptySegment, Ending};
        check(b"/etc/passwd", Err(Absolute));
        check(b"\\\\server\\share\\a", Err(Absolute));
        check(b"C:\\a", Err(Drive));
        check(b"a:stream", Err(Drive));
        check(b"..\\a", Err(Dots));
        check(b"a/../b", Err(Dots));
        check(b"./a", Err(Dots));
        check(b"", Err(EmptySegment));
        check(b"a//b", Err(EmptySegment));
        check(b"a/", Err(EmptySegment));
        check(b"a\nb", Err(Control));
        check(b"a\x85b", Err(Control));
        check(b"NUL", Err(Device));
        check(b"a/aux.nbt", Err(Device));
        check(b"com1 .nbt", Err(Device));
        check(b"lpt\xb9", Err(Device));
        check(b"a./b", Err(Ending));
        check(b"a ", Err(Ending));
        check(&[b'a'; 256], Err(HostileName::TooLong { limit: 255 }));
        check(b"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", Err(HostileName::TooDeep { limit: 16 }));
        assert!(read(b"M\xfcller", Encoding::Utf8, &Limits::default()).is_err());
    }
}
