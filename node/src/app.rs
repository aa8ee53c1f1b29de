//! A node, put together from its configuration: the phone plane, the administrators' API, and the loops that join them
//! to the Central Management store and the file store. Started here for `serve`, for `standard` and for tests alike.

mod bind;
mod disk;
mod folders;
mod heartbeat;
mod shipping;

use disk::Disks;
pub use folders::DataFolder;
use folders::Folders;

use crate::api::{Admin, ScrapeToken};
use crate::audit_log::{AuditLimits, AuditWriter, SpoolLimits};
use crate::config::Config;
use crate::metrics::KeyKind;
use crate::phone_auth::{PhoneAuth, PhoneAuthLimits};
use crate::plane::PhonePlane;
use crate::snapshot::SnapshotLoop;
use crate::tls;
use crate::wire::capture::Capture;
use crate::wire::dialect::Dialect;
use crate::{audit_log, log_cleanup};
use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use schema::store::{Database, DatabaseSettings, StoreError};
use schema::topology::Pool;
use std::net::SocketAddr;
use std::path::Path;
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

/// Starts a node. When this returns, its listeners accept; a Central Management store that is down does not keep it from
/// starting, a database of another version does.
pub async fn start(config: &Config, data: DataFolder, clock: Arc<dyn Clock>) -> anyhow::Result<RunningNode> {
    tls::install_crypto_provider();
    let folders = Folders::new(&data.path);
    let database = Database::new(&database_settings(config)?)?;
    let blobs = Blobs::open_folder(&config.store.folder, &config.node.name)?;
    let pool = config.pool.pool();
    let (audit_log, audit_writer) =
        audit_log::open(&folders.audit_spool, config.node.name.clone(), audit_limits(config))
            .with_context(|| format!("opening the audit spool {}", folders.audit_spool.display()))?;
    let plane = Arc::new(PhonePlane {
        snapshot: ArcSwapOption::empty(),
        replica: blobs.update_folder(&pool.service_id),
        dialect: dialect(config)?,
        capture: capture(config, &folders.capture)?,
        audit_log,
        phone_auth: PhoneAuth::new(phone_auth_limits(config)),
        metrics: Arc::default(),
        clock: Arc::clone(&clock),
    });
    let (snapshots, refresher) =
        SnapshotLoop::new(Arc::clone(&plane), database.clone(), pool.fqdn.clone(), config.database.poll_interval());
    let (limits, reserve_bytes) = (package_limits(config), config.node.reserve_bytes);
    let importer = Importer::new(database.clone(), blobs.clone(), &folders.packages, limits, reserve_bytes)?;
    let admin = Arc::new(Admin {
        database,
        blobs,
        importer,
        refresher,
        plane: Arc::clone(&plane),
        pool,
        node: config.node.name.clone(),
        audit_spool: audit_writer.spool(),
        scrape_token: config.metrics.token()?.as_deref().map(ScrapeToken::new),
        clock: Arc::clone(&clock),
    });
    let certificates = bind::certificates(config, &folders.tls, clock.as_ref())?;
    for (kind, expires_s) in [KeyKind::Ecdsa, KeyKind::Rsa].into_iter().zip(certificates.expire_s()) {
        plane.metrics.upkeep.certificate(kind, expires_s);
    }
    let listeners = bind::bind(config, &certificates, &plane, &admin)?;
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
    let (data, store) = (&config.node.data_folder, &config.store.folder);
    let mut disks = Disks::new(Arc::clone(&plane.metrics), data, store, reserve_bytes);
    disks.look().await;
    node.serving.spawn(|stop| disks.run(stop));
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

/// The names and the layout that phones are spoken to in.
pub(crate) fn dialect(config: &Config) -> anyhow::Result<Dialect> {
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

fn audit_limits(config: &Config) -> AuditLimits {
    let settings = &config.audit;
    let spool = SpoolLimits { most_bytes: settings.most_spool_bytes, reserve_bytes: config.node.reserve_bytes };
    AuditLimits { most_lines: settings.most_waiting_lines, most_bytes: settings.most_waiting_bytes, spool }
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
