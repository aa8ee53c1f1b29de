//! A small tmpfs that only one process sees.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::program::{Process, Program};

/// What sizes are told in.
pub(super) const KILOBYTE: u64 = 1024;

/// Mounts the tmpfs on the folder `$1`, `$2` bytes large, and becomes the program behind.
const ON_FOLDER: &str = r#"mount -t tmpfs -o "size=$2,mode=0755" tmpfs "$1" || exit 99; shift 2; exec "$@""#;

/// The same, with standard error in the file `log` there.
const LOGGING: &str =
    r#"mount -t tmpfs -o "size=$2,mode=0755" tmpfs "$1" || exit 99; log=$1/log; shift 2; exec "$@" 2>>"$log""#;

/// A tmpfs on a folder of the program's own.
pub(super) struct Disk {
    folder: &'static str,
    size_bytes: u64,
    script: &'static str,
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

impl Disk {
    /// On `data` or `store`.
    pub(super) fn for_folder(folder: &'static str, size_bytes: u64) -> Self {
        Self { folder, size_bytes, script: ON_FOLDER }
    }

    /// Under the file `logs/log`.
    pub(super) fn for_log(size_bytes: u64) -> Self {
        Self { folder: "logs", size_bytes, script: LOGGING }
    }

    /// The words before the program's own; `@/` stands for the folder of the [`Program`].
    pub(super) fn wrapper(&self) -> Vec<String> {
        let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
        let size = self.size_bytes.to_string();
        let folder = format!("@/{}", self.folder);
        let shell = ["sh", "-c", self.script, "sh"];
        let words = ["unshare", "--mount"].iter().chain(user).chain(&shell);
        words.map(|word| (*word).to_owned()).chain([folder, size]).collect()
    }

    /// Leaves no byte free.
    pub(super) fn fill(&self, process: &Process, program: &Program) {
        let path = process.inside(&program.path(self.folder)).join("filler");
        let mut file = std::fs::File::create(path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// A larger disk, while the program runs.
    pub(super) fn enlarge(&self, process: &Process, program: &Program) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &process.id().to_string(), "--mount"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["mount", "-o", "remount,size=64m"]).arg(program.path(self.folder));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// All files below.
pub(super) fn files_below(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}
