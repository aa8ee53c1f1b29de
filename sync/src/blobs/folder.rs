//! A local folder or mounted share as an object store. object_store's own follows symbolic links out of its root and
//! leaves `name#1` behind, which it neither lists nor deletes; this one follows no link below its root, syncs what it
//! writes, and knows only what `Blobs` asks for: what is written gets a name of its own, and is then moved.
//! Everything blocks: it is called off the runtime's threads.

mod walk;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walk::Parent;

/// What becomes of a folder whose last file is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmptyFolders {
    /// It stays.
    Stay,
    /// It goes. Never for what is staged or logged: another task may be about to put a file into the folder that goes.
    Go,
}

/// A folder as an object store.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    empty: EmptyFolders,
}

impl Folder {
    /// The folder is looked at when it is used, and never made: one that is made where a share should be mounted would
    /// take files that no other node ever sees.
    pub(super) fn new(root: &Path, empty: EmptyFolders) -> Self {
        Self { root: root.to_owned(), empty }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes sure that a file and its name are on disk.
    pub(super) fn sync(&self, path: &ObjectPath) -> io::Result<()> {
        let parent = walk::parent(&self.root, path.as_ref())?;
        parent.open()?.sync_all()?;
        parent.sync()
    }

    fn create(&self, path: &ObjectPath) -> io::Result<(Parent, File)> {
        let parent = walk::made_parent(&self.root, path.as_ref())?;
        let file = parent.create()?;
        Ok((parent, file))
    }

    fn put(&self, path: &ObjectPath, payload: &PutPayload) -> io::Result<()> {
        let (parent, file) = self.create(path)?;
        let mut offset = 0;
        let written = payload.iter().try_for_each(|piece| {
            file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
            Ok(())
        });
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            // What cannot be deleted either is swept later.
            let _ = parent.delete();
            return Err(error);
        }
        parent.sync()
    }

    fn delete(&self, path: &ObjectPath) -> io::Result<()> {
        walk::parent(&self.root, path.as_ref())?.delete()?;
        if self.empty == EmptyFolders::Go {
            walk::remove_empty_folders(&self.root, path.as_ref());
        }
        Ok(())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the folder {}", self.root.display())
    }
}

fn told(path: &ObjectPath) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_string();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        _ => Error::Generic { store: "folder", source: error.into() },
    }
}

fn meta(location: ObjectPath, found: &Metadata) -> ObjectMeta {
    let last_modified = found.modified().unwrap_or(std::time::UNIX_EPOCH).into();
    let e_tag = Some(format!("{:x}-{:x}-{:x}", found.ino(), found.mtime(), found.len()));
    ObjectMeta { location, last_modified, size: found.len(), e_tag, version: None }
}

fn unknown(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "the folder".to_owned() }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return Err(unknown("writing over a file in place"));
        }
        self.put(location, &payload).map_err(told(location))?;
        Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (parent, file) = self.create(location).map_err(told(location))?;
        Ok(Box::new(Upload { location: location.clone(), parent, file: Arc::new(file), size_bytes: 0 }))
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let opened = walk::parent(&self.root, location.as_ref()).and_then(|parent| parent.open());
        let file = opened.map_err(told(location))?;
        let meta = meta(location.clone(), &file.metadata().map_err(told(location))?);
        let range = match options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| told(location)(io::Error::other(error)))?,
            None => 0..meta.size,
        };
        let payload = GetResultPayload::File(file, self.root.join(location.as_ref()));
        Ok(GetResult { payload, meta, range, attributes: Attributes::default(), extensions: Extensions::default() })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        let folder = self.clone();
        let delete = move |path: Result<ObjectPath>| {
            let path = path?;
            folder.delete(&path).map_err(told(&path))?;
            Ok(path)
        };
        locations.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let listed = walk::files(&self.root, prefix.as_ref());
        let found = match listed {
            Ok(files) => files
                .into_iter()
                .filter_map(|(path, found)| Some(Ok(meta(ObjectPath::parse(path).ok()?, &found))))
                .collect(),
            Err(error) => vec![Err(told(&prefix)(error))],
        };
        stream::iter(found).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> Result<ListResult> {
        Err(unknown("listing one level"))
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        Err(unknown("copying"))
    }

    async fn rename_opts(&self, from: &ObjectPath, to: &ObjectPath, options: RenameOptions) -> Result<()> {
        let source = walk::parent(&self.root, from.as_ref()).map_err(told(from))?;
        let moved = walk::made_parent(&self.root, to.as_ref()).and_then(|target| {
            match options.target_mode {
                RenameTargetMode::Create => source.move_to_new(&target)?,
                RenameTargetMode::Overwrite => source.move_over(&target)?,
            }
            target.sync()
        });
        moved.map_err(told(to))
    }
}

/// A file that is written piece by piece.
#[derive(Debug)]
struct Upload {
    location: ObjectPath,
    parent: Parent,
    file: Arc<File>,
    size_bytes: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, location, mut offset) = (Arc::clone(&self.file), self.location.clone(), self.size_bytes);
        self.size_bytes += data.content_length() as u64;
        Box::pin(async move {
            let written = data.iter().try_for_each(|piece| {
                file.write_all_at(piece, offset)?;
                offset += piece.len() as u64;
                Ok(())
            });
            written.map_err(told(&location))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.file.sync_all().and_then(|()| self.parent.sync()).map_err(told(&self.location))?;
        Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        self.parent.delete().map_err(told(&self.location))
    }
}
