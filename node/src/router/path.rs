//! The paths that phones ask for (PROTOCOL.md 2), matched without regard to case. Pure.

use percent_encoding::percent_decode_str;
use schema::package::StorePath;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhonePath {
    /// Update requests and device logs.
    Handler,
    /// An update file, by its path below the update folder.
    File(StorePath),
    /// Nothing of ours.
    Unknown,
}

const HANDLERS: [&str; 2] = ["/RequestHandler/ucdevice.upx", "/RequestHandlerExt/ucdevice.upx"];

/// Both names of the update folder, for each side.
const FILES: [&str; 4] =
    ["/RequestHandler/Files/", "/RequestHandlerExt/Files/", "/DeviceUpdateFiles_Int/", "/DeviceUpdateFiles_Ext/"];

impl PhonePath {
    /// Reads the path of a URL, decoded once. What is left of it must be names: anything else (dots, backslashes, what is
    /// encoded twice) is no path of ours.
    pub fn parse(path: &str) -> Self {
        // An encoded slash would be a separator only after decoding: no client of ours writes one.
        if path.as_bytes().windows(3).any(|window| window.eq_ignore_ascii_case(b"%2f")) {
            return Self::Unknown;
        }
        let Ok(path) = percent_decode_str(path).decode_utf8() else { return Self::Unknown };
        if HANDLERS.iter().any(|handler| handler.eq_ignore_ascii_case(&path)) {
            return Self::Handler;
        }
        let below = FILES.iter().find_map(|folder| strip_prefix_any_case(&path, folder));
        below.and_then(|below| StorePath::parse(below).ok()).map_or(Self::Unknown, Self::File)
    }
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt";

    #[test]
    fn paths_are_those_of_the_original_in_any_case() {
        let file = |text: &str| PhonePath::File(StorePath::parse(text).unwrap());
        let check = |path: &str, expected: PhonePath| assert_eq!(PhonePath::parse(path), expected, "{path}");
        for handler in HANDLERS {
            check(handler, PhonePath::Handler);
            check(&handler.to_ascii_uppercase(), PhonePath::Handler);
            check(&handler.to_ascii_lowercase(), PhonePath::Handler);
        }
        for folder in FILES {
            check(&format!("{folder}{FILE}"), file(FILE));
            check(&format!("{}{FILE}", folder.to_ascii_lowercase()), file(FILE));
            check(&format!("{folder}OCInterim/ENU/cpe.nbt"), file("OCInterim/ENU/cpe.nbt"));
        }
        check("/%52equestHandler/ucdevice%2Eupx", PhonePath::Handler);
        check("/DeviceUpdateFiles_Int/OCInterim/ENU/a%20b.nbt", file("OCInterim/ENU/a b.nbt"));
        check("/DeviceUpdateFiles_Int/OCInterim/ENU/a+b.nbt", file("OCInterim/ENU/a+b.nbt"));
    }

    #[test]
    fn anything_odd_is_unknown() {
        for path in [
            "",
            "*",
            "/",
            "/RequestHandler",
            "/RequestHandler/",
            "/RequestHandler/ucdevice.upx/",
            "//RequestHandler/ucdevice.upx",
            "/RequestHandler/ucdevice.upx ",
            "/RequestHandler//ucdevice.upx",
            "/x/RequestHandler/ucdevice.upx",
            "/RequestHandler%2Fucdevice.upx",
            "/RequestHandler/ucdevice%252Eupx",
            "/RequestHandler/ucdevice.upx%00",
            "/DeviceUpdateFiles_Int",
            "/DeviceUpdateFiles_Int/",
            "/DeviceUpdateFiles_Int/a",
            "/DeviceUpdateFiles_Int/a/",
            "/DeviceUpdateFiles_Int//a/b",
            "/DeviceUpdateFiles_Int/a//b",
            "/DeviceUpdateFiles_Int/a/../b",
            "/DeviceUpdateFiles_Int/../RequestHandler/ucdevice.upx",
            "/DeviceUpdateFiles_Int/%2e%2e/%2E%2E/etc/passwd",
            "/DeviceUpdateFiles_Int/a%2fb/c",
            "/DeviceUpdateFiles_Int/a%2Fb/c",
            "/DeviceUpdateFiles_Int/a%5Cb/c",
            "/DeviceUpdateFiles_Int/a\\b/c",
            "/DeviceUpdateFiles_Int/a/b%00.nbt",
            "/DeviceUpdateFiles_Int/a/b%0d%0a",
            "/DeviceUpdateFiles_Int/a/b%zz",
            "/DeviceUpdateFiles_Int/a/b%",
            "/DeviceUpdateFiles_Int/a/%ff",
            "/DeviceUpdateFiles_Int/a/%252e",
            "/DeviceUpdateFiles_Int/C:/b",
            "/DeviceUpdateFiles_Int/a/b.",
            "/DeviceUpdateFiles_Int/1/2/3/4/5/6/7/8/9",
            "/RequestHandler/File/a/b",
            "/Files/a/b",
            "/api/v1/rules",
        ] {
            assert_eq!(PhonePath::parse(path), PhonePath::Unknown, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "(/RequestHandler/Files/|/DeviceUpdateFiles_Ext/|/é)?[-a-zé./\\\\%0-9]{0,30}") {
            let _ = PhonePath::parse(&path);
        }
    }
}
