//! A node, put together from its configuration: the phone plane, the administrators' API, and the loops that join them
//! to the Central Management store and the file store. Started here for `serve`, for `standard` and for tests alike.

mod heartbeat;
mod shipping;

use crate::api::{self, Admin};
use crate::audit_log::AuditWriter;
use crate::config::{Config, ListenerSection};
use crate::listen::{Listener, ListenerLimits, ListenerSettings};
use crate::phone_auth::{PhoneAuth, PhoneAuthLimits};
use crate::plane::{PhonePlane, Side};
use crate::router::phone_router;
use crate::snapshot::SnapshotLoop;
use crate::tls::{self, CertificateFiles, CertificateNames, Certificates};
use crate::wire::capture::Capture;
use crate::wire::dialect::Dialect;
use crate::{audit_log, log_cleanup};
use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use axum::Router;
use nix::fcntl::{Flock, FlockArg};
use schema::store::{Database, DatabaseSettings, StoreError};
use schema::topology::Pool;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::Blobs;
use sync::cabinet::Limits;
use sync::clock::Clock;
use sync::import::Importer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A node reports, and looks whether its listening connection still lives, once in so many polls: every 30 s by default.
const POLLS_A_SIGN_OF_LIFE: u32 = 6;

/// A node that runs.
pub struct RunningNode {
    /// Where it listens, with the real ports.
    pub addresses: Addresses,
    /// What its administrators' requests reach.
    pub admin: Arc<Admin>,
    serving: Stage,
    writing: Stage,
    shipping: Stage,
    _data: DataFolder,
}

/// Tasks that are stopped together, and awaited before those of the next stage are stopped.
#[derive(Debug, Default)]
struct Stage {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.clone()));
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Where a node listens.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Phones inside, plain.
    pub internal_http: Vec<SocketAddr>,
    /// Phones inside, TLS.
    pub internal_https: Vec<SocketAddr>,
    /// Phones outside, TLS.
    pub external_https: Vec<SocketAddr>,
    /// Administrators, TLS.
    pub management_https: Vec<SocketAddr>,
}

/// Reads every file that the configuration names, so that a mistake is known before a node starts.
pub fn check_files(config: &Config) -> anyhow::Result<()> {
    dialect(config)?;
    let files = configured_files(config);
    if !files.is_empty() {
        tls::configured_certificates(&files)?;
    }
    Ok(())
}

/// The settings of the connection to the Central Management store.
pub fn database_settings(config: &Config) -> anyhow::Result<DatabaseSettings> {
    let section = &config.database;
    Ok(DatabaseSettings {
        password: section.password()?,
        ca_file: section.ca_file.clone(),
        pool_size: section.pool_size,
        connect_timeout: Duration::from_millis(section.connect_timeout_ms),
        operation_timeout: Duration::from_millis(section.query_timeout_ms),
        listen_check_interval: section.poll_interval() * POLLS_A_SIGN_OF_LIFE,
        ..DatabaseSettings::new(section.url.clone())
    })
}

/// Where the node's own files are, below its data folder.
struct Folders {
    tls: PathBuf,
    audit_spool: PathBuf,
    capture: PathBuf,
    packages: PathBuf,
}

impl Folders {
    fn new(data: &Path) -> Self {
        let below = |name| data.join(name);
        Self {
            tls: below("tls"),
            audit_spool: below("spool/audit"),
            capture: below("capture"),
            packages: below("incoming"),
        }
    }
}

/// A data folder that is this process's alone until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataFolder {
    /// Makes the folder if it is not there, and refuses one that another process has.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("making the data folder {}", path.display()))?;
        let lock = path.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.with_context(|| format!("opening {}", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            anyhow::anyhow!(
                "another ucupdates runs on the data folder {}: stop it, or give this one a folder of its own",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

/// Starts a node. When this returns, its listeners accept; a Central Management store that is down does not keep it from
/// starting, a database of another version does.
pub async fn start(config: &Config, data: DataFolder, clock: Arc<dyn Clock>) -> anyhow::Result<RunningNode> {
    tls::install_crypto_provider();
    let folders = Folders::new(&data.path);
    let database = Database::new(&database_settings(config)?)?;
    let blobs = Blobs::open_folder(&config.store.folder)?;
    let pool = config.pool.pool();
    let (audit_log, audit_writer) = audit_log::open(&folders.audit_spool, config.node.name.clone())
        .with_context(|| format!("opening the audit spool {}", folders.audit_spool.display()))?;
    let plane = Arc::new(PhonePlane {
        snapshot: ArcSwapOption::empty(),
        replica: blobs.update_folder(&pool.service_id),
        dialect: dialect(config)?,
        capture: capture(config, &folders.capture)?,
        audit_log,
        phone_auth: PhoneAuth::new(phone_auth_limits(config)),
        clock: Arc::clone(&clock),
    });
    let (snapshots, refresher) =
        SnapshotLoop::new(Arc::clone(&plane), database.clone(), pool.fqdn.clone(), config.database.poll_interval());
    let importer = Importer::new(database.clone(), blobs.clone(), &folders.packages, package_limits(config))?;
    let admin = Arc::new(Admin {
        database,
        blobs,
        importer,
        refresher,
        plane: Arc::clone(&plane),
        pool,
        node: config.node.name.clone(),
        audit_spool: folders.audit_spool.clone(),
        clock: Arc::clone(&clock),
    });
    let certificates = certificates(config, &folders.tls, clock.as_ref())?;
    let listeners = bind(config, &certificates, &plane, &admin)?;
    let node = RunningNode {
        addresses: listeners.addresses.clone(),
        admin,
        serving: Stage::default(),
        writing: Stage::default(),
        shipping: Stage::default(),
        _data: data,
    };
    let heartbeat = config.database.poll_interval() * POLLS_A_SIGN_OF_LIFE;
    node.run_loops(snapshots, audit_writer, heartbeat).await?;
    for (listener, router) in listeners.bound {
        node.serving.spawn(|stop| listener.serve(router, stop));
    }
    Ok(node)
}

impl RunningNode {
    /// Starts everything that is not a listener, and waits for the first snapshot (or the failure to load it), so that
    /// the first phone is answered from rules.
    async fn run_loops(
        &self,
        snapshots: SnapshotLoop,
        audit_writer: AuditWriter,
        heartbeat: Duration,
    ) -> anyhow::Result<()> {
        let admin = &self.admin;
        let (wake, woken) = watch::channel(());
        match admin.database.check_version().await {
            Err(StoreError::Unavailable { .. }) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        match heartbeat::beat(admin).await {
            Ok(pool) => same_place(&admin.pool, &pool)?,
            Err(StoreError::Unavailable { .. }) => tracing::warn!("the Central Management store does not answer"),
            Err(error) => return Err(error.into()),
        }
        let database = admin.database.clone();
        self.serving.spawn(|stop| async move { database.listen(wake, stop).await });
        self.serving.spawn(|stop| snapshots.run(woken, stop));
        self.serving.spawn(|stop| heartbeat::run(Arc::clone(admin), heartbeat, stop));
        let (plane, blobs) = (Arc::clone(&admin.plane), admin.blobs.clone());
        self.serving.spawn(|stop| log_cleanup::run(plane, blobs, stop));
        self.writing.spawn(|stop| audit_writer.run(Arc::clone(&admin.plane), stop));
        self.shipping.spawn(|stop| shipping::run(Arc::clone(admin), stop));
        match admin.blobs.sweep(&admin.pool.service_id, admin.clock.now()).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "files that an interrupted import left behind were deleted"),
            Err(error) => {
                tracing::warn!(%error, "files that an interrupted import left behind could not be looked for")
            }
        }
        admin.refresher.refresh().await;
        Ok(())
    }

    /// Stops: listeners first, requests in flight finish, the last audit lines are written, then shipped.
    pub async fn stop(self) {
        for stage in [self.serving, self.writing, self.shipping] {
            stage.stop().await;
        }
    }
}

/// A pool is registered once; a configuration that says otherwise later would have the node look for files elsewhere.
fn same_place(configured: &Pool, registered: &Pool) -> anyhow::Result<()> {
    anyhow::ensure!(
        configured.service_id == registered.service_id && configured.site == registered.site,
        "[pool] says service_id {} and site {}, but {} is registered with {} and {}: mend the configuration",
        configured.service_id,
        configured.site,
        registered.fqdn,
        registered.service_id,
        registered.site
    );
    Ok(())
}

fn dialect(config: &Config) -> anyhow::Result<Dialect> {
    let Some(path) = &config.phones.dialect_file else { return Ok(Dialect::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the dialect {}", path.display()))?;
    Dialect::parse(&text).with_context(|| format!("in the dialect {}", path.display()))
}

fn capture(config: &Config, folder: &Path) -> anyhow::Result<Option<Capture>> {
    let settings = &config.phones.capture;
    if !settings.enabled {
        return Ok(None);
    }
    Ok(Some(Capture::open(folder, settings.most_files, settings.most_bytes)?))
}

fn phone_auth_limits(config: &Config) -> PhoneAuthLimits {
    PhoneAuthLimits {
        slots: config.accounts.most_hashes,
        queue: config.accounts.most_waiting,
        failures_a_minute: config.accounts.most_failures,
        ..PhoneAuthLimits::default()
    }
}

/// The limits of packages, as configured.
fn package_limits(config: &Config) -> Limits {
    let settings = &config.packages;
    Limits {
        package_bytes: settings.most_bytes,
        file_bytes: settings.most_file_bytes,
        unpacked_bytes: settings.most_unpacked_bytes,
        entries: settings.most_files,
        ratio: settings.most_ratio,
        nesting: settings.most_nesting,
        folders: settings.most_folders,
        name_bytes: settings.most_name_bytes,
        path_depth: settings.most_path_depth,
        description_bytes: settings.most_description_bytes,
        catalog_bytes: settings.most_catalog_bytes,
    }
}

fn configured_files(config: &Config) -> Vec<CertificateFiles> {
    let tls = &config.tls;
    let pair = |chain: &Option<PathBuf>, key: &Option<PathBuf>| {
        Some(CertificateFiles { chain: chain.clone()?, key: key.clone()? })
    };
    let ecdsa = pair(&tls.ecdsa_certificate_file, &tls.ecdsa_key_file);
    ecdsa.into_iter().chain(pair(&tls.rsa_certificate_file, &tls.rsa_key_file)).collect()
}

fn certificates(config: &Config, folder: &Path, clock: &dyn Clock) -> anyhow::Result<Certificates> {
    let files = configured_files(config);
    if !files.is_empty() {
        return Ok(tls::configured_certificates(&files)?);
    }
    let names = CertificateNames::of_pool(
        &config.pool.fqdn,
        config.tls.domains.iter().map(String::as_str),
        config.tls.names.iter().map(String::as_str),
    );
    Ok(tls::private_certificates(folder, &names, clock.now())?)
}

/// Listeners that are bound, with what they will serve.
#[derive(Default)]
struct Bound {
    addresses: Addresses,
    bound: Vec<(Listener, Router)>,
}

fn bind(
    config: &Config,
    certificates: &Certificates,
    plane: &Arc<PhonePlane>,
    admin: &Arc<Admin>,
) -> anyhow::Result<Bound> {
    let listeners = &config.listeners;
    let tls = Some(tls::server_config(certificates)?);
    let mut bound = Bound::default();
    let request_timeout = config.connections.request_timeout();
    let phones = |side| phone_router(Arc::clone(plane), side, request_timeout);
    let management = api::router(Arc::clone(admin));
    let limits = limits(config);
    let http = &listeners.internal_http;
    bound.addresses.internal_http = bound.bind(http, None, phones(Side::Inside), &limits)?;
    let https = &listeners.internal_https;
    bound.addresses.internal_https = bound.bind(https, tls.clone(), phones(Side::Inside), &limits)?;
    let external = &listeners.external_https;
    bound.addresses.external_https = bound.bind(external, tls.clone(), phones(Side::Outside), &limits)?;
    bound.addresses.management_https = bound.bind(&listeners.management_https, tls, management, &limits)?;
    Ok(bound)
}

fn limits(config: &Config) -> ListenerLimits {
    let connections = &config.connections;
    ListenerLimits {
        connections: connections.most,
        handshake_timeout: connections.tls_handshake_timeout(),
        header_timeout: connections.header_timeout(),
        drain_timeout: connections.drain_timeout(),
        ..ListenerLimits::default()
    }
}

impl Bound {
    fn bind(
        &mut self,
        section: &ListenerSection,
        tls: Option<Arc<rustls::ServerConfig>>,
        router: Router,
        limits: &ListenerLimits,
    ) -> anyhow::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for address in &section.addresses {
            let settings = ListenerSettings {
                address: *address,
                tls: tls.clone(),
                proxy_from: section.proxy_from.clone(),
                limits: limits.clone(),
            };
            let listener = Listener::bind(settings).with_context(|| {
                format!("listening on {address}: is another program there, or is the right to use the port missing?")
            })?;
            addresses.push(listener.local_address());
            self.bound.push((listener, router.clone()));
        }
        Ok(addresses)
    }
}
