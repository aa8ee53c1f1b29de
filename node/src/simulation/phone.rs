//! A phone's life, as values: what it is, what it has installed, what it asks, and what it does with an answer. Pure:
//! time, sockets and the decision whether an answer is right are elsewhere.

use crate::simulation::answer::OfferedFile;
use quick_xml::escape::escape;
use schema::version::FirmwareVersion;

/// What a phone says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `UCPhone`, `RoundTable`
    pub device_type: String,
    /// The MAC address; may be empty.
    pub mac: String,
    /// The serial number; may be empty.
    pub serial: String,
    /// The vendor.
    pub brand: String,
    /// The model.
    pub model: String,
    /// The hardware revision.
    pub revision: String,
    /// Windows' three letters.
    pub locale: String,
}

/// A file that a phone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// `cpe.nbt`
    pub file_name: String,
    /// [`FirmwareVersion::NONE`] when nothing is installed.
    pub version: FirmwareVersion,
}

/// A simulated phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// What it says of itself.
    pub identity: Identity,
    /// What it has.
    pub modules: Vec<Installed>,
}

/// What a phone does after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Fetch these, install them, boot again.
    Update(Vec<OfferedFile>),
    /// Nothing, until the next day.
    Rest,
}

impl Installed {
    /// The part of the file name that rules are looked for by: `cpe` for `cpe.nbt`.
    pub fn stem(&self) -> &str {
        stem(&self.file_name)
    }
}

fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

impl Phone {
    /// The body of its request (PROTOCOL.md 3).
    pub fn request(&self) -> String {
        let Identity { device_type, mac, serial, brand, model, revision, locale } = &self.identity;
        let field = |name: &str, text: &str| format!("<{name}>{}</{name}>", escape(text));
        let modules: String = self.modules.iter().map(module).collect();
        [
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Request>".to_owned(),
            field("DeviceType", device_type),
            field("MacAddress", mac),
            field("SerialNumber", serial),
            field("Vendor", brand),
            field("Model", model),
            field("Revision", revision),
            field("Locale", locale),
            format!("<Modules>{modules}</Modules></Request>"),
        ]
        .concat()
    }

    /// What it does when it was told this.
    pub fn told(&self, offered: Vec<OfferedFile>) -> Next {
        if offered.is_empty() { Next::Rest } else { Next::Update(offered) }
    }

    /// The files are on it, and it has booted.
    pub fn install(&mut self, offered: &[OfferedFile]) {
        for offer in offered {
            let same = |module: &&mut Installed| module.stem().eq_ignore_ascii_case(stem(&offer.file_name));
            if let Some(module) = self.modules.iter_mut().find(same) {
                module.version = offer.version;
            }
        }
    }

    /// The phone and what it has, for people.
    pub fn describe(&self) -> String {
        let Identity { device_type, mac, serial, brand, model, revision, locale } = &self.identity;
        let modules: Vec<String> =
            self.modules.iter().map(|module| format!("{} {}", module.file_name, module.version)).collect();
        let name = match (mac.as_str(), serial.as_str()) {
            ("", "") => "a phone without MAC address and serial number".to_owned(),
            ("", serial) => format!("phone {serial}"),
            (mac, _) => format!("phone {mac}"),
        };
        format!("{name} ({device_type}/{brand}/{model}/{revision}/{locale} with {})", modules.join(" and "))
    }
}

/// The time stamp that means "none" goes with no version (PROTOCOL.md 3); any other is logged and never compared.
fn module(module: &Installed) -> String {
    let time_stamp = if module.version.is_none() { "1601-01-01T00:00:00" } else { "2008-12-16T04:43:58" };
    format!(
        "<Module><FileName>{}</FileName><Version>{}</Version><TimeStamp>{time_stamp}</TimeStamp></Module>",
        escape(&module.file_name),
        module.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> Phone {
        let text = str::to_owned;
        Phone {
            identity: Identity {
                device_type: text("UCPhone"),
                mac: text("0021630F207B"),
                serial: text("C185H001209"),
                brand: text("LG-Nortel"),
                model: text("IP8540 & more"),
                revision: text("A"),
                locale: text("ENU"),
            },
            modules: vec![Installed { file_name: text("cpe.nbt"), version: FirmwareVersion::NONE }],
        }
    }

    #[test]
    fn the_request_is_what_the_service_reads() {
        insta::assert_snapshot!(phone().request(), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <Request><DeviceType>UCPhone</DeviceType><MacAddress>0021630F207B</MacAddress><SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540 &amp; more</Model><Revision>A</Revision><Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>0.0.0.0</Version><TimeStamp>1601-01-01T00:00:00</TimeStamp></Module></Modules></Request>
        "#);
    }

    #[test]
    fn what_is_offered_is_fetched_and_then_had() {
        let mut phone = phone();
        assert_eq!(phone.told(vec![]), Next::Rest);
        let offer =
            OfferedFile { file_name: "CPE.nbt".into(), version: "2.0".parse().unwrap(), ..OfferedFile::default() };
        let Next::Update(files) = phone.told(vec![offer]) else { panic!("it rests") };
        phone.install(&files);
        assert_eq!(phone.modules[0].version.to_string(), "2.0.0.0");
        assert_eq!(phone.modules[0].file_name, "cpe.nbt");
    }
}
