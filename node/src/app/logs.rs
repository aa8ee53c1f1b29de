//! The logs of phones' requests of a node: opened together, and each written and shipped by tasks of its own.

use super::folders::Folders;
use super::{RunningNode, shipping};
use crate::access_log::{self, AccessLog, AccessWriter};
use crate::audit_log::{self, AuditLog, AuditWriter};
use crate::config::Config;
use crate::request_log::{LogLimits, LogLine, LogWriter, SpoolLimits};
use anyhow::Context as _;
use std::sync::Arc;
use sync::clock::Clock;

/// The handles, and the writers behind them.
pub(super) struct Logs {
    pub(super) audit_log: AuditLog,
    /// None where it is switched off.
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) writers: Writers,
}

/// What writes them.
pub(super) struct Writers {
    pub(super) audit: AuditWriter,
    access: Option<AccessWriter>,
}

impl Logs {
    /// Opens their spools. What a crash left torn there is mended.
    pub(super) fn open(config: &Config, folders: &Folders, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let node = &config.node.name;
        let (audit_log, audit) = audit_log::open(&folders.audit_spool, node.clone(), audit_limits(config))
            .with_context(|| format!("opening the audit spool {}", folders.audit_spool.display()))?;
        let mut logs = Self { audit_log, access_log: None, writers: Writers { audit, access: None } };
        if config.access_log.enabled {
            let (limits, clock) = (access_limits(config), Arc::clone(clock));
            let (access_log, access) = access_log::open(&folders.access_spool, node.clone(), limits, clock)
                .with_context(|| format!("opening the access spool {}", folders.access_spool.display()))?;
            logs.access_log = Some(Arc::new(access_log));
            logs.writers.access = Some(access);
        }
        Ok(logs)
    }
}

impl Writers {
    /// Starts what writes and ships.
    pub(super) fn run(self, node: &RunningNode) {
        run_one(self.audit, node);
        if let Some(access) = self.access {
            run_one(access, node);
        }
    }
}

fn run_one<R: LogLine>(writer: LogWriter<R>, node: &RunningNode) {
    let (spool, plane, admin) = (writer.spool(), Arc::clone(&node.admin.plane), Arc::clone(&node.admin));
    node.writing.spawn(|stop| writer.run(plane, stop));
    node.shipping.spawn(|stop| shipping::run(admin, spool, stop));
}

fn audit_limits(config: &Config) -> LogLimits {
    let settings = &config.audit;
    let spool = SpoolLimits { most_bytes: settings.most_spool_bytes };
    LogLimits { most_lines: settings.most_waiting_lines, most_bytes: settings.most_waiting_bytes, spool }
}

fn access_limits(config: &Config) -> LogLimits {
    let settings = &config.access_log;
    let spool = SpoolLimits { most_bytes: settings.most_spool_bytes };
    LogLimits { most_lines: settings.most_waiting_lines, most_bytes: settings.most_waiting_bytes, spool }
}
