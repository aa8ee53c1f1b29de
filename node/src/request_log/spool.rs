//! The files of a log on the local disk: one a day, and the next when one is full. The writer and the shipper
//! share it, one at a time, so that no line is written to a file that is being deleted, and none is shipped that is not
//! on disk. Blocking; no time is read here, a record's own time says which day it belongs to.

use super::kind::Continues;
use super::{Kind, LogFileName, LogLine};
use crate::durable;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schema::topology::NodeName;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use sync::disk::{self, Full, Place};

/// The lines end as administrators' tools on Windows expect.
const LINE_END: &str = "\r\n";

/// Bytes that are read at a time while looking for the end of the last whole line.
const LOOK_BACK_BYTES: u64 = 64 * 1024;

/// The spool folder.
#[derive(Debug)]
pub struct Spool {
    kind: Kind,
    folder: PathBuf,
    node: NodeName,
    limits: SpoolLimits,
    current: Mutex<Option<Current>>,
}

/// What the spool may take of the disk.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Bytes of all its files. What others leave free on the disk is there for it: it keeps no reserve.
    pub most_bytes: u64,
}

impl SpoolLimits {
    /// Bytes of one file at most, whatever MaxLogFileSize says: only whole files leave the spool.
    fn file_bytes(self) -> u64 {
        self.most_bytes / 4
    }

    /// Whether the spool is so full that files which are in the store leave it early.
    pub fn tight(self, spooled_bytes: u64) -> bool {
        spooled_bytes > self.most_bytes / 2
    }

    /// Bytes that may wait to be shipped, whatever MaxLogCacheLimit says.
    pub fn most_waiting_bytes(self) -> u64 {
        self.most_bytes / 4
    }
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    name: LogFileName,
    file: File,
    /// Whether this process has written to it.
    begun: bool,
    /// Bytes up to the end of the last whole line: what a failed write left behind them is overwritten or cut off.
    whole_bytes: u64,
}

/// A file in the spool folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFile {
    /// Its name, also in the store.
    pub name: LogFileName,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// A write that stopped: so many records are on disk, the others are not.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) written: usize,
    pub(super) reason: Refusal,
}

/// Why a line is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The disk is full.
    #[error(transparent)]
    Full(#[from] Full),
    /// The store has not taken the files for so long that the spool is.
    #[error("the {word} spool {folder} holds its limit of {limit} bytes (most_spool_bytes in [{section}])")]
    Budget {
        /// What its lines are called.
        word: &'static str,
        /// The spool.
        folder: String,
        /// The section of the configuration.
        section: &'static str,
        /// [`SpoolLimits::most_bytes`].
        limit: u64,
    },
    /// The disk fails.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// The files of a log in a spool folder, oldest first. Whatever else lies there is passed over.
pub fn spooled_files(kind: Kind, folder: &Path) -> io::Result<Vec<SpooledFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|name| kind.file_name(name)) else { continue };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            files.push(SpooledFile { name, path: entry.path(), size_bytes: metadata.len() });
        }
    }
    files.sort_by_key(|file| (file.name.day(), file.name.part()));
    Ok(files)
}

impl Spool {
    /// The spool in this folder, which is made if it is not there. What a crash left torn is cut off, in every file.
    pub(super) fn open(kind: Kind, folder: &Path, node: NodeName, limits: SpoolLimits) -> io::Result<Self> {
        durable::create_folder(folder)?;
        for file in spooled_files(kind, folder)? {
            mend(&file)?;
        }
        Ok(Self { kind, folder: folder.to_owned(), node, limits, current: Mutex::new(None) })
    }

    /// Whose files they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its limits.
    pub fn limits(&self) -> SpoolLimits {
        self.limits
    }

    /// A panic of another thread leaves the file as a crash would, which the next write looks at.
    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its files, oldest first, none of them in the middle of a write: a length that a failed write leaves for a moment
    /// may be that of other lines later.
    pub fn files(&self) -> io::Result<Vec<SpooledFile>> {
        let _current = self.lock();
        spooled_files(self.kind, &self.folder)
    }

    /// Writes the records, each to the file of its day, and syncs them. A file of `size_limit` bytes or more gets no
    /// further batch (PROTOCOL.md 6, MaxLogFileSize). On an error the caller writes those again that were not written.
    pub(super) fn write<R: LogLine>(&self, records: &[R], size_limit: u64) -> Result<(), Unwritten> {
        let mut current = self.lock();
        let day = |record: &R| record.at().to_zoned(TimeZone::UTC).date();
        let mut written = 0;
        for records in records.chunk_by(|one, next| day(one) == day(next)) {
            let lines: String = records.iter().flat_map(|record| [record.line(), LINE_END.to_owned()]).collect();
            self.write_lines(&mut current, records[0].at(), &lines, size_limit)
                .map_err(|reason| Unwritten { written, reason })?;
            written += records.len();
        }
        Ok(())
    }

    fn write_lines(
        &self,
        current: &mut Option<Current>,
        at: Timestamp,
        lines: &str,
        size_limit: u64,
    ) -> Result<(), Refusal> {
        let bytes = lines.len() as u64;
        let size_limit = size_limit.min(self.limits.file_bytes());
        disk::room(Place::DataFolder, &self.folder, bytes, 0)?;
        let spooled: u64 = spooled_files(self.kind, &self.folder)?.iter().map(|file| file.size_bytes).sum();
        if spooled.saturating_add(bytes) > self.limits.most_bytes {
            let folder = self.folder.display().to_string();
            let (word, section) = (self.kind.word(), self.kind.section());
            return Err(Refusal::Budget { word, folder, section, limit: self.limits.most_bytes });
        }
        let day = at.to_zoned(TimeZone::UTC).date();
        let current = self.current(current, day, size_limit);
        let written = current.and_then(|current| current.append(&self.folder, self.kind, at, lines));
        written.map_err(|error| match disk::is_full(&error) {
            true => Full::now(Place::DataFolder, &self.folder, bytes).into(),
            false => error.into(),
        })
    }

    fn current<'a>(&self, current: &'a mut Option<Current>, day: Date, size_limit: u64) -> io::Result<&'a mut Current> {
        let fits = |current: &Current| {
            current.name.day() == day && current.whole_bytes < size_limit && current.stands_in_the_folder()
        };
        if !current.as_ref().is_some_and(fits) {
            *current = None;
            let mut name = self.last_of(day)?;
            let mut opened = Current::open(&self.folder, name.clone())?;
            while opened.whole_bytes >= size_limit {
                name = name.next();
                opened = Current::open(&self.folder, name.clone())?;
            }
            *current = Some(opened);
        }
        Ok(current.as_mut().expect("it was just set"))
    }

    /// The last file of the day that is there, or the first that can be.
    fn last_of(&self, day: Date) -> io::Result<LogFileName> {
        let files = spooled_files(self.kind, &self.folder)?.into_iter().map(|file| file.name);
        let last = files.filter(|name| name.day() == day && name.is_of(&self.node)).max_by_key(LogFileName::part);
        Ok(last.unwrap_or_else(|| self.kind.first_file(&self.node, day)))
    }

    /// The lines of a file that are on disk: of a write that is under way, or has failed, none.
    pub fn read(&self, file: &SpooledFile) -> io::Result<Vec<u8>> {
        let current = self.lock();
        let mut lines = file.read_whole_lines()?;
        if let Some(current) = current.as_ref().filter(|current| current.name == file.name) {
            lines.truncate(usize::try_from(current.whole_bytes).unwrap_or(usize::MAX));
        }
        Ok(lines)
    }

    /// Deletes a file, unless it has grown since it was listed; says whether it is gone.
    pub fn delete(&self, file: &SpooledFile) -> io::Result<bool> {
        let mut current = self.lock();
        if std::fs::metadata(&file.path)?.len() != file.size_bytes {
            return Ok(false);
        }
        if current.as_ref().is_some_and(|current| current.name == file.name) {
            *current = None;
        }
        std::fs::remove_file(&file.path)?;
        Ok(true)
    }
}

/// Cuts off what a crash left torn: a last line without its end, and everything from the first NUL on, which no line
/// holds: a file system that lost power shows zeros where a synced write never ended.
fn mend(found: &SpooledFile) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(&found.path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let sound = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let whole = bytes[..sound].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == 0 {
        return std::fs::remove_file(&found.path);
    }
    if whole < bytes.len() {
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(())
}

impl Current {
    /// Opens the file, or makes it, and cuts off a line that a crash left torn.
    fn open(folder: &Path, name: LogFileName) -> io::Result<Self> {
        let path = folder.join(name.to_string());
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let whole_bytes = end_of_last_line(&mut file)?;
        file.set_len(whole_bytes)?;
        Ok(Self { name, file, begun: false, whole_bytes })
    }

    /// Whether the file still has its name: what is written to one that was deleted is lost.
    fn stands_in_the_folder(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    /// Writes the lines, the first one of `at`, and syncs them; where a header belongs before them, with it, so that no file
    /// has a header alone.
    fn append(&mut self, folder: &Path, kind: Kind, at: Timestamp, lines: &str) -> io::Result<()> {
        let begins = self.whole_bytes == 0;
        let continues = if begins { Continues::No } else { Continues::Yes };
        let header = if self.begun { None } else { kind.header(at, continues) };
        let header = header.map_or_else(String::new, |header| header + LINE_END);
        self.file.seek(SeekFrom::Start(self.whole_bytes))?;
        let written = self.file.write_all(header.as_bytes());
        let written = written.and_then(|()| self.file.write_all(lines.as_bytes()));
        let written = written.and_then(|()| self.file.sync_data());
        // The file's name must survive a crash as its bytes do.
        let written = written.and_then(|()| if begins { durable::sync_folder(folder) } else { Ok(()) });
        if let Err(error) = written {
            // A full disk takes half a batch; nobody may read that half.
            let _ = self.file.set_len(self.whole_bytes);
            if begins {
                let _ = std::fs::remove_file(folder.join(self.name.to_string()));
            }
            return Err(error);
        }
        self.begun = true;
        self.whole_bytes += (header.len() + lines.len()) as u64;
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
impl Spool {
    /// One line, for tests of what happens to the files; whether it was taken.
    pub(crate) fn take_line(&self, at: &str, serial: &str) -> bool {
        self.write(&[super::tests::record_at(at, serial)], 1_024_000).is_ok()
    }
}

#[cfg(test)]
mod tests;
