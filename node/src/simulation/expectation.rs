//! What a phone must be told, written from PROTOCOL.md 5 as a table, and never from `decide`: an oracle that reuses what
//! it checks agrees with its mistakes. Pure. A property compares the two over random worlds.

use crate::decide::Reason;
use crate::simulation::answer::{OfferedFile, Told};
use crate::simulation::model::{Model, ModelUpdate, Rule, Stone, fold, interim_key};
use crate::simulation::phone::{Identity, Installed, Phone};
use schema::device::MacAddress;
use schema::version::FirmwareVersion;
use std::sync::Arc;

/// What a phone must be told of one module, and the word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Of the closed list.
    pub reason: Reason,
    /// The update that it must be offered.
    pub update: Option<Arc<ModelUpdate>>,
}

/// What the model says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be: the reason of each module, first the one that sums them up.
    Right(Vec<Expected>),
    /// Nothing, where something must be offered. An overloaded service may do that.
    Withheld(String),
    /// Anything else.
    Wrong(String),
}

impl Expected {
    fn nothing(reason: Reason) -> Self {
        Self { reason, update: None }
    }
}

/// Row by row of the table in PROTOCOL.md 5.
pub fn expected(model: &Model, identity: &Identity, module: &Installed) -> Expected {
    let Identity { device_type, brand, model: name, revision, locale, .. } = identity;
    let key = fold(&[device_type, brand, name, revision, locale, module.stem()]);
    let Some(rule) = model.rules.get(&key) else { return Expected::nothing(Reason::NoRule) };
    let Some((target, reason)) = target(rule, is_test_device(model, identity), device_type) else {
        return Expected::nothing(Reason::NotApproved);
    };
    if module.version == target {
        return Expected::nothing(Reason::UpToDate);
    }
    let end = model.update(&key, target);
    let stones = model.stones.iter().filter(|stone| must_take(stone, identity, module.version, target));
    let Some(stone) = stones.min_by_key(|stone| stone.via) else {
        return offer_if(end, reason);
    };
    let interim = model.update(&interim_key(device_type, locale, module.stem()), stone.via);
    match interim.or_else(|| model.update(&key, stone.via)) {
        None => Expected::nothing(Reason::InterimMissing),
        Some(_) if end.is_none() => Expected::nothing(Reason::NotReady),
        interim => offer_if(interim, Reason::Interim),
    }
}

fn offer_if(update: Option<&Arc<ModelUpdate>>, reason: Reason) -> Expected {
    match update {
        Some(update) => Expected { reason, update: Some(Arc::clone(update)) },
        None => Expected::nothing(Reason::NotReady),
    }
}

fn target(rule: &Rule, test_device: bool, device_type: &str) -> Option<(FirmwareVersion, Reason)> {
    let round_table = device_type.eq_ignore_ascii_case("RoundTable");
    match (rule.pending, rule.approved) {
        (Some(pending), _) if test_device => Some((pending, Reason::OfferedTest)),
        (Some(pending), _) if round_table => Some((pending, Reason::OfferedUnapproved)),
        (_, Some(approved)) => Some((approved, Reason::Offered)),
        (_, None) => None,
    }
}

fn is_test_device(model: &Model, identity: &Identity) -> bool {
    let mac = MacAddress::parse(&identity.mac);
    mac.is_ok_and(|mac| model.test_macs.contains(&mac))
        || model.test_serials.contains(&identity.serial.trim().to_ascii_lowercase())
}

fn must_take(stone: &Stone, identity: &Identity, installed: FirmwareVersion, target: FirmwareVersion) -> bool {
    let same = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(has));
    stone.device_type.eq_ignore_ascii_case(&identity.device_type)
        && same(&stone.brand, &identity.brand)
        && same(&stone.model, &identity.model)
        && installed < stone.below
        && target > stone.via
        && installed != stone.via
}

/// Whether the phone was told what it must be told.
pub fn judge(model: &Model, phone: &Phone, told: &Told) -> Verdict {
    let Told::Files(files) = told else {
        return Verdict::Wrong("was refused, and must not be".to_owned());
    };
    let expected: Vec<Expected> =
        phone.modules.iter().map(|module| self::expected(model, &phone.identity, module)).collect();
    let offers: Vec<(&Expected, &ModelUpdate)> =
        expected.iter().filter_map(|expected| Some((expected, expected.update.as_deref()?))).collect();
    if files.is_empty() && !offers.is_empty() {
        return Verdict::Withheld(format!("was told of nothing, expected {}", list(&offers)));
    }
    if files.len() != offers.len() {
        return Verdict::Wrong(format!(
            "was told {}, expected {}",
            told_list(files),
            list_or_nothing(&offers, &expected)
        ));
    }
    match offers.iter().zip(files).find_map(|((_, update), file)| difference(update, file)) {
        Some(difference) => Verdict::Wrong(format!("was told {}: {difference}", told_list(files))),
        None => Verdict::Right(expected),
    }
}

fn list(offers: &[(&Expected, &ModelUpdate)]) -> String {
    let texts: Vec<String> = offers
        .iter()
        .map(|(expected, update)| format!("{} {} ({})", update.image.name, update.version, expected.reason.as_str()))
        .collect();
    texts.join(" and ")
}

fn list_or_nothing(offers: &[(&Expected, &ModelUpdate)], expected: &[Expected]) -> String {
    if offers.is_empty() {
        let reasons: Vec<&str> = expected.iter().map(|expected| expected.reason.as_str()).collect();
        return format!("nothing ({})", reasons.join(", "));
    }
    list(offers)
}

fn told_list(files: &[OfferedFile]) -> String {
    if files.is_empty() {
        return "nothing".to_owned();
    }
    let texts: Vec<String> = files.iter().map(|file| format!("{} {}", file.file_name, file.version)).collect();
    texts.join(" and ")
}

fn difference(update: &ModelUpdate, file: &OfferedFile) -> Option<String> {
    let signature = update.signature.as_ref().map_or("", |file| file.name.as_str());
    let version = [update.version, file.version].map(|version| version.to_string());
    let pairs = [
        ("FileName", update.image.name.as_str(), file.file_name.as_str()),
        ("Version", &version[0], &version[1]),
        ("SignatureFileName", signature, &file.signature_file_name),
        ("BaseURL", &update.base_url, &file.base_url),
        ("ExternalBaseURL", &update.external_base_url, &file.external_base_url),
    ];
    let (name, expected, told) = pairs.into_iter().find(|(_, expected, told)| expected != told)?;
    Some(format!("{name} is {told:?}, expected {expected:?}"))
}

#[cfg(test)]
mod tests;
