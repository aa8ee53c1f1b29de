//! A node, put together from its configuration: the phone plane, the administrators' API, and the loops that join them
//! to the Central Management store and the file store. Started here for `serve`, for `standard` and for tests alike.

mod bind;
mod disk;
mod folders;
mod heartbeat;
mod logs;
mod replica_report;
mod replication;
mod shipping;
mod store_watch;
mod ticket_keys;

pub use bind::BindError;
use disk::Disks;
pub use folders::DataFolder;
use folders::Folders;
use logs::{Logs, Writers};
use ticket_keys::TicketKeyLoop;

use crate::api::{Admin, ScrapeToken};
use crate::audit_log::AuditLog;
use crate::config::{Config, DropFolderSection};
use crate::downloads::Downloads;
use crate::drop_folder;
use crate::log_cleanup;
use crate::metrics::{Metrics, Outcome};
use crate::phone_auth::{PhoneAuth, PhoneAuthLimits};
use crate::plane::PhonePlane;
use crate::snapshot::folder::{Search, SnapshotFolder};
use crate::snapshot::standing::Standings;
use crate::snapshot::{Membership, Refresher, SnapshotLoop};
use crate::tls::served::Renewal;
use crate::tls::{self, ServedCertificates, Tickets};
use crate::update::CheckLimits;
use crate::wire::capture::Capture;
use crate::wire::dialect::Dialect;
use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use schema::rule_set::RuleSet;
use schema::store::{Database, DatabaseSettings, ReportedState, Reporter};
use schema::topology::Pool;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync::cabinet::Limits;
use sync::clock::Clock;
use sync::import::Importer;
use sync::read_through::ReadThrough;
use sync::replica::Replica;
use sync::replicate::Replicator;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// A node reports, and looks whether its listening connection still lives, once in so many polls: every 30 s by default.
const POLLS_A_SIGN_OF_LIFE: u32 = 6;

/// A node that was not heard of for so many signs of life leaves what it took from the drop folder to others.
const SIGNS_OF_LIFE_MISSED: u32 = 3;

/// How long a start waits for the sweep of the file store, which goes on afterwards.
const SWEEP_PATIENCE: Duration = Duration::from_secs(2);

/// How long a start waits for the replica to be complete, which goes on afterwards.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);

/// After a sweep that failed, as on a store that is down.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// How often the file store is swept: a share that hung may have kept what this process staged.
const SWEEP_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What writing the last lines of the logs, and then shipping them, may each take at the end.
const LAST_WORK_TIMEOUT: Duration = Duration::from_secs(8);

/// A node that runs.
pub struct RunningNode {
    /// Where it listens, with the real ports.
    pub addresses: Addresses,
    /// What its administrators' requests reach.
    pub admin: Arc<Admin>,
    drain_notice: Duration,
    reload: watch::Sender<()>,
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
        listen_pause: section.poll_interval(),
        ..DatabaseSettings::new(section.url.clone())
    })
}

/// Starts a node. When this returns, its listeners accept; a Central Management store that is down does not keep it from
/// starting, a database of another version does.
pub async fn start(config: &Config, data: DataFolder, clock: Arc<dyn Clock>) -> anyhow::Result<RunningNode> {
    tls::install_crypto_provider();
    let folders = Folders::new(&data.path);
    let database = Database::new(&database_settings(config)?)?;
    let blobs = config.store.open(&config.node.name).map_err(|problem| anyhow::anyhow!("[store] {problem}"))?;
    let pool = config.pool.pool();
    let Logs { audit_log, access_log, writers } = Logs::open(config, &folders, &clock)?;
    let replication::Parts { replica, rules, replicator, replication } =
        replication::open(config, &folders, blobs.clone(), Arc::clone(&clock)).await?;
    let phones = (Arc::clone(&replica), replication.read_through.clone());
    let plane = Arc::new(phone_plane(config, phones, audit_log, &folders.capture, Arc::clone(&clock))?);
    let standings = Arc::new(Standings::at_start());
    let poll_interval = config.database.poll_interval();
    let heartbeat = poll_interval * POLLS_A_SIGN_OF_LIFE;
    let membership = membership(config, &database, data.instance, heartbeat * SIGNS_OF_LIFE_MISSED);
    let (snapshots, refresher) =
        first_snapshot(&folders.snapshots, &plane, &membership, &standings, rules, poll_interval).await?;
    let importer = Importer::new(database.clone(), blobs.clone(), &folders.packages, package_limits(config))?
        .with_replica(replica, pool.fqdn.clone());
    let admin = Arc::new(Admin {
        database,
        blobs,
        importer,
        imports: Semaphore::new(config.packages.most_imports),
        refresher,
        standings,
        replication,
        plane: Arc::clone(&plane),
        pool,
        node: config.node.name.clone(),
        audit_spool: writers.audit.spool(),
        scrape_token: config.metrics.token()?.as_deref().map(ScrapeToken::new),
        membership: membership.clone(),
        clock: Arc::clone(&clock),
    });
    let source = bind::certificate_source(config, &folders.tls);
    let certificates = ServedCertificates::new(source.certificates(clock.now())?);
    let renewal = Renewal::new(source, Arc::clone(&certificates), Arc::clone(&plane.metrics), Arc::clone(&clock));
    let tickets = Tickets::new()?;
    let ticket_keys = TicketKeyLoop::new(membership, &tickets, heartbeat);
    if snapshots.has_joined() {
        ticket_keys.look().await;
    }
    let listeners = bind::bind(config, &certificates, &tickets, &plane, &admin, access_log)?;
    let node = RunningNode {
        addresses: listeners.addresses.clone(),
        admin,
        drain_notice: config.connections.drain_notice(),
        reload: watch::Sender::new(()),
        serving: Stage::default(),
        writing: Stage::default(),
        shipping: Stage::default(),
        _data: data,
    };
    node.take_what_is_dropped(&config.drop_folder, heartbeat);
    let standings = Arc::clone(&node.admin.standings);
    node.serving.spawn(|stop| ticket_keys.run(standings, stop));
    node.replicate(replicator, config.replica.scrub_interval_s);
    node.run_loops(snapshots, writers, heartbeat).await;
    let asked = node.reload.subscribe();
    node.serving.spawn(|stop| renewal.run(asked, stop));
    node.look_at_disks(config).await;
    for (listener, router) in listeners.bound {
        node.serving.spawn(|stop| listener.serve(router, stop));
    }
    Ok(node)
}

/// This node's place in the Central Management store.
fn membership(config: &Config, database: &Database, instance: Uuid, silent_after: Duration) -> Membership {
    let pool = config.pool.pool();
    let reporter = Reporter {
        pool: pool.fqdn.clone(),
        name: config.node.name.clone(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance,
        silent_after,
    };
    Membership { database: database.clone(), pool, reporter, draining: CancellationToken::new() }
}

/// What phones reach, before its first snapshot.
fn phone_plane(
    config: &Config,
    (replica, read_through): (Arc<Replica>, ReadThrough),
    audit_log: AuditLog,
    captures: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<PhonePlane> {
    let metrics = Arc::new(Metrics::new());
    Ok(PhonePlane {
        snapshot: ArcSwapOption::empty(),
        replica,
        read_through,
        dialect: dialect(config)?,
        capture: capture(config, captures)?,
        audit_log,
        phone_auth: PhoneAuth::new(phone_auth_limits(config)),
        downloads: Downloads::new(&config.downloads.limits(), Arc::clone(&metrics)),
        checks: CheckLimits::new(config.connections.most_large_checks),
        metrics,
        clock,
    })
}

impl RunningNode {
    /// Starts everything that is not a listener. Unless the Central Management store is known not to answer, it waits for
    /// the first snapshot from there (or the failure to load it), so that the first phone is answered from present rules.
    async fn run_loops(&self, snapshots: SnapshotLoop, writers: Writers, heartbeat: Duration) {
        let admin = &self.admin;
        let (wake, woken) = watch::channel(());
        let has_joined = snapshots.has_joined();
        let database = admin.database.clone();
        self.serving.spawn(|stop| async move { database.listen(wake, stop).await });
        self.serving.spawn(|stop| snapshots.run(woken, stop));
        self.serving.spawn(|stop| replica_report::run(Arc::clone(admin), heartbeat, stop));
        self.serving.spawn(|stop| heartbeat::run(Arc::clone(admin), heartbeat, stop));
        let (plane, blobs) = (Arc::clone(&admin.plane), admin.blobs.clone());
        self.serving.spawn(|stop| log_cleanup::run(plane, blobs, stop));
        writers.run(self);
        let (looked, first_look) = oneshot::channel();
        self.serving.spawn(|stop| store_watch::run(Arc::clone(admin), looked, stop));
        let admin = Arc::clone(admin);
        let refresher = admin.refresher.clone();
        // Waited for only a while: a share that hangs must not keep the node from serving.
        let stop = self.serving.stop.clone();
        let (swept, first) = oneshot::channel();
        self.serving.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(sweep_daily(&admin, swept)).await;
        });
        let _ = tokio::time::timeout(SWEEP_PATIENCE, async { (first_look.await, first.await) }).await;
        if has_joined {
            refresher.refresh().await;
        }
        self.wait_for_replica().await;
    }

    /// What is held is offered from the first phone on, and a small pool's node is ready when it starts.
    async fn wait_for_replica(&self) {
        if self.admin.plane.snapshot.load().is_some() {
            let mut state = self.admin.replication.state.clone();
            let _ = tokio::time::timeout(REPLICA_PATIENCE, state.wait_for(|state| state.ready)).await;
        }
    }

    async fn look_at_disks(&self, config: &Config) {
        let (data, store) = (&config.node.data_folder, config.store.local_folder());
        let metrics = Arc::clone(&self.admin.plane.metrics);
        let mut disks = Disks::new(metrics, data, store.as_deref(), config.node.reserve_bytes);
        disks.look().await;
        self.serving.spawn(|stop| disks.run(stop));
    }

    /// Starts what watches the drop folder, if there is one.
    fn take_what_is_dropped(&self, section: &DropFolderSection, heartbeat: Duration) {
        let admin = Arc::clone(&self.admin);
        if let Some(settings) = section.settings(&admin.pool.fqdn, heartbeat * SIGNS_OF_LIFE_MISSED) {
            self.serving.spawn(|stop| drop_folder::run(admin, settings, stop));
        }
    }

    /// Starts the replication loop, and what lets phones know of its work.
    fn replicate(&self, replicator: Replicator, scrub_interval_s: u64) {
        if scrub_interval_s > 0 {
            let (scrub, interval) = (replicator.scrub(), Duration::from_secs(scrub_interval_s));
            self.serving.spawn(|stop| scrub.run(interval, stop));
        }
        self.serving.spawn(|stop| replicator.run(stop));
        self.serving.spawn(|stop| replication::offer_held(Arc::clone(&self.admin.plane), stop));
    }

    /// Looks at the certificates now, instead of at the next time.
    pub fn reload_certificates(&self) {
        self.reload.send_replace(());
    }

    /// Stops: `/ready` and the list of nodes say so for a while, then listeners stop, requests in flight finish, the last
    /// audit lines are written, then shipped.
    pub async fn stop(self) {
        self.admin.membership.draining.cancel();
        let told = heartbeat::farewell(&self.admin, ReportedState::Draining);
        tokio::join!(tokio::time::sleep(self.drain_notice), told);
        self.serving.stop().await;
        for (stage, work) in
            [(self.writing, "lines of the logs were not written"), (self.shipping, "files of the logs wait here")]
        {
            // A disk or a share that hangs must not keep a node from ending.
            if tokio::time::timeout(LAST_WORK_TIMEOUT, stage.stop()).await.is_err() {
                tracing::warn!("the disk or the file store does not answer: {work}");
            }
        }
        heartbeat::farewell(&self.admin, ReportedState::Stopped).await;
    }
}

/// Sweeps at once, which `swept` tells, and every day. Cancellation may interrupt; the next sweep goes on.
async fn sweep_daily(admin: &Admin, swept: oneshot::Sender<()>) {
    let mut swept = Some(swept);
    loop {
        let outcome = sweep(admin).await;
        let _ = swept.take().map(|swept| swept.send(()));
        tokio::time::sleep(if outcome == Outcome::Done { SWEEP_INTERVAL } else { SWEEP_PAUSE }).await;
    }
}

/// Deletes what imports that were interrupted left in the file store.
async fn sweep(admin: &Admin) -> Outcome {
    match admin.blobs.sweep(&admin.pool.service_id, admin.clock.now()).await {
        Ok(0) => Outcome::Done,
        Ok(swept) => {
            tracing::info!(swept, "files that an interrupted import left behind were deleted");
            Outcome::Done
        }
        Err(error) => {
            tracing::warn!(%error, "files that an interrupted import left behind could not be looked for");
            Outcome::Failed
        }
    }
}

/// What phones are answered from: first what is on disk, then, if it answers, what the Central Management store has. This
/// node is known there now, unless that is silent.
async fn first_snapshot(
    folder: &Path,
    plane: &Arc<PhonePlane>,
    membership: &Membership,
    standings: &Arc<Standings>,
    rules: watch::Sender<Option<Arc<RuleSet>>>,
    poll_interval: Duration,
) -> anyhow::Result<(SnapshotLoop, Refresher)> {
    let (folder, found) = open_snapshots(folder, &membership.pool, plane.clock.now()).await?;
    let (plane, standings) = (Arc::clone(plane), Arc::clone(standings));
    let (mut snapshots, refresher) =
        SnapshotLoop::new(plane, membership.clone(), standings, Arc::new(folder), rules, poll_interval);
    snapshots.begin_with(found);
    Box::pin(snapshots.join()).await?;
    Ok((snapshots, refresher))
}

/// The folder of the snapshots, and what it holds.
async fn open_snapshots(path: &Path, pool: &Pool, now: Timestamp) -> anyhow::Result<(SnapshotFolder, Search)> {
    let (folder, pool) = (path.to_owned(), pool.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let folder = SnapshotFolder::open(&folder)?;
        let search = folder.newest(&pool, now)?;
        std::io::Result::Ok((folder, search))
    });
    opened.await?.with_context(|| format!("opening the snapshots in {}", path.display()))
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
        reserve_bytes: Some(config.node.reserve_bytes),
        path_depth: settings.most_path_depth,
        description_bytes: settings.most_description_bytes,
        catalog_bytes: settings.most_catalog_bytes,
    }
}
