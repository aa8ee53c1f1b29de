//! Lets phones live: each is a task that boots, asks, downloads, installs and sleeps, and tells the run what happened.
//! Nothing is printed here, and no option of the command line is known.

use crate::decide::Reason;
use crate::simulation::answer::{self, OfferedFile, Told};
use crate::simulation::exchange::{Asker, Download, DownloadError, Reply, ask};
use crate::simulation::expectation::{Expected, Verdict};
use crate::simulation::failure::{Failure, FailureKind};
use crate::simulation::model::{Model, ModelUpdate, join};
use crate::simulation::network::{Connection, Network};
use crate::simulation::oracle::{Doubt, Oracle};
use crate::simulation::phone::{Next, Phone};
use crate::simulation::statistics::Statistics;
use http::HeaderValue;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// The longest wait between two attempts.
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(30);

/// From where phones ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// They download from `BaseURL`.
    Inside,
    /// They download from `ExternalBaseURL`, and sign in.
    Outside,
}

/// When a phone's life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// When it is told that there is nothing for it, or gave up.
    UntilDone,
    /// With the run.
    Endless,
}

/// What "nothing" means, where something had to be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// A wrong answer.
    Wrong,
    /// Allowed: an overloaded service does that. Counted.
    Allowed,
}

/// How phones live.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where they ask; they are spread over several.
    pub urls: Vec<Url>,
    /// From where.
    pub side: Side,
    /// With which credentials.
    pub authorization: Option<HeaderValue>,
    /// All have booted after this time.
    pub boot_within: Duration,
    /// From one check to the next when there is nothing to do.
    pub day: Duration,
    /// From the last byte to the next boot.
    pub install_delay: Duration,
    /// Days with nothing to do, until a phone is reset to what it had at first.
    pub reset_after_days: Option<u32>,
    /// When a life ends.
    pub life: Life,
    /// Attempts that bring nothing, until a phone gives up.
    pub attempts: usize,
    /// Before the second attempt; twice as long before each further one.
    pub retry_delay: Duration,
    /// How nothing is taken.
    pub withheld: Withheld,
}

/// A run of phones.
pub struct Simulation {
    plan: Plan,
    network: Network,
    oracle: Option<Mutex<Oracle>>,
    doubts: Mutex<Vec<Doubt>>,
    statistics: Mutex<Statistics>,
    began: Instant,
    phones: usize,
    booted: AtomicUsize,
    satisfied: AtomicUsize,
}

/// Where the phones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// All of them.
    pub phones: usize,
    /// Those that have booted once.
    pub booted: usize,
    /// Those that were last told that there is nothing for them.
    pub satisfied: usize,
}

/// Which doubts are to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decide {
    /// Those whose time has come.
    Due,
    /// All, because the run ends.
    All,
}

/// What came of one boot.
enum Cycle {
    /// It was told of nothing.
    Satisfied,
    /// It has installed something, and boots again.
    Installed,
    /// It gave up, or will not trust what it was told.
    Failed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it counts")
}

impl Simulation {
    /// A run that has not begun. Without an oracle only what is wrong in itself is found.
    pub fn new(plan: Plan, network: Network, oracle: Option<Oracle>, phones: usize) -> Self {
        Self {
            plan,
            network,
            oracle: oracle.map(Mutex::new),
            doubts: Mutex::default(),
            statistics: Mutex::default(),
            began: Instant::now(),
            phones,
            booted: AtomicUsize::new(0),
            satisfied: AtomicUsize::new(0),
        }
    }

    /// Begins every phone's life; each ends by itself or with the token.
    pub fn start(self: &Arc<Self>, phones: Vec<Phone>, tasks: &TaskTracker, stop: &CancellationToken) {
        let count = phones.len();
        for (index, phone) in phones.into_iter().enumerate() {
            let (simulation, stop) = (Arc::clone(self), stop.clone());
            let share = f64::from(u32::try_from(index).unwrap_or(u32::MAX)) + rand::random::<f64>();
            let boots_after =
                self.plan.boot_within.mul_f64(share / f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
            tasks.spawn(async move {
                // Cut anywhere: what a phone was doing then is not counted.
                let _ = stop.run_until_cancelled(simulation.live(index, phone, boots_after)).await;
            });
        }
        tasks.close();
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        lock(&self.statistics).clone()
    }

    /// Where the phones are.
    pub fn standing(&self) -> Standing {
        let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        Standing { phones: self.phones, booted: read(&self.booted), satisfied: read(&self.satisfied) }
    }

    /// How long it runs.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// From now on another model counts.
    pub fn model_changed(&self, model: Model) {
        if let Some(oracle) = &self.oracle {
            lock(oracle).changed(model, self.elapsed());
        }
    }

    /// Decides answers that no model knew when they came; says how many are left.
    pub fn decide_doubts(&self, which: Decide) -> usize {
        let Some(oracle) = &self.oracle else { return 0 };
        let now = self.elapsed();
        let oracle = lock(oracle);
        let due = |doubt: &mut Doubt| which == Decide::All || oracle.decided_at(doubt) <= now;
        let mut doubts = lock(&self.doubts);
        let decided: Vec<Doubt> = doubts.extract_if(.., due).collect();
        for doubt in &decided {
            self.count(doubt, oracle.judge(doubt));
        }
        doubts.len()
    }

    async fn live(&self, index: usize, mut phone: Phone, boots_after: Duration) {
        sleep(boots_after).await;
        self.booted.fetch_add(1, Ordering::Relaxed);
        let (first, mut days) = (phone.clone(), 0);
        loop {
            match self.boot(index, &mut phone).await {
                Cycle::Installed => continue,
                Cycle::Satisfied => {
                    self.satisfied.fetch_add(1, Ordering::Relaxed);
                }
                Cycle::Failed if self.plan.life == Life::UntilDone => return,
                Cycle::Failed => {
                    sleep(self.plan.day).await;
                    continue;
                }
            }
            if self.plan.life == Life::UntilDone {
                return;
            }
            sleep(self.plan.day).await;
            self.satisfied.fetch_sub(1, Ordering::Relaxed);
            days += 1;
            if Some(days) == self.plan.reset_after_days {
                phone.clone_from(&first);
                days = 0;
            }
        }
    }

    /// Asks, and does what it is told.
    async fn boot(&self, index: usize, phone: &mut Phone) -> Cycle {
        let asked = self.elapsed();
        let Some(reply) = self.check(index, phone).await else { return Cycle::Failed };
        let told = match answer::read(reply.status, &reply.headers, &reply.body) {
            Ok(told) => told,
            Err(error) => return self.wrong(phone, &format!("got a wrong answer: {error}")),
        };
        let doubt = Doubt { phone: phone.clone(), told, asked, answered: self.elapsed() };
        let (offered, expected) = match self.understand(doubt) {
            Ok(understood) => understood,
            Err(cycle) => return cycle,
        };
        let Next::Update(files) = phone.told(offered) else { return Cycle::Satisfied };
        let updates: Vec<_> = expected.into_iter().filter_map(|expected| expected.update).collect();
        let mut connection = None;
        for (position, file) in files.iter().enumerate() {
            let update = updates.get(position).map(AsRef::as_ref);
            if !self.fetch(index, phone, file, update, &mut connection).await {
                return Cycle::Failed;
            }
        }
        if let Some(connection) = connection {
            connection.close().await;
        }
        sleep(self.plan.install_delay).await;
        phone.install(&files);
        lock(&self.statistics).installs += 1;
        Cycle::Installed
    }

    fn wrong(&self, phone: &Phone, what: &str) -> Cycle {
        lock(&self.statistics).was_wrong(format!("{} {what}", phone.describe()));
        Cycle::Failed
    }

    /// What the phone is to fetch, with what the model says of it.
    fn understand(&self, doubt: Doubt) -> Result<(Vec<OfferedFile>, Vec<Expected>), Cycle> {
        let must_sign_in = self.plan.side == Side::Outside && self.plan.authorization.is_none();
        let files = match (&doubt.told, must_sign_in) {
            (Told::SignIn, true) => {
                lock(&self.statistics).meant(Reason::AnonymousRefused.as_str());
                return Err(Cycle::Satisfied);
            }
            (Told::SignIn, false) => return Err(self.wrong(&doubt.phone, "was told to sign in, and must not be")),
            (Told::Files(_), true) => {
                return Err(self.wrong(&doubt.phone, "asked from outside without signing in, and was answered"));
            }
            (Told::Files(files), false) => files.clone(),
        };
        if let Some(problem) = files.iter().find_map(|file| nonsense(&doubt.phone, file)) {
            return Err(self.wrong(&doubt.phone, &problem));
        }
        let Some(oracle) = &self.oracle else {
            lock(&self.statistics).meant(if files.is_empty() { "nothing" } else { "offered" });
            return Ok((files, Vec::new()));
        };
        let oracle = lock(oracle);
        match oracle.judge(&doubt) {
            Verdict::Right(expected) => {
                self.count(&doubt, Verdict::Right(expected.clone()));
                Ok((files, expected))
            }
            verdict if oracle.decided_at(&doubt) <= doubt.answered => {
                self.count(&doubt, verdict);
                Err(Cycle::Failed)
            }
            // A model that knows the answer may be on its way. Until then the phone does what it is told.
            _ => {
                lock(&self.doubts).push(doubt);
                Ok((files, Vec::new()))
            }
        }
    }

    fn count(&self, doubt: &Doubt, verdict: Verdict) {
        let mut statistics = lock(&self.statistics);
        match verdict {
            Verdict::Right(expected) => {
                let reason = expected.iter().map(|expected| expected.reason).min().unwrap_or(Reason::NoModule);
                statistics.meant(reason.as_str());
            }
            Verdict::Withheld(_) if self.plan.withheld == Withheld::Allowed => statistics.withheld += 1,
            Verdict::Withheld(text) | Verdict::Wrong(text) => {
                statistics.was_wrong(format!("{} {text}", doubt.phone.describe()));
            }
        }
    }

    fn asker(&self, phone: usize, attempt: usize) -> Asker<'_> {
        Asker { phone, attempt, authorization: self.plan.authorization.as_ref() }
    }

    /// Asks until there is an answer, or the phone gives up.
    async fn check(&self, index: usize, phone: &Phone) -> Option<Reply> {
        let url = &self.plan.urls[index % self.plan.urls.len()];
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let error = match ask(&self.network, url, phone.request(), self.asker(index, attempt)).await {
                Ok(reply) => {
                    let mut statistics = lock(&self.statistics);
                    statistics.answered(began.elapsed());
                    statistics.retried += u64::from(attempt > 0);
                    return Some(reply);
                }
                Err(error) => error,
            };
            attempt += 1;
            self.failed_attempt(&error);
            if attempt >= self.plan.attempts {
                lock(&self.statistics).gave_up(&phone.describe(), "a check", &error);
                return None;
            }
            sleep(self.retry_delay(attempt, &error)).await;
        }
    }

    fn failed_attempt(&self, failure: &Failure) {
        lock(&self.statistics).attempt_failed(failure.kind);
    }

    /// Twice as long each time, half as much more or less, so that phones that failed together don't come together.
    fn retry_delay(&self, attempt: usize, failure: &Failure) -> Duration {
        let jitter = 0.5 + rand::random::<f64>();
        let doubled = self.plan.retry_delay.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let told = failure.retry_after_seconds.map_or(Duration::ZERO, Duration::from_secs);
        doubled.min(LONGEST_RETRY_DELAY).mul_f64(jitter).max(told.min(LONGEST_RETRY_DELAY))
    }

    /// Fetches an image and its signature; says whether both are here and right.
    async fn fetch(
        &self,
        index: usize,
        phone: &Phone,
        file: &OfferedFile,
        update: Option<&ModelUpdate>,
        connection: &mut Option<Connection>,
    ) -> bool {
        let base = match self.plan.side {
            Side::Inside => &file.base_url,
            Side::Outside => &file.external_base_url,
        };
        let names = [
            (&file.file_name, update.map(|update| &update.image)),
            (&file.signature_file_name, update.and_then(|update| update.signature.as_ref())),
        ];
        for (name, expected) in names.into_iter().filter(|(name, _)| !name.is_empty()) {
            let Ok(url) = Url::parse(&join(base, name)) else {
                self.wrong(phone, &format!("was told {name} {}, and not where it is", file.version));
                return false;
            };
            if !self.download(index, phone, Download::new(url, expected), connection).await {
                return false;
            }
        }
        true
    }

    /// Downloads until the file is whole. Attempts that bring bytes, and those that the service asks to make later, cost
    /// the phone no patience.
    async fn download(
        &self,
        index: usize,
        phone: &Phone,
        mut download: Download<'_>,
        connection: &mut Option<Connection>,
    ) -> bool {
        let began = Instant::now();
        let (mut attempt, mut fruitless) = (0, 0);
        loop {
            let had = download.received_bytes();
            let failure = match download.attempt(&self.network, connection, self.asker(index, attempt)).await {
                Ok(()) => break,
                Err(DownloadError::Wrong(text)) => {
                    self.wrong(phone, &format!("downloads: {text}"));
                    return false;
                }
                Err(DownloadError::Failed(failure)) => failure,
            };
            attempt += 1;
            self.failed_attempt(&failure);
            match failure.kind {
                FailureKind::Busy => {}
                _ if download.received_bytes() > had => fruitless = 1,
                _ => fruitless += 1,
            }
            if fruitless >= self.plan.attempts {
                let what = format!("the download of {}", download.url());
                lock(&self.statistics).gave_up(&phone.describe(), &what, &failure);
                return false;
            }
            sleep(self.retry_delay(fruitless, &failure)).await;
        }
        let mut statistics = lock(&self.statistics);
        statistics.downloaded(download.received_bytes(), began.elapsed());
        statistics.resumed += download.resumed;
        statistics.retried += u64::from(attempt > 0);
        true
    }
}

/// What is wrong with an offer whatever the rules say.
fn nonsense(phone: &Phone, file: &OfferedFile) -> Option<String> {
    let OfferedFile { file_name, version, .. } = file;
    let stem = file_name.rsplit_once('.').map_or(file_name.as_str(), |(stem, _)| stem);
    match phone.modules.iter().find(|module| module.stem().eq_ignore_ascii_case(stem)) {
        None => Some(format!("was offered {file_name} {version}, which it did not ask for")),
        Some(module) if module.version == *version => {
            Some(format!("was offered {file_name} {version}, which it has already"))
        }
        Some(_) => None,
    }
}
