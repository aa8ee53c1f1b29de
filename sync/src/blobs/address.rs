//! Where the shared file store is: a folder, or a bucket with a prefix, as an administrator writes it. Pure.

use std::fmt;
use std::path::{Path, PathBuf};
use url::Url;

/// Who keeps a bucket, by the API that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what speaks its API.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Google,
}

impl Provider {
    /// The scheme of its addresses.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
            Self::Google => "gs",
        }
    }

    /// How the names of its credentials begin, in the environment and in a credentials file.
    pub const fn credentials_prefix(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Azure => "AZURE_",
            Self::Google => "GOOGLE_",
        }
    }
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A local folder or mounted share.
    Folder(PathBuf),
    /// A bucket (of Azure: a container), and what all its keys begin with.
    Bucket {
        /// Who keeps it.
        provider: Provider,
        /// Its name.
        bucket: String,
        /// Without slashes at its ends; empty for the whole bucket.
        prefix: String,
    },
}

impl StoreAddress {
    /// Reads `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`. The error says what
    /// is wrong with the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into the URL".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?} has a query or a fragment: a store has none"));
        }
        let provider = match url.scheme() {
            "file" => {
                let folder = url.to_file_path().map_err(|()| format!("{text:?} names no folder of this machine"))?;
                return Ok(Self::Folder(folder));
            }
            "s3" => Provider::S3,
            "az" => Provider::Azure,
            "gs" => Provider::Google,
            other => return Err(format!("{other}:// is no kind of store")),
        };
        if url.port().is_some() {
            return Err(format!("{text:?} names a port: the server's address is `endpoint`"));
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        if bucket.is_empty() {
            return Err(format!("{text:?} names no bucket"));
        }
        let prefix = url.path().trim_matches('/').to_owned();
        object_store::path::Path::parse(&prefix).map_err(|error| format!("the prefix in {text:?}: {error}"))?;
        Ok(Self::Bucket { provider, bucket, prefix })
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Bucket { .. } => None,
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket { provider, bucket, prefix } if prefix.is_empty() => {
                write!(f, "{}://{bucket}", provider.scheme())
            }
            Self::Bucket { provider, bucket, prefix } => write!(f, "{}://{bucket}/{prefix}", provider.scheme()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = match StoreAddress::parse(text) {
            Ok(address) => address.to_string(),
            Err(problem) => format!("refused: {problem}"),
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn an_address_is_a_folder_or_a_bucket_with_a_prefix() {
        check("file:///srv/ucupdates", "/srv/ucupdates");
        check("file:///srv/uc%20updates/", "/srv/uc updates/");
        check("s3://phones", "s3://phones");
        check("s3://phones/", "s3://phones");
        check("s3://phones/site-a/store/", "s3://phones/site-a/store");
        check("az://phones/store", "az://phones/store");
        check("gs://phones/store", "gs://phones/store");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        check("phones", "refused: \"phones\" is no URL: relative URL without a base");
        check("https://s3.contoso.com/phones", "refused: https:// is no kind of store");
        check("s3:///phones", "refused: \"s3:///phones\" names no bucket");
        check("s3://key:secret@phones", "refused: credentials do not belong into the URL");
        check("s3://phones:9000", "refused: \"s3://phones:9000\" names a port: the server's address is `endpoint`");
        check("s3://phones?region=x", "refused: \"s3://phones?region=x\" has a query or a fragment: a store has none");
        check("file://server/share", "refused: \"file://server/share\" names no folder of this machine");
    }
}
