//! When a dropped file is whole: when it has not changed for a while. No look at the file system, and no clock.

use super::modified_ns;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// A file that its writer has closed, as this machine's kernel says, needs to rest for this part of the time only. What
/// other machines write to a share is never said to be closed.
const CLOSED_PART: i32 = 10;

/// An empty file is mostly one whose copy has not begun: it may rest so many times as long.
const EMPTY_TIMES: i32 = 12;

/// What shows that a file was written to, or is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its length in bytes.
    pub size_bytes: u64,
    modified_ns: i128,
    inode: u64,
}

impl Stamp {
    /// That of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { size_bytes: metadata.len(), modified_ns: modified_ns(metadata), inode: metadata.ino() }
    }

    #[cfg(test)]
    pub(super) fn new(size_bytes: u64, modified_ns: i128) -> Self {
        Self { size_bytes, modified_ns, inode: 1 }
    }
}

/// A file in the drop folder that is named like a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: OsString,
    /// What it is now.
    pub stamp: Stamp,
}

/// What earlier looks have seen, for as long as it is there.
#[derive(Debug)]
pub struct Settling {
    settle: SignedDuration,
    seen: HashMap<OsString, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stamp: Stamp,
    first: Timestamp,
    unchanged_since: Timestamp,
}

impl Settling {
    /// A file is whole when it has not changed for so long.
    pub fn new(settle: SignedDuration) -> Self {
        Self { settle, seen: HashMap::new() }
    }

    /// Takes what a look has found; the candidates that are whole, the oldest first. `closed` are names whose file was
    /// closed by its writer since it was last written to.
    pub fn look(&mut self, candidates: &[Candidate], closed: &HashSet<OsString>, now: Timestamp) -> Vec<Candidate> {
        let mut seen = HashMap::with_capacity(candidates.len());
        let mut settled = Vec::new();
        for candidate in candidates {
            let before = self.seen.get(&candidate.name).copied();
            // A clock that was set back must not keep a file waiting until it is there again.
            let before = before.filter(|before| before.first <= now && before.unchanged_since <= now);
            let first = before.map_or(now, |before| before.first);
            let same = before.filter(|before| before.stamp == candidate.stamp);
            let unchanged_since = same.map_or(now, |before| before.unchanged_since);
            seen.insert(candidate.name.clone(), Seen { stamp: candidate.stamp, first, unchanged_since });
            // One look alone shows nothing.
            if same.is_some() && now.duration_since(unchanged_since) >= self.rest(candidate, closed) {
                settled.push(candidate.clone());
            }
        }
        self.seen = seen;
        settled.sort_by(|one, other| (one.stamp.modified_ns, &one.name).cmp(&(other.stamp.modified_ns, &other.name)));
        settled
    }

    fn rest(&self, candidate: &Candidate, closed: &HashSet<OsString>) -> SignedDuration {
        match candidate.stamp.size_bytes {
            0 => self.settle * EMPTY_TIMES,
            _ if closed.contains(&candidate.name) => self.settle / CLOSED_PART,
            _ => self.settle,
        }
    }

    /// When the file that has waited longest was first seen.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.seen.values().map(|seen| seen.first).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        settling: Settling,
        closed: HashSet<OsString>,
    }

    impl Bench {
        fn new() -> Self {
            Self { settling: Settling::new(SignedDuration::from_secs(5)), closed: HashSet::new() }
        }

        /// The names that are whole, of files with these sizes and times, so many milliseconds after the beginning.
        fn look(&mut self, at_ms: i64, files: &[(&str, u64, i128)]) -> Vec<String> {
            let now = Timestamp::from_millisecond(1_000_000 + at_ms).unwrap();
            let candidate = |(name, size_bytes, modified): &(&str, u64, i128)| Candidate {
                name: OsString::from(name),
                stamp: Stamp::new(*size_bytes, *modified),
            };
            let candidates: Vec<_> = files.iter().map(candidate).collect();
            let settled = self.settling.look(&candidates, &self.closed, now);
            settled.into_iter().map(|candidate| candidate.name.into_string().unwrap()).collect()
        }
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_file_that_grows_for_an_hour_is_whole_when_it_has_rested() {
        let mut bench = Bench::new();
        for minute in 0..60 {
            assert_eq!(bench.look(minute * 60_000, &[("a.cab", 1 + minute.unsigned_abs(), 0)]), NONE);
        }
        let begun = 59 * 60_000;
        assert_eq!(bench.look(begun + 4_999, &[("a.cab", 60, 0)]), NONE);
        assert_eq!(bench.look(begun + 5_000, &[("a.cab", 60, 0)]), ["a.cab"]);
        assert_eq!(bench.settling.oldest(), Some(Timestamp::from_millisecond(1_000_000).unwrap()));
    }

    #[test]
    fn one_look_is_not_enough_and_a_new_time_or_file_begins_anew() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(60_000, &[("a.cab", 9, 7)]), NONE);
        assert_eq!(bench.look(120_000, &[("a.cab", 9, 8)]), NONE, "written to again");
        assert_eq!(bench.look(125_000, &[]), NONE);
        assert_eq!(bench.look(130_000, &[("a.cab", 9, 8)]), NONE, "it was gone meanwhile");
        assert_eq!(bench.look(135_000, &[("a.cab", 9, 8)]), ["a.cab"]);
    }

    #[test]
    fn the_oldest_comes_first_and_names_decide_between_equals() {
        let mut bench = Bench::new();
        let files = [("c.cab", 1, 5), ("b.cab", 1, 9), ("a.cab", 1, 5)];
        assert_eq!(bench.look(0, &files), NONE);
        assert_eq!(bench.look(5_000, &files), ["a.cab", "c.cab", "b.cab"]);
    }

    #[test]
    fn a_closed_file_rests_shortly_and_an_empty_one_long() {
        let mut bench = Bench::new();
        bench.closed.insert("closed.cab".into());
        let files = [("closed.cab", 5, 0), ("empty.cab", 0, 0), ("open.cab", 5, 0)];
        assert_eq!(bench.look(0, &files), NONE);
        assert_eq!(bench.look(500, &files), ["closed.cab"]);
        assert_eq!(bench.look(59_999, &files), ["closed.cab", "open.cab"]);
        assert_eq!(bench.look(60_000, &files), ["closed.cab", "empty.cab", "open.cab"]);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_a_file_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(3_600_000, &[("a.cab", 5, 0)]), NONE);
        assert_eq!(bench.look(0, &[("a.cab", 5, 0)]), NONE);
        assert_eq!(bench.look(5_000, &[("a.cab", 5, 0)]), ["a.cab"]);
    }
}
