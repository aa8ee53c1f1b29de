//! Drives `hostile_reader`: hands it one package after the other, and waits for what it says, but not for ever.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;
use tests::hostile::{Outcome, Way};

/// After this a package holds the reader up. Its own limit is in time of the processor, which a busy machine does not
/// prolong; this one is.
const DEADLINE: Duration = Duration::from_secs(60);

pub(in crate::packages) struct HostileReader {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    _staging: TempDir,
}

impl HostileReader {
    pub(in crate::packages) fn start() -> Self {
        // In memory where that can be: what a disk costs while others write to it is not the reader's.
        let staging = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostile_reader"));
        command.arg(staging.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, input, lines, _staging: staging }
    }

    pub(in crate::packages) fn read(&mut self, way: Way, bytes: &[u8]) -> Outcome {
        self.try_read(way, bytes).unwrap()
    }

    /// What it says, or that it says nothing.
    pub(in crate::packages) fn try_read(&mut self, way: Way, bytes: &[u8]) -> Result<Outcome, String> {
        let head = serde_json::to_string(&(way, bytes.len())).unwrap() + "\n";
        let written = self.input.write_all(head.as_bytes()).and_then(|()| self.input.write_all(bytes));
        let written = written.and_then(|()| self.input.flush());
        written.map_err(|error| format!("the reader has gone: {error}"))?;
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Ok(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Timeout) => Err(format!("it is not read after {DEADLINE:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("the reader has died".to_owned()),
        }
    }

    /// What the process held in memory at once, of all that it read, is below the limit too.
    pub(in crate::packages) fn end(mut self, most_bytes: usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("the reader held {peak_kib} KiB at most");
        assert!(peak_kib << 10 <= most_bytes, "the reader held {peak_kib} KiB");
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}
