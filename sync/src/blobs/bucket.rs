//! A bucket of an object store: how it is reached, and with which credentials. Nothing is connected to here; what is wrong
//! with the settings is told, what is wrong with the bucket when it is used.

use super::address::Provider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut, S3CopyIfNotExists};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A server that is down is told of within these, one that hangs by the limits of `Steps`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// No byte for so long, and the request is given up: a server that copies a gigabyte is silent for a while.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a credentials or certificate file at most.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// How a bucket is reached.
#[derive(Debug, Clone, Default)]
pub struct BucketSettings {
    /// The server's URL; that of the provider when not given.
    pub endpoint: Option<String>,
    /// The region, of S3.
    pub region: Option<String>,
    /// A file of credentials: lines `AWS_ACCESS_KEY_ID=...`, or Google's key of a service account (JSON). They go before
    /// those of the environment.
    pub credentials_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// Whether the connection may be plain HTTP.
    pub allow_http: bool,
}

/// What is wrong with how a bucket is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct BucketProblem {
    /// The setting, of `BucketSettings` (or `url`).
    pub setting: &'static str,
    /// What is wrong, and how it is mended.
    pub problem: String,
}

fn wrong(setting: &'static str, problem: impl ToString) -> BucketProblem {
    BucketProblem { setting, problem: problem.to_string() }
}

/// The bucket, below its prefix.
pub(super) fn open(
    provider: Provider,
    bucket: &str,
    prefix: &str,
    settings: &BucketSettings,
) -> Result<Arc<dyn ObjectStore>, BucketProblem> {
    let client = client(settings)?;
    let credentials = credentials(provider, settings)?;
    match provider {
        Provider::S3 => Ok(below(prefix, s3(bucket, settings, &credentials, client)?)),
        Provider::Azure => Ok(below(prefix, azure(bucket, settings, &credentials, client)?)),
        Provider::Google => Ok(below(prefix, google(bucket, settings, &credentials, client)?)),
    }
}

fn below<T: ObjectStore>(prefix: &str, store: T) -> Arc<dyn ObjectStore> {
    match prefix {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    }
}

fn client(settings: &BucketSettings) -> Result<ClientOptions, BucketProblem> {
    let mut client = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE_TIMEOUT)
        .with_allow_http(settings.allow_http);
    if let Some(path) = &settings.ca_file {
        let pem = read(path).map_err(|problem| wrong("ca_file", problem))?;
        let unusable = || wrong("ca_file", format!("{} holds no certificate in PEM", path.display()));
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| unusable())?;
        if certificates.is_empty() {
            return Err(unusable());
        }
        client = certificates.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    Ok(client)
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT }
}

fn read(path: &std::path::Path) -> Result<String, String> {
    let size_bytes = std::fs::metadata(path).map(|found| found.len());
    match size_bytes.and_then(|size_bytes| Ok((size_bytes, std::fs::read_to_string(path)?))) {
        Ok((size_bytes, _)) if size_bytes > MOST_FILE_BYTES => Err(format!("{} is too large", path.display())),
        Ok((_, text)) => Ok(text),
        Err(error) => Err(format!("{} can't be read: {error}", path.display())),
    }
}

/// What a credentials file gives.
enum Credentials {
    /// There is none: the environment's count.
    None,
    /// Names, in lower case, and values.
    Named(Vec<(String, String)>),
    /// The key of a service account.
    ServiceAccount(String),
}

fn credentials(provider: Provider, settings: &BucketSettings) -> Result<Credentials, BucketProblem> {
    let Some(path) = &settings.credentials_file else { return Ok(Credentials::None) };
    let text = read(path).map_err(|problem| wrong("credentials_file", problem))?;
    if provider == Provider::Google && text.trim_start().starts_with('{') {
        return Ok(Credentials::ServiceAccount(text));
    }
    let prefix = provider.credentials_prefix();
    let mut named = Vec::new();
    for (index, line) in text.lines().enumerate().map(|(index, line)| (index, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Never the line itself: it may be a secret.
        let pair = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        match pair.filter(|(name, value)| name.starts_with(prefix) && !value.is_empty()) {
            Some((name, value)) => named.push((name.to_lowercase(), value.to_owned())),
            None => {
                let (place, line) = (path.display(), index + 1);
                let problem = format!("line {line} of {place} is not of the form {prefix}NAME=value");
                return Err(wrong("credentials_file", problem));
            }
        }
    }
    if named.is_empty() {
        return Err(wrong("credentials_file", format!("{} holds no credentials", path.display())));
    }
    Ok(Credentials::Named(named))
}

fn unknown(name: &str) -> BucketProblem {
    wrong("credentials_file", format!("{} is no name of a credential that is known", name.to_uppercase()))
}

fn s3(
    bucket: &str,
    settings: &BucketSettings,
    credentials: &Credentials,
    client: ClientOptions,
) -> Result<impl ObjectStore, BucketProblem> {
    let mut builder = AmazonS3Builder::from_env();
    if let Credentials::Named(named) = credentials {
        for (name, value) in named {
            builder = builder.with_config(name.parse::<AmazonS3ConfigKey>().map_err(|_| unknown(name))?, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    builder
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        // Not every server can delete many at once.
        .with_disable_bulk_delete(true)
        .build()
        .map_err(|error| wrong("url", error))
}

fn azure(
    container: &str,
    settings: &BucketSettings,
    credentials: &Credentials,
    client: ClientOptions,
) -> Result<impl ObjectStore, BucketProblem> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    if let Credentials::Named(named) = credentials {
        for (name, value) in named {
            builder = builder.with_config(name.parse::<AzureConfigKey>().map_err(|_| unknown(name))?, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let builder = builder.with_container_name(container).with_client_options(client).with_retry(retry());
    builder.build().map_err(|error| wrong("url", error))
}

fn google(
    bucket: &str,
    settings: &BucketSettings,
    credentials: &Credentials,
    client: ClientOptions,
) -> Result<impl ObjectStore, BucketProblem> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    match credentials {
        Credentials::None => {}
        Credentials::ServiceAccount(key) => builder = builder.with_service_account_key(key),
        Credentials::Named(named) => {
            for (name, value) in named {
                builder = builder.with_config(name.parse::<GoogleConfigKey>().map_err(|_| unknown(name))?, value);
            }
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let builder = builder.with_bucket_name(bucket).with_client_options(client).with_retry(retry());
    builder.build().map_err(|error| wrong("url", error))
}
