//! What a file's path in the cabinet says of it (PROTOCOL.md 7 and 8).

use schema::device::{DeviceKey, Name};
use schema::package::INTERIM_FOLDER;
use schema::version::FirmwareVersion;

/// A folder in the cabinet that says what its files are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `<DeviceType>/<Brand>/<Model>/<Revision>/<Locale>/<Version>/<UpdateType>`
    Device {
        /// What the devices are.
        key: DeviceKey,
        /// The version of what lies there.
        version: FirmwareVersion,
    },
    /// `OCInterim/<Locale>`
    Interim {
        /// `ENU`
        locale: Name,
    },
}

impl Place {
    /// The place of the file at this path (with `/`); `None` when the path says nothing.
    pub fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            [folder, locale, _] if folder.eq_ignore_ascii_case(INTERIM_FOLDER) => {
                Some(Self::Interim { locale: Name::parse(locale).ok()? })
            }
            [device_type, brand, model, revision, locale, version, update_type, _] => {
                let name = |text| Name::parse(text).ok();
                let key = DeviceKey {
                    device_type: name(device_type)?,
                    brand: name(brand)?,
                    model: name(model)?,
                    revision: name(revision)?,
                    locale: name(locale)?,
                    update_type: name(update_type)?,
                };
                Some(Self::Device { key, version: FirmwareVersion::parse(version).ok()? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_device_and_the_version() {
        let Some(Place::Device { key, version }) = Place::of("UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt")
        else {
            panic!("no place");
        };
        assert_eq!(key.to_string(), "UCPhone/LG-Nortel/IP8540/A/ENU/CPE");
        assert_eq!(version, FirmwareVersion::new(3, 5, 6907, 0));
        assert_eq!(Place::of("ocinterim/ENU/CPE.nbt"), Some(Place::Interim { locale: Name::parse("ENU").unwrap() }));
    }

    #[test]
    fn other_paths_say_nothing() {
        for path in [
            "CPE.nbt",
            "OCInterim/CPE.nbt",
            "OCInterim/ENU/1.0/CPE.nbt",
            "UCPhone/LG-Nortel/IP8540/A/ENU/latest/CPE/CPE.nbt",
            "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE.nbt",
            "x/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt",
            "UCPhone/LG-Nortel/ü/A/ENU/3.5.6907.0/CPE/CPE.nbt",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
