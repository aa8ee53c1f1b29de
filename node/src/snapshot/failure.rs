//! Why an attempt to learn the rules brought none.

use super::membership::MembershipError;
use crate::metrics::Load;
use schema::store::StoreError;

/// What has to become other before the next attempt can bring rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The store does not answer.
    Silent,
    /// The store answers, but is not one that this node may use.
    Unusable,
    /// The store's rules cannot be right.
    Refused,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// For administrators.
    pub(super) told: String,
    /// With everything behind it, for the log.
    pub(super) cause: String,
}

impl Failure {
    /// Rules that cannot be right.
    pub(super) fn refused(told: String) -> Self {
        Self { kind: Kind::Refused, cause: told.clone(), told }
    }

    pub(super) fn counted_as(&self) -> Load {
        match self.kind {
            Kind::Silent => Load::Unavailable,
            Kind::Unusable | Kind::Refused => Load::Refused,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Unavailable { .. } => Kind::Silent,
            StoreError::NewerDatabase { .. } | StoreError::OlderDatabase { .. } => Kind::Unusable,
            _ => Kind::Refused,
        };
        let told = error.to_string();
        Self { kind, told, cause: format!("{:#}", anyhow::Error::new(error)) }
    }
}

impl From<MembershipError> for Failure {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Store(error) => error.into(),
            MembershipError::OtherPlace { .. } | MembershipError::NameTaken { .. } => {
                let told = error.to_string();
                Self { kind: Kind::Unusable, cause: told.clone(), told }
            }
        }
    }
}
