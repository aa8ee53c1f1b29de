//! What a phone is told, and why (PROTOCOL.md 5). Pure: the same function answers phones, `ucupdates explain` and the
//! panel. How the answer is written, and who may ask, is not here.

mod reason;

pub use reason::Reason;

use crate::wire::request::{Module, UpdateRequest};
use schema::device::{DeviceKey, MacAddress, Name, SerialNumber};
use schema::package::{Update, UpdateTarget};
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSet, Servable, SteppingStone};
use schema::version::FirmwareVersion;
use std::sync::Arc;

/// What a phone is told: one decision for each module of its request, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The modules' decisions.
    pub modules: Vec<ModuleDecision>,
}

/// What a phone is told of one module, and what led there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleDecision {
    /// The module's file name, as the phone wrote it.
    pub file_name: String,
    /// What the phone has.
    pub installed: FirmwareVersion,
    /// The key that a rule was looked for by; nothing when the request's values can't be one.
    pub key: Option<DeviceKey>,
    /// The versions of the rule, if there is one.
    pub versions: Option<RuleVersions>,
    /// Whether the phone is a test device.
    pub test_device: bool,
    /// The version that the phone shall have in the end.
    pub target: Option<FirmwareVersion>,
    /// The build that it must take before.
    pub stepping_stone: Option<SteppingStone>,
    /// Why it is told what it is told.
    pub reason: Reason,
    /// What it is offered; set exactly when [`Reason::is_offer`].
    pub offer: Option<Arc<Update>>,
}

impl Decision {
    /// What is offered, module by module.
    pub fn offers(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.modules.iter().filter_map(|module| module.offer.as_ref())
    }

    /// One reason for the whole request: of its modules' reasons the one that stands first in the list, so that "up to
    /// date" never hides what there is to tell of another module (ours).
    pub fn reason(&self) -> Reason {
        self.modules.iter().map(|module| module.reason).min().unwrap_or(Reason::NoModule)
    }
}

/// Decides each module of the request on its own.
pub fn decide(request: &UpdateRequest, rules: &RuleSet, servable: &Servable) -> Decision {
    let mac = MacAddress::parse(&request.mac).ok();
    let serial = SerialNumber::parse(&request.serial).ok();
    let test_device = rules.is_test_device(mac.as_ref(), serial.as_ref());
    let modules = request.modules.iter();
    Decision { modules: modules.map(|module| decide_module(request, module, test_device, rules, servable)).collect() }
}

fn decide_module(
    request: &UpdateRequest,
    module: &Module,
    test_device: bool,
    rules: &RuleSet,
    servable: &Servable,
) -> ModuleDecision {
    let nothing = ModuleDecision {
        file_name: module.file_name.clone(),
        installed: module.version,
        key: key(request, module),
        versions: None,
        test_device,
        target: None,
        stepping_stone: None,
        reason: Reason::NoRule,
        offer: None,
    };
    let Some(key) = &nothing.key else { return nothing };
    let Some(versions) = rules.rule(key) else { return nothing };
    let Some((target, reason)) = target(key, versions, test_device) else {
        return ModuleDecision { versions: Some(versions), reason: Reason::NotApproved, ..nothing };
    };
    let (reason, stepping_stone, offer) = offer(key, module.version, target, reason, rules, servable);
    ModuleDecision { versions: Some(versions), target: Some(target), stepping_stone, reason, offer, ..nothing }
}

/// The key of the rule that speaks of the module. Exact but for case: a phone of an unknown revision or locale gets
/// nothing rather than another's firmware (row D06, ours).
fn key(request: &UpdateRequest, module: &Module) -> Option<DeviceKey> {
    let name = |text: &str| Name::parse(text).ok();
    Some(DeviceKey {
        device_type: name(&request.device_type)?,
        brand: name(&request.vendor)?,
        model: name(&request.model)?,
        revision: name(&request.revision)?,
        locale: name(&request.locale)?,
        update_type: name(name(&module.file_name)?.stem())?,
    })
}

/// The device type that is served without approval (PROTOCOL.md 5, row D12).
const ROUND_TABLE: &str = "RoundTable";

/// The version that the phone shall have, and the reason if it is not yet there.
fn target(key: &DeviceKey, versions: RuleVersions, test_device: bool) -> Option<(FirmwareVersion, Reason)> {
    let pending = if test_device {
        versions.pending().map(|pending| (pending, Reason::OfferedTest))
    } else if key.device_type.as_str().eq_ignore_ascii_case(ROUND_TABLE) {
        versions.pending().map(|pending| (pending, Reason::OfferedUnapproved))
    } else {
        None
    };
    pending.or_else(|| versions.approved().map(|approved| (approved, Reason::Offered)))
}

/// The update that takes the phone to its target, or on the way there. Difference decides, not "newer". A phone is
/// sent to a stepping stone only if the rest of the way is servable too (ours).
fn offer(
    key: &DeviceKey,
    installed: FirmwareVersion,
    target: FirmwareVersion,
    reason: Reason,
    rules: &RuleSet,
    servable: &Servable,
) -> (Reason, Option<SteppingStone>, Option<Arc<Update>>) {
    if installed == target {
        return (Reason::UpToDate, None, None);
    }
    let stone = rules.stepping_stone(key, installed, target).cloned();
    let held = |update: Option<&Arc<Update>>| update.filter(|update| servable.holds(update)).cloned();
    let end = held(rules.device_update(key, target));
    let Some(stone) = stone else {
        return if end.is_some() { (reason, None, end) } else { (Reason::NotReady, None, None) };
    };
    let Some(interim) = interim_build(key, &stone, rules) else {
        return (Reason::InterimMissing, Some(stone), None);
    };
    match end.and(held(Some(interim))) {
        Some(interim) => (Reason::Interim, Some(stone), Some(interim)),
        None => (Reason::NotReady, Some(stone), None),
    }
}

/// The interim build, or an ordinary update of the phone's own key with its version (ours).
fn interim_build<'a>(key: &DeviceKey, stone: &SteppingStone, rules: &'a RuleSet) -> Option<&'a Arc<Update>> {
    let interim = UpdateTarget::Interim {
        device_type: key.device_type.clone(),
        locale: key.locale.clone(),
        update_type: key.update_type.clone(),
    };
    let own = || rules.device_update(key, stone.via);
    rules.update(&interim, stone.via).or_else(own)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
