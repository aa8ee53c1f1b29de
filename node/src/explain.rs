//! What this phone would get, and why, in a paragraph that a person understands: for `ucupdates explain` and the panel.
//! It tells a [`Decision`] and decides nothing.

use crate::decide::{Decision, ModuleDecision, Reason};
use crate::wire::request::UpdateRequest;
use schema::device::{DeviceKey, MacAddress, Name, SerialNumber};
use schema::package::Update;
use schema::rule::RuleVersions;
use schema::rule_set::{RuleSet, SteppingStone};
use schema::version::FirmwareVersion;

/// The paragraph. It is made of the phone's words, too, but holds none of their control characters.
pub fn explain(request: &UpdateRequest, decision: &Decision, rules: &RuleSet) -> String {
    let phone = phone(request);
    let mut sentences = match &decision.modules[..] {
        [] => vec![format!("{phone} names no file that could be updated, so it is told that there is no update.")],
        [module] => vec![format!("{phone} reports {}.", reported(module))],
        modules => vec![format!("{phone} reports {} files.", modules.len())],
    };
    for module in &decision.modules {
        if decision.modules.len() > 1 {
            sentences.push(format!("It reports {}.", reported(module)));
        }
        sentences.extend(told(request, module, rules));
    }
    if decision.modules.iter().any(|module| module.versions.is_some()) {
        sentences.push(test_device(request, rules));
    }
    if decision.offers().next().is_some() {
        let when = "A phone asks at power-on, at each sign-in and every 24 hours, and installs when it is idle.";
        sentences.push(when.to_owned());
    }
    sentences.join(" ")
}

/// `The phone LG-Nortel IP8540 (UCPhone, revision A, ...)`
fn phone(request: &UpdateRequest) -> String {
    let list = |parts: &[(&str, &String)], joined: &str| {
        let said = parts.iter().filter(|(_, value)| !value.is_empty());
        said.map(|(title, value)| format!("{title}{}", plain(value))).collect::<Vec<_>>().join(joined)
    };
    let name = list(&[("", &request.vendor), ("", &request.model)], " ");
    let parts = [
        ("", &request.device_type),
        ("revision ", &request.revision),
        ("locale ", &request.locale),
        ("MAC address ", &request.mac),
        ("serial number ", &request.serial),
    ];
    match (name.is_empty(), list(&parts, ", ")) {
        (true, parts) if parts.is_empty() => "This phone".to_owned(),
        (true, parts) => format!("The phone without a name ({parts})"),
        (false, parts) if parts.is_empty() => format!("The phone {name}"),
        (false, parts) => format!("The phone {name} ({parts})"),
    }
}

fn reported(module: &ModuleDecision) -> String {
    let none = if module.installed.is_none() { ", which means that nothing is installed" } else { "" };
    format!("{} {}{none}", plain(&module.file_name), module.installed)
}

fn told(request: &UpdateRequest, module: &ModuleDecision, rules: &RuleSet) -> Vec<String> {
    let Some(key) = &module.key else { return vec![no_key(request, module)] };
    let Some(versions) = module.versions else {
        let pool = &rules.pool().fqdn;
        return vec![format!(
            "{pool} has no rule for {key}, so it is told that there is no update; import a package that is for it."
        )];
    };
    let mut sentences = vec![rule(versions, rules)];
    match module.target {
        None => sentences.push(not_approved(versions)),
        Some(target) => {
            sentences.push(aim(module, key, target, rules));
            sentences.extend(downgrade(module, target));
        }
    }
    sentences
}

/// Which of the request's values can't be part of a rule's key.
fn no_key(request: &UpdateRequest, module: &ModuleDecision) -> String {
    let values = [
        ("device type", &request.device_type),
        ("vendor", &request.vendor),
        ("model", &request.model),
        ("revision", &request.revision),
        ("locale", &request.locale),
        ("file name", &module.file_name),
    ];
    let wrong = values.iter().find(|(_, value)| Name::parse(value).is_err());
    let what = match wrong {
        Some((what, value)) if value.is_empty() => format!("It does not say its {what}"),
        Some((what, value)) => format!("Its {what}, {:?}, can't be part of a rule", plain(value)),
        None => "Its file name has no stem that could be an update type".to_owned(),
    };
    format!("{what}, so no rule can match and it is told that there is no update.")
}

fn rule(versions: RuleVersions, rules: &RuleSet) -> String {
    let pool = &rules.pool().fqdn;
    let has = match (versions.approved(), versions.pending()) {
        (Some(approved), Some(pending)) => format!("{approved} approved and {pending} pending"),
        (Some(approved), None) => format!("{approved} approved and nothing pending"),
        (None, Some(pending)) => format!("nothing approved and {pending} pending"),
        (None, None) => "nothing approved and nothing pending".to_owned(),
    };
    format!("The rule for it in {pool} has {has}.")
}

fn not_approved(versions: RuleVersions) -> String {
    match versions.pending() {
        Some(pending) => format!(
            "Only test devices get a pending version, so it is told that there is no update; approve {pending} and it is \
             offered."
        ),
        None => "So it is told that there is no update.".to_owned(),
    }
}

/// Which version it shall have, whether that is what it has, and what follows.
fn aim(module: &ModuleDecision, key: &DeviceKey, target: FirmwareVersion, rules: &RuleSet) -> String {
    let pending = module.versions.is_some_and(|versions| versions.pending() == Some(target));
    let place = match (pending, module.test_device) {
        (true, true) => "As a test device it shall have the pending version",
        (true, false) => "Its device type is served without approval, so it shall have the pending version",
        (false, _) => "It shall have the approved version",
    };
    let differs = "which differs from what it has";
    match (module.reason, &module.stepping_stone, &module.offer) {
        (Reason::UpToDate, ..) => {
            format!("{place}, which is the one it has, so it is told that there is no update.")
        }
        (Reason::Interim, Some(stone), Some(build)) => format!(
            "{place}, {differs}. Versions below {} must take the interim build {} first, so it is offered {} now: step \
             1 of {}.",
            stone.below,
            stone.via,
            offered(build, rules),
            steps(module, key, target, rules)
        ),
        (Reason::InterimMissing, Some(stone), _) => format!(
            "{place}, {differs}. Versions below {} must take the interim build {} first, and no imported package \
             brought it, so it is told that there is no update; import the package that has it.",
            stone.below, stone.via
        ),
        (Reason::NotReady, stone, _) => {
            format!("{place}, {differs}. {}", not_ready(stone.as_ref(), target, key, rules))
        }
        (_, _, Some(update)) => format!("{place}, {differs}, so it is offered {}.", offered(update, rules)),
        (reason, ..) => reason.sentence().to_owned(),
    }
}

fn downgrade(module: &ModuleDecision, target: FirmwareVersion) -> Option<String> {
    let sentence = "This is a downgrade: the version is older than the installed one, and the difference decides.";
    (target < module.installed).then(|| sentence.to_owned())
}

fn not_ready(stone: Option<&SteppingStone>, target: FirmwareVersion, key: &DeviceKey, rules: &RuleSet) -> String {
    let files = match stone {
        Some(stone) => format!(
            "{target} and of the interim build {}, which versions below {} must take first",
            stone.via, stone.below
        ),
        None => target.to_string(),
    };
    let stored = rules.device_update(key, target).is_some();
    let cure = if stored {
        "it is offered once they have arrived"
    } else {
        "they are not in the store; import the package again"
    };
    format!("But this node does not hold all files of {files}, so it is told that there is no update: {cure}.")
}

/// How many times the phone must install something to get to its target.
fn steps(module: &ModuleDecision, key: &DeviceKey, target: FirmwareVersion, rules: &RuleSet) -> usize {
    let next = |installed: &FirmwareVersion| rules.stepping_stone(key, *installed, target).map(|stone| stone.via);
    // A stone leads upwards; the store sees to it, and the bound makes it so whatever the store did.
    std::iter::successors(Some(module.installed), next).take(STEP_LIMIT).count()
}

/// Steps that are counted at most.
const STEP_LIMIT: usize = 20;

fn offered(update: &Update, rules: &RuleSet) -> String {
    let path = crate::wire::response::file_url(rules.pool().urls.internal_files.as_ref(), &update.image().path);
    format!("{} {} ({path})", update.image().name, update.version())
}

fn test_device(request: &UpdateRequest, rules: &RuleSet) -> String {
    let mac = MacAddress::parse(&request.mac).ok();
    let serial = SerialNumber::parse(&request.serial).ok();
    let by_mac = rules.is_test_device(mac.as_ref(), None);
    let by_serial = rules.is_test_device(None, serial.as_ref());
    let site = &rules.pool().site;
    let lists = format!("global or of site {site}");
    match (by_mac, by_serial) {
        (true, true) => format!("It is a test device ({lists}) by its MAC address and by its serial number."),
        (true, false) => format!("It is a test device ({lists}) by its MAC address."),
        (false, true) => format!("It is a test device ({lists}) by its serial number."),
        (false, false) if mac.is_none() && serial.is_none() => {
            "It is no test device: it tells neither a MAC address nor a serial number that could be listed.".to_owned()
        }
        (false, false) => format!(
            "It is no test device: neither its MAC address nor its serial number is listed, globally or for site {site}."
        ),
    }
}

/// The phone's words, fit for a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "_")
}

#[cfg(test)]
mod tests;
