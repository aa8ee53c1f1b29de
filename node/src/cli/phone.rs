//! `ucupdates phone`: simulated phones, one or many thousands. The options, and what they come to; the phones themselves
//! are in `simulation`.

mod live;
mod source;
mod summary;

use crate::api::types::snapshot::SnapshotBody;
use crate::cli::output::{Console, Outcome, print};
use crate::cli::phone::live::watch;
use crate::cli::phone::source::ModelSource;
use crate::cli::usage_error;
use crate::descriptors;
use crate::simulation::fleet;
use crate::simulation::model::Model;
use crate::simulation::network::{ConnectTo, Network, Trust, Ways, tls};
use crate::simulation::oracle::Oracle;
use crate::simulation::phone::{Installed, Phone};
use crate::simulation::run::{Life, Plan, Side, Simulation, Withheld};
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use http::HeaderValue;
use ipnet::IpNet;
use jiff::SignedDuration;
use schema::version::FirmwareVersion;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Descriptors that this program needs besides one for each phone.
const OWN_DESCRIPTORS: u64 = 64;

/// What to do instead of simulating.
#[derive(Debug, Subcommand)]
enum PhoneCommand {
    /// Write down what each phone of a pool must be told, for --model
    #[command(after_help = "\
Examples:
  ucupdates phone model --output model.json
  ucupdates phone model --pool pool02.contoso.com > model.json

The file is the answer of the API's /snapshot, read from the Central Management store: the pool's rules, updates with the \
SHA-256 of their files, stepping stones, test devices and addresses. It may be written by hand as well.")]
    Model {
        /// The pool [default: the node's own]
        #[arg(long)]
        pool: Option<String>,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Simulated phones.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PhoneArgs {
    #[command(subcommand)]
    command: Option<PhoneCommand>,
    /// How many phones
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// What each phone must be told, as `ucupdates phone model` writes it (a phone's model is --phone-model); read again
    /// when it changes [default: the node's API, if no phone is described]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Around a change of the model, answers of before and after are both right for so long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    settle: Duration,
    /// Draws the phones: the same seed and model give the same ones
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Take it that a phone is told of nothing where something must be offered: an overloaded service does that
    #[arg(long)]
    allow_withheld: bool,
    /// Exit with 0 although checks or downloads were given up; wrong answers still give 1
    #[arg(long)]
    allow_failures: bool,
    /// The one phone, if it is described.
    #[command(flatten)]
    phone: DescribedPhone,
    /// How phones reach the service.
    #[command(flatten)]
    reach: Reach,
    /// When they do what.
    #[command(flatten)]
    time: Time,
}

/// A phone in words; the same as those of `ucupdates explain`.
#[derive(Debug, Args)]
#[command(next_help_heading = "One phone (without these, phones are drawn from the model)")]
struct DescribedPhone {
    /// Vendor
    #[arg(long, requires = "phone_model")]
    brand: Option<String>,
    /// Model of the phone
    #[arg(long, value_name = "NAME", requires = "brand")]
    phone_model: Option<String>,
    /// Hardware revision
    #[arg(long, default_value = "A", requires = "brand")]
    revision: String,
    /// Locale, Windows' three letters
    #[arg(long, default_value = "ENU", requires = "brand")]
    locale: String,
    /// Device type: UCPhone, RoundTable, ...
    #[arg(long, default_value = "UCPhone", requires = "brand")]
    device_type: String,
    /// The installed version; 0.0.0.0 means none
    #[arg(long, default_value = "0.0.0.0", requires = "brand")]
    version: FirmwareVersion,
    /// The file that it asks about
    #[arg(long, default_value = "CPE.nbt", value_name = "NAME", requires = "brand")]
    file: String,
    /// MAC address [default: one of its own]
    #[arg(long, value_name = "ADDRESS", requires = "brand")]
    mac: Option<String>,
    /// Serial number [default: one of its own]
    #[arg(long, value_name = "NUMBER", requires = "brand")]
    serial: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The way to the service")]
struct Reach {
    /// Where phones ask; they are spread over several [default: the pool's internal update URL, or the external one]
    #[arg(long, value_name = "URL")]
    url: Vec<Url>,
    /// Phones are outside: they ask the external URL, sign in, and download from ExternalBaseURL
    #[arg(long)]
    outside: bool,
    /// The account that phones outside sign in with; without one they must be refused
    #[arg(long, value_name = "NAME", requires = "password_file", requires = "outside")]
    account: Option<String>,
    /// A file with the account's password
    #[arg(long, value_name = "FILE", requires = "account")]
    password_file: Option<PathBuf>,
    /// Whoever wants HOST:PORT is led to ADDRESS:PORT; several of one name are taken in turn
    #[arg(long, value_name = "HOST:PORT:ADDRESS:PORT")]
    connect_to: Vec<ConnectTo>,
    /// Connect from the addresses of this network in turn (on the loopback interface any of 127.0.0.0/8)
    #[arg(long, value_name = "NETWORK")]
    source: Option<IpNet>,
    /// Come by way of a balancer: send a PROXY v2 header that says the phone has an address of this network
    #[arg(long, value_name = "NETWORK")]
    proxy_header: Option<IpNet>,
    /// Send no server name in the TLS handshake, as some phones do
    #[arg(long)]
    no_sni: bool,
    /// Do not verify certificates
    #[arg(long)]
    insecure: bool,
    /// Connecting, and each wait for bytes, at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Attempts that bring nothing until a phone gives up a check or a download; 1 means that nothing is tried again
    #[arg(long, value_name = "NUMBER", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..))]
    attempts: u16,
    /// Before the second attempt, give or take a half; twice as long before each further one, 30 s at most
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    retry_delay: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Time (30s, 5m, 24h)")]
struct Time {
    /// All phones boot within this time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    boot_within: Duration,
    /// Go on for so long, asking every day [default: until each phone is told that there is nothing for it]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Without --duration: phones that are not done by then have failed
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration, conflicts_with = "duration")]
    limit: Duration,
    /// How long a day of the phones is: from one check to the next
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    day: Duration,
    /// With --duration: after so many days with nothing to do, a phone is reset to what it had at first, and updates again
    #[arg(long, value_name = "NUMBER", requires = "duration", value_parser = clap::value_parser!(u32).range(1..))]
    reset_after_days: Option<u32>,
    /// How long a phone takes to install and boot
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    install_delay: Duration,
    /// Makes days and installing so many times as short
    #[arg(long, value_name = "TIMES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    speed: u32,
}

/// `30s`, `5m`, `24h`, `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no time such as 30s, 5m or 24h");
    let parsed: SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(parsed).map_err(|_| expected())
}

impl PhoneArgs {
    /// Lets the phones live, and sums up.
    pub async fn run(self, console: &Console) -> Result<Outcome> {
        if let Some(PhoneCommand::Model { pool, output }) = &self.command {
            return write_model(console, pool.as_deref(), output.as_ref()).await;
        }
        raise_descriptors(u64::from(self.count))?;
        let (mut source, model) = self.source(console).await?;
        let phones = self.phones(model.as_ref());
        let plan = self.plan(console, model.as_ref()).await?;
        let network = self.network(console, &plan)?;
        let settle = if source.is_some() { self.settle } else { Duration::ZERO };
        let oracle = model.map(|model| Oracle::new(model, settle));
        let simulation = Arc::new(Simulation::new(plan, network, oracle, phones.len()));
        let limit = self.time.duration.unwrap_or(self.time.limit);
        watch(&simulation, phones, limit, source.as_mut()).await?;
        let summary = summary::Summary::new(&simulation);
        console.show(&summary, summary::text)?;
        let unfinished = self.time.duration.is_none() && summary.satisfied < summary.phones;
        let failed = (summary.failed > 0 || unfinished) && !self.allow_failures;
        Ok(Outcome::refused_if(summary.wrong > 0 || failed))
    }

    /// Where the model comes from, and what it says now.
    async fn source(&self, console: &Console) -> Result<(Option<ModelSource>, Option<Model>)> {
        let mut source = match &self.model {
            Some(path) => ModelSource::file(path),
            None if self.phone.brand.is_some() => return Ok((None, None)),
            None => ModelSource::Node { client: console.client()?, generation: None },
        };
        let model = source.changed().await?.context("the model is read once more, and has not changed")?;
        Ok((Some(source), Some(model)))
    }

    fn phones(&self, model: Option<&Model>) -> Vec<Phone> {
        let count = usize::try_from(self.count).expect("a million fits");
        match (self.phone.phone(self.seed), model) {
            (Some(phone), _) => fleet::like(&phone, count, self.seed),
            (None, Some(model)) => fleet::of_model(model, count, self.seed),
            (None, None) => Vec::new(),
        }
    }

    async fn plan(&self, console: &Console, model: Option<&Model>) -> Result<Plan> {
        let Self { reach, time, .. } = self;
        Ok(Plan {
            urls: self.urls(console, model).await?,
            side: if reach.outside { Side::Outside } else { Side::Inside },
            authorization: reach.authorization()?,
            boot_within: time.boot_within,
            day: time.day / time.speed,
            install_delay: time.install_delay / time.speed,
            reset_after_days: time.reset_after_days,
            life: if time.duration.is_some() { Life::Endless } else { Life::UntilDone },
            attempts: usize::from(reach.attempts),
            retry_delay: reach.retry_delay,
            withheld: if self.allow_withheld { Withheld::Allowed } else { Withheld::Wrong },
        })
    }

    /// Those that are given; else the one that the model, or the node's pool, tells phones.
    async fn urls(&self, console: &Console, model: Option<&Model>) -> Result<Vec<Url>> {
        if !self.reach.url.is_empty() {
            return Ok(self.reach.url.clone());
        }
        let fetched;
        let model = match model {
            Some(model) => model,
            None => {
                let body: SnapshotBody = console.client()?.get("/snapshot", &()).await?;
                fetched = Model::new(&body)?;
                &fetched
            }
        };
        let (url, name) = match self.reach.outside {
            false => (&model.internal_update_url, "internal"),
            true => (&model.external_update_url, "external"),
        };
        let Some(url) = url else {
            return Err(usage_error(&format!(
                "where do phones ask? The pool has no {name} update URL: give one by --url"
            )));
        };
        Ok(vec![Url::parse(url).with_context(|| format!("reading the pool's {name} update URL {url}"))?])
    }

    fn network(&self, console: &Console, plan: &Plan) -> Result<Network> {
        let Reach { connect_to, source, proxy_header, no_sni, insecure, timeout, .. } = &self.reach;
        if let Some(url) = plan.urls.iter().find(|url| !matches!(url.scheme(), "http" | "https") || !url.has_host()) {
            return Err(usage_error(&format!("{url} is no http or https address")));
        }
        let authority = console.authority()?;
        let trust = match &authority {
            _ if *insecure => Trust::Anybody,
            Some(path) => Trust::File(path),
            None => Trust::Machine,
        };
        let ways =
            Ways { connect_to: connect_to.clone(), sources: *source, balanced: *proxy_header, timeout: *timeout };
        Ok(Network::new(tls(trust, !no_sni)?, ways))
    }
}

impl DescribedPhone {
    fn phone(&self, seed: u64) -> Option<Phone> {
        let mut identity = fleet::identity(seed, 0);
        identity.brand = self.brand.clone()?;
        identity.model = self.phone_model.clone()?;
        identity.revision = self.revision.clone();
        identity.locale = self.locale.clone();
        identity.device_type = self.device_type.clone();
        if self.mac.is_some() || self.serial.is_some() {
            (identity.mac, identity.serial) =
                (self.mac.clone().unwrap_or_default(), self.serial.clone().unwrap_or_default());
        }
        let modules = vec![Installed { file_name: self.file.clone(), version: self.version }];
        Some(Phone { identity, modules })
    }
}

impl Reach {
    fn authorization(&self) -> Result<Option<HeaderValue>> {
        let (Some(account), Some(path)) = (&self.account, &self.password_file) else { return Ok(None) };
        let password = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let credentials = BASE64_STANDARD.encode(format!("{account}:{}", password.trim_end_matches(['\r', '\n'])));
        let mut value = HeaderValue::try_from(format!("Basic {credentials}")).context("writing the credentials")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A storm is the point, so every phone may have a connection at the same time.
fn raise_descriptors(phones: u64) -> Result<()> {
    let needed = phones + OWN_DESCRIPTORS;
    if let Some(allowed) = descriptors::allowed().filter(|allowed| *allowed < needed) {
        bail!(
            "{phones} phones need {needed} open descriptors and this process may have {allowed}: raise the hard limit \
             (`ulimit -Hn {needed}` as root, or LimitNOFILE=), or simulate fewer phones"
        );
    }
    descriptors::take_all();
    Ok(())
}

async fn write_model(console: &Console, pool: Option<&str>, output: Option<&PathBuf>) -> Result<Outcome> {
    let query = pool.map(|pool| [("pool", pool)]);
    let body: SnapshotBody = console.client()?.get("/snapshot", &query).await?;
    let text = serde_json::to_string_pretty(&body)?;
    match output {
        Some(path) => std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?,
        None => print(&text)?,
    }
    Ok(Outcome::Done)
}
