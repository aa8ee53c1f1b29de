//! Packages made by a program that is not ours: gcab.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of a package: its path there, with `/`, and its bytes.
pub type Entry<'a> = (&'a str, &'a [u8]);

/// Makes a cabinet of these files, all with one time stamp (`2008-12-16 04:43:58`), MSZIP-packed, in `folder`.
pub fn package(folder: &Path, name: &str, time_stamp: &str, entries: &[Entry<'_>]) -> PathBuf {
    let tree = folder.join(format!("{name}.tree"));
    for (path, bytes) in entries {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        run(Command::new("touch").args(["-d", time_stamp]).arg(&path));
    }
    let package = folder.join(name);
    let mut gcab = Command::new("gcab");
    gcab.args(["-c", "-z"]).arg(&package).args(entries.iter().map(|(path, _)| path)).current_dir(&tree);
    run(&mut gcab);
    package
}

fn run(command: &mut Command) {
    let output = command.env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Bytes that do not compress to nothing and differ by seed.
pub fn image(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let byte = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        // Every fourth byte repeats, so that there is something to compress.
        state.to_le_bytes()[0] & 0x3f
    };
    (0..length).map(|_| byte(&mut state)).collect()
}
