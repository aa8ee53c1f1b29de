//! Bodies about device update rules. Texts only; what may happen to a rule is `schema::rule`.

use schema::rule::{Rule, RuleFilter, RuleState, RuleVersions};
use schema::version::FirmwareVersion;
use serde::{Deserialize, Serialize};

/// A device update rule (rows R01 to R11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleBody {
    /// `Service:WebServer:<pool FQDN>/<GUID>`
    pub identity: String,
    /// The GUID.
    pub id: String,
    /// The pool's FQDN.
    pub pool: String,
    /// `UCPhone`, `RoundTable`, ...
    pub device_type: String,
    /// The vendor.
    pub brand: String,
    /// The model.
    pub model: String,
    /// The hardware revision.
    pub revision: String,
    /// Windows' three letters.
    pub locale: String,
    /// The stem of the image's file name.
    pub update_type: String,
    /// What every phone gets.
    pub approved_version: Option<String>,
    /// What test devices get first.
    pub pending_version: Option<String>,
    /// What Restore goes back to.
    pub restore_version: Option<String>,
}

impl RuleBody {
    /// The rule as it is.
    pub fn new(rule: &Rule) -> Self {
        Self::with_versions(rule, rule.versions)
    }

    /// The rule with other versions.
    pub fn with_versions(rule: &Rule, versions: RuleVersions) -> Self {
        let text = |version: Option<FirmwareVersion>| version.map(|version| version.to_string());
        Self {
            identity: rule.identity(),
            id: rule.id.to_string(),
            pool: rule.pool.to_string(),
            device_type: rule.key.device_type.to_string(),
            brand: rule.key.brand.to_string(),
            model: rule.key.model.to_string(),
            revision: rule.key.revision.to_string(),
            locale: rule.key.locale.to_string(),
            update_type: rule.key.update_type.to_string(),
            approved_version: text(versions.approved()),
            pending_version: text(versions.pending()),
            restore_version: text(versions.restore()),
        }
    }
}

/// Which rules: the query of `GET /rules`, and part of a [`RuleSelection`]. `*` and `?` are wildcards; case is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFilterBody {
    /// Against the identity or the bare GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Against the pool's FQDN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Against the device type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Against the brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Against the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Rules that hold a version in this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RuleStateBody>,
}

/// A place of a rule that holds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RuleStateBody {
    /// A version waits for approval.
    Pending,
    /// A version is approved.
    Approved,
    /// A version is kept to go back to.
    Restorable,
    /// No version is pending or approved.
    Empty,
}

impl From<RuleFilterBody> for RuleFilter {
    fn from(body: RuleFilterBody) -> Self {
        let state = body.state.map(|state| match state {
            RuleStateBody::Pending => RuleState::Pending,
            RuleStateBody::Approved => RuleState::Approved,
            RuleStateBody::Restorable => RuleState::Restorable,
            RuleStateBody::Empty => RuleState::Empty,
        });
        Self {
            identity: body.identity,
            pool: body.pool,
            device_type: body.device_type,
            brand: body.brand,
            model: body.model,
            state,
        }
    }
}

/// `POST /rules/approve`, `/reset`, `/restore`, `/remove`: what to act on. Ids or a filter; every rule only by `all`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSelection {
    /// GUIDs or identities of rules.
    pub ids: Vec<String>,
    /// The rules that match.
    pub filter: Option<RuleFilterBody>,
    /// Every rule of every pool: must be said, so that an empty filter never means it.
    pub all: bool,
    /// Tell what would happen and change nothing.
    pub dry_run: bool,
    /// Restore only: approve no version where no earlier one is kept (ours).
    pub uninstall: bool,
}

/// What became of each selected rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Whether nothing was changed on purpose.
    pub dry_run: bool,
    /// One for each selected rule.
    pub results: Vec<RuleResult>,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleResult {
    /// The rule before.
    pub before: RuleBody,
    /// The rule after; none when it was refused or removed.
    pub after: Option<RuleBody>,
    /// Why nothing changed.
    pub refused: Option<String>,
}
