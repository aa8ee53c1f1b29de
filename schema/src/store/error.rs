//! The one error of the store: a variant is a reason that a caller can act on. Its message may be shown to an
//! administrator; the cause behind it may not.

use crate::rule_set::AbsurdRuleSet;
use tokio_postgres::error::SqlState;

/// Why the Central Management store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL is down, hung, starting, full or too slow: the same call may work later.
    #[error("the Central Management store cannot be reached or does not answer in time ({reason})")]
    Unavailable {
        /// What was waited for, in words.
        reason: String,
        /// The cause, for the log.
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    /// The program is older than the database, and does not work with it any more.
    #[error(
        "the database is at schema version {found}, which needs a program that knows {oldest_program}, but this one knows only \
         {known}: run the newer ucupdates that migrated it"
    )]
    NewerDatabase {
        /// The version that the database is at.
        found: u32,
        /// The version that the oldest program which works with it knows.
        oldest_program: u32,
        /// The newest version that the program knows.
        known: u32,
    },
    /// The database is older than the program, or empty.
    #[error("the database is at schema version {found}, but this program needs {known}: run ucupdates migrate")]
    OlderDatabase {
        /// The version that the database is at; 0 when it is empty.
        found: u32,
        /// The version that the program needs.
        known: u32,
    },
    /// What was named is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// What was to be made is there already.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// The change is not allowed; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The rules of a pool are more, or other, than a node can answer from.
    #[error("the rules in the Central Management store cannot be used: {0}")]
    Absurd(#[from] AbsurdRuleSet),
    /// The settings of the connection are wrong.
    #[error("database settings: {0}")]
    Settings(String),
    /// A defect of the program or of the data.
    #[error("the Central Management store failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// A limit in time that was reached while waiting for `what`.
    pub(crate) fn timeout(what: &str) -> Self {
        Self::Unavailable { reason: format!("no answer in time: {what}"), source: None }
    }

    /// A value in the database that is not one of the domain.
    pub(crate) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// The name of the constraint that the statement would have broken.
    pub(crate) fn constraint(error: &tokio_postgres::Error) -> Option<&str> {
        error.as_db_error().and_then(tokio_postgres::error::DbError::constraint)
    }
}

/// States of the server in which trying again later is the right answer.
const PASSING: [SqlState; 13] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::QUERY_CANCELED,
    SqlState::LOCK_NOT_AVAILABLE,
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::DISK_FULL,
    SqlState::OUT_OF_MEMORY,
    SqlState::READ_ONLY_SQL_TRANSACTION,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::DATABASE_DROPPED,
];

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if PASSING.contains(code) => {
                let reason = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
                Self::Unavailable { reason, source: Some(error) }
            }
            Some(_) => Self::Internal(Box::new(error)),
            // Without a code it never reached the server, or the connection broke on the way.
            None if error.is_closed() || is_io(&error) => {
                Self::Unavailable { reason: "the connection is broken".to_owned(), source: Some(error) }
            }
            None => Self::Internal(Box::new(error)),
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
