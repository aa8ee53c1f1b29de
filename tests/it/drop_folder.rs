//! The drop folder of a whole node: what is put there is imported once and filed with its report, whatever it is, however
//! slowly it comes, and whatever stops, dies or is full meanwhile.

mod nodes;

use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::cab::{CabBuilder, Packing};
use tests::database::wait_until;
use tests::gcab::{image, package};
use tests::node::{TestNode, set};
use tests::phone::Phone;

/// A package with one image for a model, whose bytes differ by seed.
fn package_of(model: &str, seed: u64) -> Vec<u8> {
    let path = format!("UCPhone\\Demo\\{model}\\A\\ENU\\1.0.0.1\\CPE\\CPE.nbt");
    CabBuilder::new().folder(Packing::Stored).file(&path, &image(seed, 20_000)).build().bytes
}

/// Switches a drop folder on that is looked at all the time.
fn switch_on(config: &mut toml::Table, folder: &Path) {
    set(config, "drop_folder.folder", folder.to_str().unwrap());
    set(config, "drop_folder.poll_interval_ms", 20);
}

/// The names in a folder of the drop folder, which may not be there yet.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The value of a metric in what a node tells.
fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not told")).parse().unwrap()
}

struct Bench {
    node: TestNode,
    drop: PathBuf,
    _outside: TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut toml::Table)) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let drop = outside.path().join("drop");
        std::fs::create_dir(&drop).unwrap();
        let node = TestNode::start_with(|config| {
            switch_on(config, &drop);
            change(config);
        })
        .await;
        Self { node, drop, _outside: outside }
    }

    /// Puts a file there as `cp` does.
    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.drop.join(name), bytes).unwrap();
    }

    async fn metric(&self, series: &str) -> f64 {
        let phone = Phone::new(self.node.management()).over_tls(&self.node.ca_file(), "localhost");
        metric(phone.get("/metrics").await.unwrap().text(), series)
    }

    /// Waits for a look that knows of a file that has waited so long.
    async fn looked(&self, longest_wait_s: f64) {
        let wait = async || self.metric("ucupdates_drop_folder_longest_wait_seconds").await;
        wait_until("the node has looked", async || {
            self.metric("ucupdates_drop_folder_waiting").await >= 1.0 && wait().await >= longest_wait_s
        })
        .await;
    }

    /// Lets the clock go on until the file is filed in `imported` or `refused`; its report.
    async fn filed(&self, path: &str, clock: &str) -> String {
        self.looked(0.0).await;
        self.node.clock.set(clock);
        let report = self.drop.join(format!("{path}.report.txt"));
        wait_until(&format!("{path} is filed"), async || report.exists() && self.drop.join(path).exists()).await;
        std::fs::read_to_string(report).unwrap()
    }

    /// Waits until nothing waits any more, so that a file which comes next is seen to be new.
    async fn idle(&self) {
        wait_until("nothing waits", async || self.metric("ucupdates_drop_folder_waiting").await == 0.0).await;
    }

    async fn pending(&self) -> usize {
        let rules: Value = serde_json::from_str(&self.node.cli(&["rule", "list", "--json"]).await.ok()).unwrap();
        rules.as_array().unwrap().iter().filter(|rule| rule["pending_version"].is_string()).count()
    }
}

#[tokio::test]
async fn a_package_that_is_dropped_becomes_pending_and_is_filed_with_its_report() {
    let bench = Bench::start().await;
    let path = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt";
    let made = package(bench.node.folder.path(), "made.cab", "2008-12-16 04:43:58", &[(path, &image(1, 50_000))]);
    std::fs::copy(&made, bench.drop.join("UCUpdates.CAB")).unwrap();
    let report = bench.filed("imported/UCUpdates.CAB", "2026-01-05T12:00:01Z").await;
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(std::fs::read(&made).unwrap()));
    let size = report.split('(').nth(1).unwrap().split(')').next().unwrap().to_owned();
    let expected = format!(
        "UCUpdates.CAB: imported by node1 from the drop folder, 2026-01-05 12:00:01 UTC\nSHA-256 {digest}\n\n\
         DEVICE                           VERSION        OUTCOME\n\
         UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  created\n\
         1 update in UCUpdates.CAB ({size}): 1 created; see what waits for approval with `ucupdates rule list --state \
         pending`\n"
    );
    assert_eq!(report, expected);
    assert_eq!(std::fs::read(bench.drop.join("imported/UCUpdates.CAB")).unwrap(), std::fs::read(&made).unwrap());
    assert_eq!(bench.pending().await, 1);
    let events = bench.node.cli(&["admin", "events", "--json"]).await.ok();
    assert_eq!(events.matches("\"drop folder\"").count(), 1, "{events}");
    bench.idle().await;
    assert_eq!(bench.metric("ucupdates_drop_folder_files_total{outcome=\"imported\"}").await, 1.0);
}

#[tokio::test]
async fn a_file_that_is_still_copied_is_left_alone() {
    let bench = Bench::start().await;
    let bytes = package_of("CX600", 1);
    let mut copy = std::fs::File::create(bench.drop.join("slow.cab")).unwrap();
    let pieces: Vec<&[u8]> = bytes.chunks(bytes.len() / 4).collect();
    // It may rest for less than five seconds at a time, however long it takes in all.
    for (number, piece) in pieces.iter().enumerate() {
        copy.write_all(piece).unwrap();
        let elapsed = 4 * (number + 1);
        bench.looked(f64::from(u32::try_from(elapsed - 4).unwrap())).await;
        bench.node.clock.set(&format!("2026-01-05T12:00:{elapsed:02}Z"));
    }
    bench.looked(4.0 * f64::from(u32::try_from(pieces.len()).unwrap())).await;
    assert_eq!(names(&bench.drop), ["slow.cab"]);
    // Its writer closes it: a tenth of the time is enough now.
    drop(copy);
    bench.node.clock.set("2026-01-05T12:00:21Z");
    bench.filed("imported/slow.cab", "2026-01-05T12:00:22Z").await;
    assert_eq!(std::fs::read(bench.drop.join("imported/slow.cab")).unwrap(), bytes);
    assert_eq!(bench.pending().await, 1);
}

#[tokio::test]
async fn what_is_no_sound_package_is_refused_with_one_sentence() {
    let bench = Bench::start_with(|config| set(config, "packages.most_bytes", 100_000)).await;
    let long = image(1, 200_000);
    let cases: [(&str, &[u8], &str); 4] = [
        ("text.cab", b"hello, I am no cabinet, believe me, and long enough", "cabinet"),
        ("zip.exe", b"PK\x03\x04 and so on, as zip files have it, and some more", "ZIP archive"),
        ("long.cab", &long, "the limit is most_bytes in [packages]"),
        // It may be one whose copy has not begun: it rests for a minute.
        ("empty.cab", b"", "is empty"),
    ];
    for (name, bytes, _) in cases {
        bench.put(name, bytes);
    }
    bench.looked(0.0).await;
    bench.node.clock.set("2026-01-05T12:00:30Z");
    wait_until("all but one are filed", async || names(&bench.drop.join("refused")).len() == 6).await;
    bench.looked(30.0).await;
    assert_eq!(names(&bench.drop), ["empty.cab", "refused", "working"]);
    for (name, bytes, expected) in cases {
        let report = bench.filed(&format!("refused/{name}"), "2026-01-05T12:01:00Z").await;
        assert!(report.starts_with(&format!("{name}: refused by node1 from the drop folder, ")), "{report}");
        assert!(report.contains(expected) && report.lines().count() == 3, "{report}");
        assert_eq!(std::fs::read(bench.drop.join("refused").join(name)).unwrap(), bytes);
    }
    let received = bench.metric("ucupdates_import_received_bytes_total").await;
    assert!(received < 1000.0, "what is too long is not even copied: {received}");
    assert_eq!(bench.pending().await, 0);
}

#[tokio::test]
async fn a_name_or_a_content_that_comes_again_is_kept_beside_the_first() {
    let bench = Bench::start().await;
    let names_and_seeds = [("a.cab", 1, ""), ("b.cab", 1, ""), ("a.cab", 2, "-2")];
    let outcomes = ["1 created", "1 unchanged", "stored already with other bytes"];
    for (number, ((name, seed, suffix), outcome)) in names_and_seeds.into_iter().zip(outcomes).enumerate() {
        bench.idle().await;
        bench.put(name, &package_of("CX600", seed));
        let folder = if number == 2 { "refused" } else { "imported" };
        // The refused one is the first of its name there.
        let suffix = if folder == "refused" { "" } else { suffix };
        let path = format!("{folder}/{}", name.replace(".cab", &format!("{suffix}.cab")));
        let report = bench.filed(&path, &format!("2026-01-05T12:0{}:00Z", number + 1)).await;
        assert!(report.contains(outcome), "{report}");
    }
    bench.idle().await;
    bench.put("a.cab", &package_of("CX700", 3));
    bench.filed("imported/a-2.cab", "2026-01-05T12:09:00Z").await;
    assert_eq!(bench.pending().await, 2);
    assert_eq!(std::fs::read(bench.drop.join("imported/a.cab")).unwrap(), package_of("CX600", 1));
}

#[tokio::test]
async fn links_pipes_folders_and_hidden_names_are_passed_over() {
    let bench = Bench::start().await;
    let secret = bench.node.file("secret", &package_of("CX700", 1));
    std::os::unix::fs::symlink(&secret, bench.drop.join("link.cab")).unwrap();
    nix::unistd::mkfifo(&bench.drop.join("pipe.cab"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(bench.drop.join("folder.exe")).unwrap();
    for name in [".hidden.cab", "~copy.cab", "copy.cab.part", "copy.cab~"] {
        bench.put(name, &package_of("CX3000", 1));
    }
    bench.put("z.cab", &package_of("CX600", 1));
    bench.filed("imported/z.cab", "2026-01-05T13:00:00Z").await;
    let left = [
        ".hidden.cab",
        "copy.cab.part",
        "copy.cab~",
        "folder.exe",
        "imported",
        "link.cab",
        "pipe.cab",
        "working",
        "~copy.cab",
    ];
    assert_eq!(names(&bench.drop), left);
    assert_eq!(bench.pending().await, 1);
}

#[tokio::test]
async fn more_files_than_one_look_takes_are_all_imported_the_oldest_first() {
    let bench = Bench::start().await;
    let names_of: Vec<String> = (0..40).map(|number| format!("{number:02}.cab")).collect();
    for (age, name) in names_of.iter().rev().enumerate() {
        bench.put(name, &package_of(&format!("M{name}").replace(".cab", ""), 1));
        let file = std::fs::File::options().append(true).open(bench.drop.join(name)).unwrap();
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age as u64);
        file.set_modified(modified).unwrap();
    }
    bench.filed("imported/39.cab", "2026-01-05T12:01:00Z").await;
    assert_eq!(bench.pending().await, 40);
    let events = bench.node.cli(&["package", "list", "--json"]).await.ok();
    let packages: Vec<Value> = serde_json::from_str(&events).unwrap();
    let newest_first: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(newest_first, names_of.iter().rev().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_package_where_it_is_until_it_is_mended() {
    let bench = Bench::start().await;
    let in_the_way = bench.node.folder.path().join("store/1-WebServices-1/DeviceUpdateStore/UCPhone/Demo");
    std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    std::fs::write(&in_the_way, "x").unwrap();
    bench.put("a.cab", &package_of("CX600", 1));
    bench.put("text.cab", b"another one, which is wrong, keeps not waiting for the first");
    bench.filed("refused/text.cab", "2026-01-05T12:01:00Z").await;
    let status = async || bench.node.cli(&["status"]).await.ok();
    wait_until("the administrator is told", async || status().await.contains("a.cab: the file store failed")).await;
    let ready = Phone::new(bench.node.management()).over_tls(&bench.node.ca_file(), "localhost");
    let ready = ready.get("/ready").await.unwrap();
    assert!(ready.status == 200 && !ready.text().contains("drop folder"), "{}", ready.text());
    assert_eq!(bench.metric("ucupdates_fault{fault=\"drop_folder_waits\"}").await, 1.0);
    assert_eq!(names(&bench.drop.join("working/node1@pool01.demo.local")), ["a.cab"]);
    assert_eq!(names(&bench.drop.join("imported")), [""; 0]);
    std::fs::remove_file(&in_the_way).unwrap();
    let imported = bench.drop.join("imported/a.cab");
    wait_until("it is imported", async || imported.exists()).await;
    wait_until("the fault is over", async || !status().await.contains("drop folder")).await;
    assert_eq!(bench.pending().await, 1);
}
