//! Whether this machine has a Docker Engine, and which compose program speaks to it.

use std::process::{Command, Stdio};

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The compose program's words; none when there is no engine that this user may use, or no compose program.
pub fn engine() -> Option<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match () {
        () if !works(&["docker", "info"]) => None,
        () if works(&["docker", "compose", "version"]) => Some(words(&["docker", "compose"])),
        () if works(&["docker-compose", "version"]) => Some(words(&["docker-compose"])),
        () => None,
    }
}

/// Whether tests that need an engine can run. Where none is, `tests/run.sh` says which did not; with `CI` set that is a
/// failure.
pub fn is_there() -> bool {
    let is_there = engine().is_some();
    assert!(
        is_there || std::env::var_os("CI").is_none(),
        "CI is set, and there is no Docker Engine with a compose program"
    );
    is_there
}
