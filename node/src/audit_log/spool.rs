//! The files of the audit log on the local disk: one a day, and the next when one is full. Blocking; no time is read
//! here, a record's own time says which day it belongs to.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use schema::audit::{AuditFileName, AuditRecord, HEADER};
use schema::topology::NodeName;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The lines end as administrators' tools on Windows expect.
const LINE_END: &str = "\r\n";

/// Bytes that are read at a time while looking for the end of the last whole line.
const LOOK_BACK_BYTES: u64 = 64 * 1024;

/// The writer's side of the spool folder.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    node: NodeName,
    current: Option<Current>,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    name: AuditFileName,
    file: File,
    /// Bytes up to the end of the last whole line: what a failed write left behind them is overwritten or cut off.
    whole_bytes: u64,
}

/// A file in the spool folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFile {
    /// Its name, also in the store.
    pub name: AuditFileName,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// The files in a spool folder, oldest first. Whatever else lies there is passed over.
pub fn spooled_files(folder: &Path) -> io::Result<Vec<SpooledFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|name| AuditFileName::parse(name).ok()) else { continue };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            files.push(SpooledFile { name, path: entry.path(), size_bytes: metadata.len() });
        }
    }
    files.sort_by_key(|file| (file.name.day, file.name.part));
    Ok(files)
}

impl Spool {
    /// The spool in this folder, which is made if it is not there.
    pub(super) fn open(folder: &Path, node: NodeName) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), node, current: None })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the records, each to the file of its day, and syncs them. A file of `size_limit` bytes or more gets no
    /// further batch (PROTOCOL.md 6, MaxLogFileSize). On an error the caller writes the same records again; those of a
    /// day that was synced before are then written twice, which is better than never.
    pub(super) fn write(&mut self, records: &[AuditRecord], size_limit: u64) -> io::Result<()> {
        let day = |record: &AuditRecord| record.logged_at.to_zoned(TimeZone::UTC).date();
        for records in records.chunk_by(|one, next| day(one) == day(next)) {
            let lines: String = records.iter().flat_map(|record| [record.line(), LINE_END.to_owned()]).collect();
            let written = self.current(day(&records[0]), size_limit).and_then(|current| current.append(&lines));
            if let Err(error) = written {
                // Until the next try the file may be shipped and gone.
                self.current = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn current(&mut self, day: Date, size_limit: u64) -> io::Result<&mut Current> {
        let fits = |current: &Current| {
            current.name.day == day && current.whole_bytes < size_limit && current.stands_in_the_folder()
        };
        if !self.current.as_ref().is_some_and(fits) {
            self.current = None;
            let mut name = self.last_of(day)?;
            let mut current = Current::open(&self.folder, name.clone())?;
            while current.whole_bytes >= size_limit {
                name = name.next();
                current = Current::open(&self.folder, name.clone())?;
            }
            self.current = Some(current);
        }
        Ok(self.current.as_mut().expect("it was just set"))
    }

    /// The last file of the day that is there, or the first that can be.
    fn last_of(&self, day: Date) -> io::Result<AuditFileName> {
        let files = spooled_files(&self.folder)?.into_iter().map(|file| file.name);
        let last = files.filter(|name| name.day == day && name.node == self.node).max_by_key(|name| name.part);
        Ok(last.unwrap_or_else(|| AuditFileName { node: self.node.clone(), day, part: 0 }))
    }
}

impl Current {
    /// Opens the file, cuts off a line that a crash left torn, and writes the header into an empty one.
    fn open(folder: &Path, name: AuditFileName) -> io::Result<Self> {
        let path = folder.join(name.to_string());
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let whole_bytes = end_of_last_line(&mut file)?;
        let mut current = Self { name, file, whole_bytes };
        current.file.set_len(whole_bytes)?;
        if whole_bytes == 0 {
            current.append(&format!("{HEADER}{LINE_END}"))?;
            // The file's name must survive a crash as its bytes do.
            File::open(folder)?.sync_all()?;
        }
        Ok(current)
    }

    /// Whether the file still has its name: what is written to one that was deleted is lost.
    fn stands_in_the_folder(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.whole_bytes))?;
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A full disk takes half a batch; nobody may read that half.
            let _ = self.file.set_len(self.whole_bytes);
            return Err(error);
        }
        self.whole_bytes += lines.len() as u64;
        Ok(())
    }
}

/// The length up to and with the last line feed.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(LOOK_BACK_BYTES);
        chunk.clear();
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl SpooledFile {
    /// The whole lines that the file has now: a write that is under way is not seen.
    pub fn read_whole_lines(&self) -> io::Result<Vec<u8>> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(end);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_log::tests::record_at as record;

    fn spool(folder: &Path) -> Spool {
        Spool::open(folder, NodeName::parse("node1").unwrap()).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        spooled_files(folder).unwrap().iter().map(|file| file.name.to_string()).collect()
    }

    #[test]
    fn every_file_starts_with_the_header_and_belongs_to_one_day() {
        let folder = tempfile::tempdir().unwrap();
        let records = [record("2009-03-06T23:59:59Z", "a"), record("2009-03-07T00:00:00Z", "b")];
        spool(folder.path()).write(&records, 1_024_000).unwrap();
        let expected = ["RequestHandlerAuditLog_node1_20090306.log", "RequestHandlerAuditLog_node1_20090307.log"];
        assert_eq!(names(folder.path()), expected);
        for (file, record) in expected.iter().zip(&records) {
            let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
            assert_eq!(text, format!("{HEADER}\r\n{}\r\n", record.line()));
        }
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let batch = [record("2009-03-06T10:00:00Z", &"u".repeat(3000))];
        for _ in 0..5 {
            // A spool of its own each time: a restart.
            spool(folder.path()).write(&batch, 4096).unwrap();
        }
        let expected =
            ["20090306", "20090306_1", "20090306_2"].map(|day| format!("RequestHandlerAuditLog_node1_{day}.log"));
        assert_eq!(names(folder.path()), expected);
        let lines = |name: &String| std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
        assert_eq!(expected.iter().map(lines).collect::<Vec<_>>(), [3, 3, 2]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("RequestHandlerAuditLog_node1_20090306.log");
        let whole = format!("{HEADER}\r\nwhole\r\n");
        for (before, kept) in [(format!("{whole}torn"), whole.as_str()), ("Logging Da".to_owned(), "")] {
            std::fs::write(&path, before).unwrap();
            let record = record("2009-03-06T10:00:00Z", "a");
            spool(folder.path()).write(std::slice::from_ref(&record), 1_024_000).unwrap();
            let kept = if kept.is_empty() { format!("{HEADER}\r\n") } else { kept.to_owned() };
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}{}\r\n", record.line()));
        }
    }

    #[test]
    fn lines_are_never_written_to_a_file_that_was_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        let record = record("2009-03-06T10:00:00Z", "a");
        let path = folder.path().join("RequestHandlerAuditLog_node1_20090306.log");
        for _ in 0..2 {
            spool.write(std::slice::from_ref(&record), 1_024_000).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{HEADER}\r\n{}\r\n", record.line()));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn only_whole_lines_are_read_for_shipping() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("RequestHandlerAuditLog_node1_20090306.log"), "one\r\ntw").unwrap();
        std::fs::write(folder.path().join("other.log"), "x").unwrap();
        let files = spooled_files(folder.path()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].read_whole_lines().unwrap(), b"one\r\n");
    }
}
