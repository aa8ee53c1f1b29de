//! Claims and filing, on a real folder.

use super::*;
use schema::package::Digest;
use std::os::unix::ffi::OsStrExt as _;
use tempfile::TempDir;

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn of(&self, node: &str) -> DropFolder {
        let pool = PoolFqdn::parse("pool01.contoso.com").unwrap();
        DropFolder::new(self.0.path(), &NodeName::parse(node).unwrap(), &pool)
    }

    fn drop(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn digest(of: u8) -> Digest {
    Digest::new([of; 32])
}

fn names(candidates: &[Candidate]) -> Vec<String> {
    let mut names: Vec<_> = candidates.iter().map(|found| found.name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn only_regular_files_that_are_named_like_packages_are_candidates() {
    let bench = Bench::new();
    for name in ["a.cab", "B.CAB", "UCUpdates.exe", " .cab", ".hidden.cab", "~a.cab", "a.cab.part", "a.cab~", "cab"] {
        bench.drop(name, "x");
    }
    let root = bench.0.path();
    std::fs::create_dir(root.join("folder.cab")).unwrap();
    std::os::unix::fs::symlink(root.join("a.cab"), root.join("link.cab")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe.exe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"\xff\n.cab")), "x").unwrap();
    let look = bench.of("node1").look().unwrap();
    assert_eq!(names(&look.candidates), [" .cab", "B.CAB", "UCUpdates.exe", "a.cab", "\u{fffd}\n.cab"]);
    let mut others = look.no_files;
    others.sort();
    assert_eq!(others, ["folder.cab", "link.cab", "pipe.exe"]);
    for name in ["folder.cab", "link.cab", "pipe.exe"] {
        assert_eq!(bench.of("node1").readable(OsStr::new(name)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn one_node_wins_a_file_and_another_takes_over_what_it_leaves() {
    let bench = Bench::new();
    let (one, two) = (bench.of("node1"), bench.of("node2"));
    bench.drop("a.cab", "bytes");
    let claim = one.claim(OsStr::new("a.cab")).unwrap().unwrap();
    assert_eq!(two.claim(OsStr::new("a.cab")).unwrap(), None);
    // The same name again, while the first one waits, is not put over it.
    bench.drop("a.cab", "other");
    assert_eq!(one.claim(OsStr::new("a.cab")).unwrap(), None);
    assert_eq!(bench.read("a.cab"), "other");
    assert_eq!(one.look().unwrap().claims, std::slice::from_ref(&claim));
    let left = two.look().unwrap().of_others;
    assert_eq!(left, std::slice::from_ref(&claim));
    let taken = two.take_over(&left[0]).unwrap().unwrap();
    assert_eq!(two.look().unwrap().claims, [taken]);
    // The first one was only slow.
    assert_eq!(one.file(&claim, Verdict::Imported, Some(digest(1)), "report").unwrap(), None);
    assert_eq!(bench.names("imported"), [""; 0]);
}

#[test]
fn nothing_that_was_filed_is_overwritten() {
    let bench = Bench::new();
    let folder = bench.of("node1");
    for number in 1..=3 {
        bench.drop("a.cab", &format!("bytes {number}"));
        let claim = folder.claim(OsStr::new("a.cab")).unwrap().unwrap();
        let report = format!("report {number}");
        folder.file(&claim, Verdict::Refused, None, &report).unwrap().unwrap();
    }
    let expected = ["a-2.cab", "a-2.cab.report.txt", "a-3.cab", "a-3.cab.report.txt", "a.cab", "a.cab.report.txt"];
    assert_eq!(bench.names("refused"), expected);
    for (name, number) in [("a.cab", 1), ("a-2.cab", 2), ("a-3.cab", 3)] {
        assert_eq!(bench.read(&format!("refused/{name}")), format!("bytes {number}"));
        assert_eq!(bench.read(&format!("refused/{name}.report.txt")), format!("report {number}"));
    }
    assert_eq!(bench.names("working/node1@pool01.contoso.com"), [""; 0]);
}

#[test]
fn a_crash_between_report_and_package_leaves_one_of_each() {
    let bench = Bench::new();
    let folder = bench.of("node1");
    std::fs::create_dir(bench.0.path().join("imported")).unwrap();
    bench.drop("imported/a.cab.report.txt", &format!("created, SHA-256 {}", digest(1)));
    bench.drop("imported/b.cab.report.txt", &format!("created, SHA-256 {}", digest(2)));
    for name in ["a.cab", "b.cab"] {
        bench.drop(name, "bytes");
        let claim = folder.claim(OsStr::new(name)).unwrap().unwrap();
        let report = format!("unchanged, SHA-256 {}", digest(1));
        folder.file(&claim, Verdict::Imported, Some(digest(1)), &report).unwrap().unwrap();
    }
    // What is said of other bytes belongs to another package.
    let expected = ["a.cab", "a.cab.report.txt", "b-2.cab", "b-2.cab.report.txt", "b.cab.report.txt"];
    assert_eq!(bench.names("imported"), expected);
    assert!(bench.read("imported/a.cab.report.txt").starts_with("created"));
}

#[test]
fn filed_names_can_be_read_and_are_never_too_long() {
    let bench = Bench::new();
    let folder = bench.of("node1");
    let long = format!("{}.cab", "ä".repeat(125));
    for name in [OsStr::from_bytes(b"\xff\x1b[2J\n.cab"), OsStr::new(&long)] {
        std::fs::write(bench.0.path().join(name), "x").unwrap();
        let claim = folder.claim(name).unwrap().unwrap();
        folder.file(&claim, Verdict::Imported, None, "report").unwrap().unwrap();
    }
    let names = bench.names("imported");
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"\u{fffd}_[2J_.cab".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 211 && name.contains(".cab")), "{names:?}");
}

#[tokio::test]
async fn what_was_closed_is_known_until_it_is_written_to_again() {
    let bench = Bench::new();
    let mut watch = Watch::new(bench.0.path()).unwrap();
    let mut open = File::create(bench.0.path().join("open.cab")).unwrap();
    bench.drop("a.cab", "x");
    watch.wait().await.unwrap();
    assert_eq!(watch.closed().iter().collect::<Vec<_>>(), ["a.cab"]);
    io::Write::write_all(&mut open, b"more").unwrap();
    std::fs::rename(bench.0.path().join("a.cab"), bench.0.path().join("b.cab")).unwrap();
    watch.wait().await.unwrap();
    assert_eq!(watch.closed().iter().collect::<Vec<_>>(), ["b.cab"]);
}
