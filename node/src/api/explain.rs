//! What would this phone get, and why: for an imagined phone, or for one that asked before, whose last request stands in
//! the audit log. The same `decide` as for a real check.

use super::types::devices::{ExplainQuery, Explanation};
use super::{Admin, ApiError, Query};
use crate::decide::decide;
use crate::explain::explain as paragraph;
use crate::plane::Snapshot;
use crate::wire::request::{Module, UpdateRequest};
use axum::Json;
use axum::extract::State;
use schema::audit::{AuditFileName, AuditRecord};
use schema::device::{MacAddress, SerialNumber};
use schema::rule_set::Servable;
use schema::version::FirmwareVersion;
use std::sync::Arc;
use std::time::Duration;
use sync::blobs::{BlobError, StoredFile};

/// Audit files that are searched for a phone's last request, newest first: some days of a busy node.
const SEARCH_LIMIT_FILES: usize = 60;

/// How long the store's audit files may take: a share that hangs says nothing at all.
const STORE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, ApiError> {
    let snapshot = snapshot(&admin, query.pool.as_deref()).await?;
    let known = match (&query.mac, &query.serial) {
        (None, None) => None,
        (mac, serial) => last_request(&admin, mac.as_deref(), serial.as_deref()).await?,
    };
    let request = request(&query, known.as_ref())?;
    let decision = decide(&request, &snapshot.rules, &snapshot.servable);
    let offers = decision.modules.iter().filter_map(|module| module.offer.as_ref());
    Ok(Json(Explanation {
        text: paragraph(&request, &decision, &snapshot.rules),
        reasons: decision.modules.iter().map(|module| module.reason.as_str().to_owned()).collect(),
        offered: offers.map(|update| update.version().to_string()).collect(),
        last_asked: known.map(|record| record.logged_at.to_string()),
    }))
}

/// This node's snapshot; of another pool what the store says, as if its nodes held every file.
async fn snapshot(admin: &Admin, pool: Option<&str>) -> Result<Arc<Snapshot>, ApiError> {
    let other = match pool {
        Some(pool) => super::pools::find(admin, pool).await?.fqdn,
        None => admin.pool.fqdn.clone(),
    };
    if other == admin.pool.fqdn {
        let loaded = admin.plane.snapshot.load_full();
        return loaded.ok_or_else(|| {
            ApiError::refused("this node has no rules yet: the Central Management store has not answered")
        });
    }
    // As many rows as the snapshot loop loads, in the time that it may take.
    schema::store::end_budget();
    let rules = admin.database.load_rule_set(&other).await?;
    let servable = Arc::new(Servable::new(rules.files().map(AsRef::as_ref)));
    Ok(Arc::new(Snapshot { rules: Arc::new(rules), servable }))
}

/// The request of the phone asked about: what the query leaves out is taken from the phone's last request.
fn request(query: &ExplainQuery, known: Option<&AuditRecord>) -> Result<UpdateRequest, ApiError> {
    let field = |given: &Option<String>, known: Option<&String>, what: &str| match given.as_ref().or(known) {
        Some(text) => Ok(text.clone()),
        None if query.mac.is_some() || query.serial.is_some() => Err(ApiError::not_found(format!(
            "no request of this phone is in the audit log (one is found there after some seconds), so say what it is: {what} is missing; --brand, --model, --revision, --locale and --version describe a phone"
        ))),
        None => Err(ApiError::invalid(format!(
            "{what} is missing: --brand, --model, --revision, --locale and --version describe a phone; --mac or --serial is enough for one that asked before"
        ))),
    };
    let modules = match (&query.version, known) {
        (None, Some(record)) if query.file.is_none() => record
            .requested
            .iter()
            .map(|module| Module {
                file_name: module.file_name.clone(),
                version: module.version,
                time_stamp: module.time_stamp,
            })
            .collect(),
        (version, _) => vec![Module {
            file_name: query.file.clone().unwrap_or_else(|| "CPE.nbt".to_owned()),
            version: FirmwareVersion::parse(&field(version, None, "the installed version")?)?,
            time_stamp: None,
        }],
    };
    let given = |given: &Option<String>, known: Option<&String>, default: &str| {
        given.as_ref().or(known).map_or_else(|| default.to_owned(), String::clone)
    };
    Ok(UpdateRequest {
        device_type: given(&query.device_type, known.map(|record| &record.device_type), "UCPhone"),
        mac: query.mac.clone().or(known.map(|record| record.mac.clone())).unwrap_or_default(),
        serial: query.serial.clone().or(known.map(|record| record.serial.clone())).unwrap_or_default(),
        vendor: field(&query.brand, known.map(|record| &record.vendor), "the brand")?,
        model: field(&query.model, known.map(|record| &record.model), "the model")?,
        revision: field(&query.revision, known.map(|record| &record.revision), "the revision")?,
        locale: field(&query.locale, known.map(|record| &record.locale), "the locale")?,
        user: known.map(|record| record.user.clone()).unwrap_or_default(),
        request_date_time: None,
        modules,
    })
}

/// The last request of the phone with this MAC address or serial number, of any node of the pool: first this node's
/// spool, then the store.
async fn last_request(admin: &Admin, mac: Option<&str>, serial: Option<&str>) -> Result<Option<AuditRecord>, ApiError> {
    let mac = mac.map(MacAddress::parse).transpose()?;
    let serial = serial.map(SerialNumber::parse).transpose()?;
    let is_the_phone = move |record: &AuditRecord| {
        let same_mac = mac.is_none() || MacAddress::parse(&record.mac).ok() == mac;
        same_mac && (serial.is_none() || SerialNumber::parse(&record.serial).ok() == serial)
    };
    let mut latest: Option<AuditRecord> = None;
    let mut look = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let records = text.lines().filter_map(|line| AuditRecord::parse(line).ok());
        for record in records.filter(|record| is_the_phone(record)) {
            if latest.as_ref().is_none_or(|latest| latest.logged_at <= record.logged_at) {
                latest = Some(record);
            }
        }
    };
    let spool = Arc::clone(&admin.audit_spool);
    let read_spool = move || -> std::io::Result<Vec<Vec<u8>>> {
        let files = spool.files()?;
        files.iter().rev().take(SEARCH_LIMIT_FILES).map(crate::audit_log::SpooledFile::read_whole_lines).collect()
    };
    let spooled = tokio::task::spawn_blocking(read_spool).await.map_err(|error| ApiError::internal(&error))?;
    spooled.map_err(|error| ApiError::internal(&error))?.iter().for_each(|text| look(text));
    let looked = tokio::time::timeout(STORE_LIMIT, look_into_the_store(admin, &mut look)).await;
    if let Ok(Err(error)) = &looked {
        tracing::warn!(%error, "a phone is looked for in this node's own audit files alone");
    }
    if looked.is_err() {
        tracing::warn!("the file store does not answer: a phone is looked for in what was read of it until then");
        if latest.is_none() {
            return Err(ApiError::unavailable(
                "the file store does not answer in time, and this node's own audit files do not have this phone: say what \
                 it is (brand, model, revision, locale and version make an imagined phone), or try again later",
            ));
        }
    }
    Ok(latest)
}

async fn look_into_the_store(admin: &Admin, look: &mut (impl FnMut(&[u8]) + Send)) -> Result<(), BlobError> {
    let service = &admin.pool.service_id;
    let stored = admin.blobs.logs(service).await?;
    let name = |file: &StoredFile| AuditFileName::parse(file.path.rsplit('/').next().unwrap_or_default()).ok();
    let mut names: Vec<AuditFileName> = stored.iter().filter_map(name).collect();
    names.sort_by_key(|name| std::cmp::Reverse((name.day, name.part)));
    for name in names.iter().take(SEARCH_LIMIT_FILES) {
        look(&admin.blobs.audit_log(service, &name.to_string()).await?.unwrap_or_default());
    }
    Ok(())
}
