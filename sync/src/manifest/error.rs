//! Why a description, or what it says together with the files, is refused. Each is complete in its `Display`.

/// A refusal; the text names the update by its number in the description, from 1, or by its target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The description is no XML that we read.
    #[error("updateInfo.xml cannot be read, expected well-formed XML in UTF-8 or UTF-16: {reason}")]
    Xml {
        /// What is wrong with it.
        reason: String,
    },
    /// More than it can mean in earnest.
    #[error("updateInfo.xml speaks of more than {limit} {what}, expected fewer; split the package")]
    TooMany {
        /// Updates, or files.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A field is there and cannot be read.
    #[error("updateInfo.xml, update {number}: {reason}")]
    Field {
        /// Which update.
        number: usize,
        /// What is wrong, and what is expected.
        reason: String,
    },
    /// A field is neither in the description nor in a path.
    #[error(
        "updateInfo.xml, update {number}: {field} is missing, expected it in the description or in the file's path \
         <DeviceType>\\<Brand>\\<Model>\\<Revision>\\<Locale>\\<Version>\\<UpdateType>\\<File>"
    )]
    MissingField {
        /// Which update.
        number: usize,
        /// The field's name.
        field: &'static str,
    },
    /// A file that the description names is not in the package.
    #[error(
        "updateInfo.xml, update {number}: it names the file {file:?}, expected it in the package, which does not hold it"
    )]
    MissingFile {
        /// Which update.
        number: usize,
        /// The file, with its path if the description gives one.
        file: String,
    },
    /// Several files could be the one that is named.
    #[error("updateInfo.xml, update {number}: several files are named {file:?}, expected a path that tells which")]
    AmbiguousFile {
        /// Which update.
        number: usize,
        /// The file.
        file: String,
    },
    /// No file of the package fits what the description says.
    #[error("updateInfo.xml, update {number}: no file of the package lies where its fields say, expected one")]
    NoFiles {
        /// Which update.
        number: usize,
    },
    /// Nothing tells which file is the image.
    #[error("{update}: which file is the image cannot be told from {files}, expected one named {expected}")]
    AmbiguousImage {
        /// The update.
        update: String,
        /// The files, joined.
        files: String,
        /// The stem that would tell.
        expected: String,
    },
    /// There are signatures, but no image.
    #[error("{update}: it has no image, expected a file that is no .cat, such as CPE.nbt")]
    NoImage {
        /// The update.
        update: String,
    },
    /// A file's name cannot stand in the store.
    #[error("{update}: {reason}")]
    FileName {
        /// The update.
        update: String,
        /// What is wrong with the name, and what is expected.
        reason: String,
    },
    /// Two files of one update have one name.
    #[error("{update}: two of its files are named {file}, expected names that differ by more than case")]
    SameName {
        /// The update.
        update: String,
        /// The file.
        file: String,
    },
    /// One update is there twice, with different files.
    #[error("{update} is in the package twice with different files, expected it once")]
    Twice {
        /// The update.
        update: String,
    },
}
