//! The staging folder: what a cabinet holds, written once under names of our own and hashed on the way.

use super::error::PackageError;
use super::hashing::Hashing;
use super::kind::{Opened, refused};
use crate::cabinet::{Cabinet, Entry, Limits, Piece};
use crate::disk::{self, Place};
use jiff::civil::DateTime;
use schema::package::Digest;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file in the staging folder.
#[derive(Debug)]
pub(super) struct StagedFile {
    /// Its path in the cabinet, with `/`.
    pub(super) path: String,
    /// Where its bytes are.
    pub(super) source: PathBuf,
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
    pub(super) time_stamp: DateTime,
}

/// Unpacks cabinets into one folder, under one budget.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    folder: &'a Path,
    /// What is left of the limits.
    limits: Limits,
    written: usize,
}

/// Bytes that are gathered before they are written; of a smaller file, all.
const WRITE_BYTES: usize = 256 << 10;

impl<'a> Staging<'a> {
    pub(super) fn new(folder: &'a Path, limits: &Limits) -> Self {
        Self { folder, limits: limits.clone(), written: 0 }
    }

    /// Unpacks a cabinet that calls itself `name` in refusals. Its files come in the order of its table.
    pub(super) fn unpack(&mut self, opened: Opened, name: &str) -> Result<Vec<StagedFile>, PackageError> {
        let mut cabinet = Cabinet::open(opened.file, opened.start, &self.limits).map_err(refused(name))?;
        if let Some(reserve_bytes) = self.limits.reserve_bytes {
            let room = disk::room(Place::DataFolder, self.folder, cabinet.unpacked_bytes(), reserve_bytes);
            room.map_err(PackageError::NoRoom)?;
        }
        self.limits.unpacked_bytes -= cabinet.unpacked_bytes().min(self.limits.unpacked_bytes);
        let order: Vec<String> = cabinet.entries().iter().map(|entry| entry.name.clone()).collect();
        let mut files = Vec::new();
        let mut current = None;
        let unpacked = cabinet.unpack(|piece| match (piece, &mut current) {
            (Piece::Begin(entry), _) => {
                self.written += 1;
                let source = self.folder.join(format!("{:04}", self.written));
                current = Some(Writing::new(source, entry)?);
                Ok(())
            }
            (Piece::Bytes(bytes), Some(writing)) => writing.write(bytes),
            (Piece::End, _) => {
                files.extend(current.take().map(Writing::finish).transpose()?);
                Ok(())
            }
            (Piece::Bytes(_), None) => Err(io::Error::other("bytes before a file")),
        });
        unpacked.map_err(refused(name))?;
        let places: std::collections::HashMap<&str, usize> =
            order.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        files.sort_by_cached_key(|file: &StagedFile| places.get(file.path.as_str()).copied());
        Ok(files)
    }
}

/// A file that is being written.
struct Writing {
    file: StagedFile,
    writer: File,
    /// What is to be written and hashed next.
    gathered: Vec<u8>,
    hashing: Hashing,
}

impl Writing {
    fn new(source: PathBuf, entry: &Entry) -> io::Result<Self> {
        let writer = OpenOptions::new().write(true).create_new(true).open(&source)?;
        let digest = Digest::new([0; 32]);
        let (path, time_stamp) = (entry.name.clone(), entry.time_stamp);
        let file = StagedFile { path, source, digest, size_bytes: 0, time_stamp };
        // A buffer of full size for each of many thousands of small files would cost more than the files.
        let most = usize::try_from(entry.size_bytes).map_or(WRITE_BYTES, |size| size.min(WRITE_BYTES));
        Ok(Self { file, writer, gathered: Vec::with_capacity(most), hashing: Hashing::of(entry.size_bytes)? })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.size_bytes += bytes.len() as u64;
        if self.gathered.len() + bytes.len() > self.gathered.capacity() {
            self.put()?;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    fn put(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.gathered)?;
        self.hashing.take(&mut self.gathered)
    }

    fn finish(mut self) -> io::Result<StagedFile> {
        self.put()?;
        self.file.digest = self.hashing.finish()?;
        Ok(self.file)
    }
}
