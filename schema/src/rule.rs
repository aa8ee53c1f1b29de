//! The device update rule and its whole life (PROTOCOL.md 6, rows S01 to S14): pending, approved, restore version.
//! A state that may not exist cannot be built. What a phone is told is not here; that is the node's `decide`.

use crate::device::{DeviceKey, Name};
use crate::topology::PoolFqdn;
use crate::version::FirmwareVersion;
use std::fmt;
use uuid::Uuid;
use wildmatch::WildMatch;

/// A device update rule of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The GUID of the rule (row R02).
    pub id: RuleId,
    /// The pool that the rule belongs to.
    pub pool: PoolFqdn,
    /// The devices it speaks of.
    pub key: DeviceKey,
    /// Its approved, pending and restore version.
    pub versions: RuleVersions,
}

/// The GUID of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub Uuid);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Rule {
    /// `Service:WebServer:<pool FQDN>/<GUID>` (row R01).
    pub fn identity(&self) -> String {
        format!("Service:WebServer:{}/{}", self.pool, self.id)
    }
}

/// The three versions of a rule. Held by construction: the restore version is set only beside another approved
/// version, and the pending version is never the approved one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleVersions {
    approved: Option<FirmwareVersion>,
    pending: Option<FirmwareVersion>,
    restore: Option<FirmwareVersion>,
}

/// Three versions that no rule may have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rule may not have this combination of approved, pending and restore version")]
pub struct IllegalVersions;

/// What an administrator does to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// A package with this version was imported.
    Import(FirmwareVersion),
    /// Approve the pending version.
    Approve,
    /// Reject the pending version.
    Reset,
    /// Go back to the restore version.
    Restore,
    /// Go back to no approved version at all, when there is no restore version (ours: `--uninstall`).
    Uninstall,
}

/// Why an action was refused; the rule is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Approve without a pending version.
    #[error("nothing is pending, so there is nothing to approve")]
    NothingToApprove,
    /// Reset without a pending version.
    #[error("nothing is pending, so there is nothing to reject; use restore to take back an approved version")]
    NothingToReset,
    /// Restore of a rule that has no approved version.
    #[error("no version is approved, so there is nothing to go back from")]
    NothingApproved,
    /// Restore of a rule that keeps no earlier version.
    #[error(
        "no earlier version is kept (only one step back exists): import and approve the version wanted, or use --uninstall to approve none"
    )]
    NoRestoreVersion,
    /// Uninstall of a rule that has an earlier version to go back to.
    #[error("an earlier version is kept: use restore without --uninstall to go back to it")]
    RestoreVersionExists,
}

impl RuleVersions {
    /// The three versions as stored, checked.
    pub fn new(
        approved: Option<FirmwareVersion>,
        pending: Option<FirmwareVersion>,
        restore: Option<FirmwareVersion>,
    ) -> Result<Self, IllegalVersions> {
        let pending_is_approved = pending.is_some() && pending == approved;
        let restore_stands_alone = restore.is_some() && (approved.is_none() || restore == approved);
        if pending_is_approved || restore_stands_alone {
            return Err(IllegalVersions);
        }
        Ok(Self { approved, pending, restore })
    }

    /// What every phone of the rule's key gets.
    pub fn approved(self) -> Option<FirmwareVersion> {
        self.approved
    }

    /// What test devices get first.
    pub fn pending(self) -> Option<FirmwareVersion> {
        self.pending
    }

    /// What Restore goes back to.
    pub fn restore(self) -> Option<FirmwareVersion> {
        self.restore
    }

    /// The versions after `action`, or why it is refused.
    pub fn apply(self, action: RuleAction) -> Result<Self, Refusal> {
        match action {
            RuleAction::Import(version) => Ok(self.import(version)),
            RuleAction::Approve => self.approve(),
            RuleAction::Reset if self.pending.is_none() => Err(Refusal::NothingToReset),
            RuleAction::Reset => Ok(Self { pending: None, ..self }),
            RuleAction::Restore => self.go_back(),
            RuleAction::Uninstall => self.uninstall(),
        }
    }

    /// Same version as approved or pending already: nothing changes (PROTOCOL.md 6; I13).
    fn import(self, version: FirmwareVersion) -> Self {
        if self.approved == Some(version) { self } else { Self { pending: Some(version), ..self } }
    }

    fn approve(self) -> Result<Self, Refusal> {
        let Some(pending) = self.pending else { return Err(Refusal::NothingToApprove) };
        Ok(Self { approved: Some(pending), pending: None, restore: self.approved })
    }

    fn go_back(self) -> Result<Self, Refusal> {
        match (self.approved, self.restore) {
            (None, _) => Err(Refusal::NothingApproved),
            (Some(_), None) => Err(Refusal::NoRestoreVersion),
            (Some(_), Some(restore)) => Ok(self.with_approved(Some(restore))),
        }
    }

    fn uninstall(self) -> Result<Self, Refusal> {
        match (self.approved, self.restore) {
            (None, _) => Err(Refusal::NothingApproved),
            (Some(_), Some(_)) => Err(Refusal::RestoreVersionExists),
            (Some(_), None) => Ok(self.with_approved(None)),
        }
    }

    /// One step back and no further. A pending version that becomes the approved one is pending no more (ours).
    fn with_approved(self, approved: Option<FirmwareVersion>) -> Self {
        Self { approved, pending: self.pending.filter(|pending| Some(*pending) != approved), restore: None }
    }
}

/// Which rules a list or a bulk action is about (row S13). What is not given matches every rule; texts may hold `*`
/// and `?` and compare without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFilter {
    /// Against the identity (rows C02, R12), the bare GUID too.
    pub identity: Option<String>,
    /// Against the pool's FQDN.
    pub pool: Option<String>,
    /// Against the device type.
    pub device_type: Option<String>,
    /// Against the brand.
    pub brand: Option<String>,
    /// Against the model.
    pub model: Option<String>,
    /// Rules that have a version in this place.
    pub state: Option<RuleState>,
}

/// A place of a rule that holds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleState {
    /// A version waits for approval.
    Pending,
    /// A version is approved.
    Approved,
    /// A version is kept to go back to.
    Restorable,
    /// No version is pending or approved.
    Empty,
}

impl RuleFilter {
    /// Whether the rule is one of those asked for.
    pub fn matches(&self, rule: &Rule) -> bool {
        let text = |pattern: &Option<String>, value: &str| pattern.as_ref().is_none_or(|pattern| glob(pattern, value));
        let name = |pattern: &Option<String>, value: &Name| text(pattern, value.as_str());
        let identity = text(&self.identity, &rule.identity()) || text(&self.identity, &rule.id.to_string());
        identity
            && text(&self.pool, rule.pool.as_str())
            && name(&self.device_type, &rule.key.device_type)
            && name(&self.brand, &rule.key.brand)
            && name(&self.model, &rule.key.model)
            && self.state.is_none_or(|state| state.holds(rule.versions))
    }

    /// Whether nothing is asked for, so that every rule matches.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RuleState {
    fn holds(self, versions: RuleVersions) -> bool {
        match self {
            Self::Pending => versions.pending.is_some(),
            Self::Approved => versions.approved.is_some(),
            Self::Restorable => versions.restore.is_some(),
            Self::Empty => versions.pending.is_none() && versions.approved.is_none(),
        }
    }
}

/// Whether the value matches a pattern with `*` and `?`, without regard to case.
pub fn glob(pattern: &str, value: &str) -> bool {
    WildMatch::new_case_insensitive(pattern).matches(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(number: u32) -> FirmwareVersion {
        FirmwareVersion::new(number, 0, 0, 0)
    }

    fn versions(approved: u32, pending: u32, restore: u32) -> RuleVersions {
        let some = |number| (number > 0).then(|| version(number));
        RuleVersions::new(some(approved), some(pending), some(restore)).unwrap()
    }

    /// Every row of the table in PROTOCOL.md 6 that changes a rule; 0 stands for empty.
    #[test]
    fn every_action_has_the_effect_of_the_protocol() {
        use RuleAction::*;
        let cases = [
            ("S01 import, key unknown", (0, 0, 0), Import(version(1)), Ok((0, 1, 0))),
            ("S02 import, key known", (2, 3, 1), Import(version(4)), Ok((2, 4, 1))),
            ("I13 import of the approved version", (2, 3, 1), Import(version(2)), Ok((2, 3, 1))),
            ("I13 import of the pending version", (2, 3, 1), Import(version(3)), Ok((2, 3, 1))),
            ("S03 approve", (1, 2, 0), Approve, Ok((2, 0, 1))),
            ("S04 approve, first time", (0, 2, 0), Approve, Ok((2, 0, 0))),
            ("S05 approve, nothing pending", (1, 0, 0), Approve, Err(Refusal::NothingToApprove)),
            ("S06 reset", (2, 3, 1), Reset, Ok((2, 0, 1))),
            ("S07 reset, nothing pending", (2, 0, 1), Reset, Err(Refusal::NothingToReset)),
            ("S08 restore", (2, 3, 1), Restore, Ok((1, 3, 0))),
            ("restore to the pending version", (2, 1, 1), Restore, Ok((1, 0, 0))),
            ("S09 restore without a version to go back to", (2, 3, 0), Restore, Err(Refusal::NoRestoreVersion)),
            ("S09 restore --uninstall", (2, 3, 0), Uninstall, Ok((0, 3, 0))),
            (
                "restore --uninstall with a version to go back to",
                (2, 0, 1),
                Uninstall,
                Err(Refusal::RestoreVersionExists),
            ),
            ("S10 restore, never approved", (0, 1, 0), Restore, Err(Refusal::NothingApproved)),
            ("restore --uninstall, never approved", (0, 1, 0), Uninstall, Err(Refusal::NothingApproved)),
        ];
        for (row, (approved, pending, restore), action, expected) in cases {
            let expected = expected.map(|(approved, pending, restore)| versions(approved, pending, restore));
            assert_eq!(versions(approved, pending, restore).apply(action), expected, "{row}");
        }
    }

    #[test]
    fn illegal_versions_cannot_be_built() {
        let [one, two] = [Some(version(1)), Some(version(2))];
        for (approved, pending, restore) in [(one, one, None), (None, None, one), (None, two, one), (one, two, one)] {
            assert_eq!(RuleVersions::new(approved, pending, restore), Err(IllegalVersions));
        }
    }

    #[test]
    fn a_filter_matches_with_wildcards_and_without_case() {
        let rule = Rule {
            id: RuleId(Uuid::from_u128(7)),
            pool: PoolFqdn::parse("pool01.contoso.com").unwrap(),
            key: "UCPhone/Polycom/CX600/A/ENU/CPE"
                .split('/')
                .map(|part| Name::parse(part).unwrap())
                .collect::<Vec<_>>()
                .try_into()
                .map(|[device_type, brand, model, revision, locale, update_type]: [Name; 6]| DeviceKey {
                    device_type,
                    brand,
                    model,
                    revision,
                    locale,
                    update_type,
                })
                .unwrap(),
            versions: versions(1, 2, 0),
        };
        let some = |text: &str| Some(text.to_owned());
        let matching = [
            RuleFilter::default(),
            RuleFilter { identity: some("service:webserver:POOL01*"), ..RuleFilter::default() },
            RuleFilter { identity: some("00000000-0000-0000-0000-000000000007"), ..RuleFilter::default() },
            RuleFilter { brand: some("poly*"), model: some("CX?00"), ..RuleFilter::default() },
            RuleFilter { state: Some(RuleState::Pending), ..RuleFilter::default() },
        ];
        let other = [
            RuleFilter { pool: some("pool02*"), ..RuleFilter::default() },
            RuleFilter { brand: some("Poly"), ..RuleFilter::default() },
            RuleFilter { state: Some(RuleState::Restorable), ..RuleFilter::default() },
            RuleFilter { brand: some("polycom"), state: Some(RuleState::Empty), ..RuleFilter::default() },
        ];
        assert!(matching.iter().all(|filter| filter.matches(&rule)));
        assert!(!other.iter().any(|filter| filter.matches(&rule)));
    }

    fn any_action() -> impl Strategy<Value = RuleAction> {
        prop_oneof![
            (1..5u32).prop_map(|number| RuleAction::Import(version(number))),
            Just(RuleAction::Approve),
            Just(RuleAction::Reset),
            Just(RuleAction::Restore),
            Just(RuleAction::Uninstall),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_of_actions_reaches_an_illegal_state(actions in proptest::collection::vec(any_action(), 0..40)) {
            let mut now = RuleVersions::default();
            for action in actions {
                now = now.apply(action).unwrap_or(now);
                prop_assert_eq!(RuleVersions::new(now.approved, now.pending, now.restore), Ok(now));
            }
        }

        #[test]
        fn approve_then_restore_brings_the_old_version_back(actions in proptest::collection::vec(any_action(), 0..40), next in 5..9u32) {
            let before = actions.into_iter().fold(RuleVersions::default(), |now, action| now.apply(action).unwrap_or(now));
            let approved = before.apply(RuleAction::Import(version(next))).and_then(|now| now.apply(RuleAction::Approve)).unwrap();
            let back = if before.approved.is_some() { RuleAction::Restore } else { RuleAction::Uninstall };
            prop_assert_eq!(approved.approved, Some(version(next)));
            prop_assert_eq!(approved.apply(back).map(RuleVersions::approved), Ok(before.approved));
        }
    }
}
