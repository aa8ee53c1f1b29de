//! How the snapshot stands: where it came from, when the Central Management store last confirmed it, and what is wrong with
//! that store. Written by the snapshot loop alone; read by `/ready`, the status and the metrics. Nothing is decided by it
//! but whether administrators are let in.

use super::failure::{Failure, Kind};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::sync::Arc;

/// Where the rules that phones are answered from came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// There are none yet.
    Nowhere,
    /// The node's own disk: since it started, the store has not confirmed them.
    Disk,
    /// The Central Management store, which has confirmed them since the node started.
    Database,
}

/// How the Central Management store stands towards this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// It has not been asked yet.
    Unasked,
    /// It answered when it was last asked.
    Answers,
    /// It cannot be reached, or does not answer in time.
    Silent {
        /// Since when.
        since: Timestamp,
        /// What is known of the cause.
        reason: String,
    },
    /// It answered last that it is not one that this node may use: another schema version, another place of the pool. It
    /// stays so while it is silent.
    Unusable {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
}

/// How things stand at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where the rules came from.
    pub source: Source,
    /// When the store last confirmed them.
    pub confirmed_at: Option<Timestamp>,
    /// The store.
    pub database: DatabaseState,
    /// Why the store's rules are refused, while the last good ones are used.
    pub refused: Option<String>,
}

/// The present standing; replaced as a whole.
#[derive(Debug)]
pub struct Standings(ArcSwap<Standing>);

impl Standings {
    /// That of a node that starts: it has nothing, and has not asked the store.
    pub fn at_start() -> Self {
        Self(ArcSwap::from_pointee(Standing {
            source: Source::Nowhere,
            confirmed_at: None,
            database: DatabaseState::Unasked,
            refused: None,
        }))
    }

    /// How things stand.
    pub fn now(&self) -> Arc<Standing> {
        self.0.load_full()
    }

    pub(super) fn set(&self, standing: Standing) {
        self.0.store(Arc::new(standing));
    }
}

impl Source {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nowhere => "none",
            Self::Disk => "disk",
            Self::Database => "database",
        }
    }
}

impl Standing {
    /// How things stand after an attempt to learn the rules.
    pub(super) fn after(&self, asked: Result<(), &Failure>, now: Timestamp) -> Self {
        let Err(failure) = asked else {
            let (source, confirmed_at) = (Source::Database, Some(now));
            return Self { source, confirmed_at, database: DatabaseState::Answers, refused: None };
        };
        let reason = failure.told.clone();
        let (database, refused) = match (failure.kind, &self.database) {
            (Kind::Silent, DatabaseState::Silent { since, .. }) => {
                (DatabaseState::Silent { since: *since, reason }, self.refused.clone())
            }
            // Silence mends nothing: what was wrong with it is, until it answers as it should.
            (Kind::Silent, DatabaseState::Unusable { .. }) => (self.database.clone(), None),
            (Kind::Silent, _) => (DatabaseState::Silent { since: now, reason }, self.refused.clone()),
            (Kind::Unusable, DatabaseState::Unusable { since, .. }) => {
                (DatabaseState::Unusable { since: *since, reason }, None)
            }
            (Kind::Unusable, _) => (DatabaseState::Unusable { since: now, reason }, None),
            (Kind::Refused, _) => (DatabaseState::Answers, Some(reason)),
        };
        Self { database, refused, ..self.clone() }
    }

    /// Whether somebody who reads the log should hear of the change.
    pub(super) fn differs_from(&self, before: &Self) -> bool {
        let kind = |standing: &Self| (std::mem::discriminant(&standing.database), standing.refused.is_some());
        kind(self) != kind(before)
    }

    /// Seconds since the store confirmed the rules; none when there are none.
    pub fn age_s(&self, now: Timestamp) -> Option<u64> {
        Some(u64::try_from(now.duration_since(self.confirmed_at?).as_secs()).unwrap_or(0))
    }

    /// The lines of `/ready`, for whoever asks: no cause, because that may name hosts and accounts.
    pub fn told(&self, generation: Option<i64>, now: Timestamp) -> String {
        let mut lines = match (generation, self.age_s(now)) {
            (Some(generation), Some(age_s)) => {
                let from = if self.source == Source::Disk { " from disk" } else { "" };
                let confirmed = "confirmed by the Central Management store";
                vec!["ready".to_owned(), format!("generation {generation}{from}, {confirmed} {age_s} s ago")]
            }
            _ => vec!["not ready".to_owned(), "no snapshot yet, neither from the store nor on disk".to_owned()],
        };
        match &self.database {
            DatabaseState::Unasked | DatabaseState::Answers => {}
            DatabaseState::Silent { since, .. } => {
                lines.push(format!("the Central Management store has not answered since {since:.0}"));
            }
            DatabaseState::Unusable { since, .. } => {
                lines.push(format!("the Central Management store cannot be used since {since:.0}"));
            }
        }
        if self.refused.is_some() {
            lines.push("the store's newest rules are refused; the last good ones are used".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// What an administrator has to mend; none when all is well.
    pub fn alarm(&self) -> Option<String> {
        match (&self.database, &self.refused) {
            (DatabaseState::Silent { since, reason }, _) => {
                Some(format!("the Central Management store has not answered since {since:.0}: {reason}"))
            }
            (DatabaseState::Unusable { reason, .. }, _) => {
                Some(format!("the Central Management store cannot be used: {reason}"))
            }
            (_, Some(refused)) => Some(format!("{refused} (the last good rules are used)")),
            (DatabaseState::Unasked | DatabaseState::Answers, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ready_tells_the_age_and_since_when_the_store_is_silent() {
        let mut standing = Standing {
            source: Source::Database,
            confirmed_at: Some(at("2026-01-05T12:00:00Z")),
            database: DatabaseState::Answers,
            refused: None,
        };
        let now = at("2026-01-05T13:00:05.9Z");
        assert_eq!(
            standing.told(Some(12), now),
            "ready\ngeneration 12, confirmed by the Central Management store 3605 s ago\n"
        );
        assert_eq!(standing.alarm(), None);
        standing.refused = Some("why".to_owned());
        standing.source = Source::Disk;
        let (since, reason) = (at("2026-01-05T12:00:05.123Z"), "host db.contoso.com".to_owned());
        standing.database = DatabaseState::Silent { since, reason };
        insta::assert_snapshot!(standing.told(Some(12), now), @r"
        ready
        generation 12 from disk, confirmed by the Central Management store 3605 s ago
        the Central Management store has not answered since 2026-01-05T12:00:05Z
        the store's newest rules are refused; the last good ones are used
        ");
        insta::assert_snapshot!(standing.alarm().unwrap(), @"the Central Management store has not answered since 2026-01-05T12:00:05Z: host db.contoso.com");
        // A clock that was put back.
        assert_eq!(standing.age_s(at("2026-01-05T11:00:00Z")), Some(0));
    }

    #[test]
    fn a_store_that_may_not_be_used_stays_so_while_it_is_silent() {
        let failure = |kind| Failure { kind, told: format!("{kind:?}"), cause: String::new() };
        let [first, second] = [at("2026-01-05T12:00:00Z"), at("2026-01-05T12:00:01Z")];
        let unusable = Standings::at_start().now().after(Err(&failure(Kind::Unusable)), first);
        let silent = unusable.after(Err(&failure(Kind::Silent)), second);
        let reason = "Unusable".to_owned();
        assert_eq!(silent.database, DatabaseState::Unusable { since: first, reason });
        assert_eq!(silent.after(Ok(()), second).database, DatabaseState::Answers);
    }

    #[test]
    fn without_a_snapshot_it_is_not_ready() {
        let (asked, later) = (at("2026-01-05T12:00:00Z"), at("2026-01-05T12:00:01Z"));
        let failure = Failure { kind: Kind::Silent, told: "why".to_owned(), cause: String::new() };
        let silent = Standings::at_start().now().after(Err(&failure), asked).after(Err(&failure), later);
        insta::assert_snapshot!(silent.told(None, later), @r"
        not ready
        no snapshot yet, neither from the store nor on disk
        the Central Management store has not answered since 2026-01-05T12:00:00Z
        ");
    }
}
