//! The device update configuration: how logs are cached, rolled, kept and accepted (PROTOCOL.md 6, rows G01 to G12).
//! A configuration outside its limits cannot be built.

use crate::ParseError;
use jiff::civil::Time;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The smallest cache limit and file size in bytes (ours: the original states none, and a file must hold its header
/// and some lines).
pub const MIN_LOG_SIZE_BYTES: u32 = 4096;

/// Extensions, or types, that a list holds at most (ours).
const LIST_LIMIT: usize = 100;

/// The settings of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUpdateConfiguration {
    /// Age at which a log file is deleted: 1 to 365 days.
    pub log_clean_up_interval: Duration,
    /// Time of day (UTC) of the clean-up; not set means [`DEFAULT_CLEAN_UP_TIME`] (G03, ours).
    pub log_clean_up_time_of_day: Option<Time>,
    /// How often the log cache is written out: 1 minute to 1 hour.
    pub log_flush_interval: Duration,
    /// Cache size in bytes that forces a flush before the interval.
    pub max_log_cache_limit_bytes: u32,
    /// File size in bytes at which the next batch goes to a new file.
    pub max_log_file_size_bytes: u32,
    /// Extensions of device logs that are accepted: each starts with a dot; compared without regard to case.
    pub valid_log_file_extensions: Vec<String>,
    /// Types of device logs that are accepted, compared without regard to case.
    pub valid_log_file_types: Vec<String>,
}

/// When logs are cleaned up while no time of day is set (ours).
pub const DEFAULT_CLEAN_UP_TIME: Time = Time::constant(2, 0, 0, 0);

impl Default for DeviceUpdateConfiguration {
    fn default() -> Self {
        let extensions =
            [".dmp", ".clg", ".clg1", ".clg2", ".bak", ".kdmp", ".dat", ".bin", ".cat", ".xml", ".txt", ".hex"];
        Self {
            log_clean_up_interval: 10 * DAY,
            log_clean_up_time_of_day: None,
            log_flush_interval: Duration::from_secs(5 * 60),
            max_log_cache_limit_bytes: 512_000,
            max_log_file_size_bytes: 1_024_000,
            valid_log_file_extensions: extensions.map(str::to_owned).to_vec(),
            valid_log_file_types: ["Watson", "Config", "Diaglog", "CELog"].map(str::to_owned).to_vec(),
        }
    }
}

/// A setting outside its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// G01
    #[error("LogCleanUpInterval must be 1 to 365 days")]
    CleanUpInterval,
    /// G04
    #[error("LogFlushInterval must be 1 minute to 1 hour")]
    FlushInterval,
    /// G05
    #[error("MaxLogCacheLimit must be at least {MIN_LOG_SIZE_BYTES} bytes")]
    CacheLimit,
    /// G06
    #[error("MaxLogFileSize must be at least {MIN_LOG_SIZE_BYTES} bytes")]
    FileSize,
    /// G07
    #[error("ValidLogFileExtensions: {0:?} is not an extension such as .clg")]
    Extension(String),
    /// G08
    #[error("ValidLogFileTypes: {0:?} is not a type such as CELog: letters and digits, 32 at most")]
    Type(String),
    /// G07, G08
    #[error("a list of extensions or types holds {LIST_LIMIT} entries at most")]
    ListLength,
}

impl DeviceUpdateConfiguration {
    /// The configuration itself when every setting is inside its limits.
    pub fn checked(self) -> Result<Self, ConfigurationError> {
        let word = |text: &str| {
            (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let extension = |text: &str| text.strip_prefix('.').is_some_and(word);
        let (extensions, types) = (&self.valid_log_file_extensions, &self.valid_log_file_types);
        if !(DAY..=365 * DAY).contains(&self.log_clean_up_interval) {
            return Err(ConfigurationError::CleanUpInterval);
        }
        if !(Duration::from_secs(60)..=Duration::from_secs(3600)).contains(&self.log_flush_interval) {
            return Err(ConfigurationError::FlushInterval);
        }
        if self.max_log_cache_limit_bytes < MIN_LOG_SIZE_BYTES {
            return Err(ConfigurationError::CacheLimit);
        }
        if self.max_log_file_size_bytes < MIN_LOG_SIZE_BYTES {
            return Err(ConfigurationError::FileSize);
        }
        if extensions.len() > LIST_LIMIT || types.len() > LIST_LIMIT {
            return Err(ConfigurationError::ListLength);
        }
        if let Some(wrong) = extensions.iter().find(|text| !extension(text)) {
            return Err(ConfigurationError::Extension(wrong.clone()));
        }
        if let Some(wrong) = types.iter().find(|text| !word(text)) {
            return Err(ConfigurationError::Type(wrong.clone()));
        }
        Ok(self)
    }

    /// The time of day (UTC) at which logs are cleaned up.
    pub fn clean_up_time(&self) -> Time {
        self.log_clean_up_time_of_day.unwrap_or(DEFAULT_CLEAN_UP_TIME)
    }
}

/// A change of a list setting: `@{Add=...}`, `@{Remove=...}`, `@{Replace=...}` of the original (rows G07, G08).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListChange {
    /// The whole list anew.
    pub replace: Option<Vec<String>>,
    /// Entries to add; those already there stay as they are.
    pub add: Vec<String>,
    /// Entries to take out; those not there are ignored.
    pub remove: Vec<String>,
}

impl ListChange {
    /// The list after the change: replaced first, then added to, then removed from.
    pub fn apply(&self, list: &[String]) -> Vec<String> {
        let mut changed: Vec<String> = Vec::new();
        let start = self.replace.as_deref().unwrap_or(list);
        for entry in start.iter().chain(&self.add) {
            if !changed.iter().any(|known| known.eq_ignore_ascii_case(entry)) {
                changed.push(entry.clone());
            }
        }
        changed.retain(|entry| !self.remove.iter().any(|removed| removed.eq_ignore_ascii_case(entry)));
        changed
    }
}

/// Reads a TimeSpan as the cmdlets write it: `dd.hh:mm:ss`, `hh:mm:ss`, or a bare number of days (row G01).
pub fn parse_time_span(text: &str) -> Result<Duration, ParseError> {
    let error = || ParseError::new("time span", text, "dd.hh:mm:ss, hh:mm:ss, or a number of days");
    let number = |part: &str, below: u64| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|number| digits && *number < below).ok_or_else(error)
    };
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) => (number(days, 10_000)?, Some(clock)),
        None if text.contains(':') => (0, Some(text)),
        None => (number(text, 10_000)?, None),
    };
    let mut seconds = days * DAY.as_secs();
    if let Some(clock) = clock {
        let [hours, minutes, rest] = clock.split(':').collect::<Vec<_>>()[..] else { return Err(error()) };
        seconds += number(hours, 24)? * 3600 + number(minutes, 60)? * 60 + number(rest, 60)?;
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes a TimeSpan as the cmdlets do: `10.00:00:00`, `00:05:00`.
pub fn format_time_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let clock = format!("{hours:02}:{minutes:02}:{rest:02}");
    if days > 0 { format!("{days}.{clock}") } else { clock }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_original_and_inside_the_limits() {
        let defaults = DeviceUpdateConfiguration::default();
        assert_eq!(format_time_span(defaults.log_clean_up_interval), "10.00:00:00");
        assert_eq!(format_time_span(defaults.log_flush_interval), "00:05:00");
        assert_eq!(defaults.clone().checked(), Ok(defaults));
    }

    #[test]
    fn every_setting_has_its_limits() {
        let with = |change: fn(&mut DeviceUpdateConfiguration)| {
            let mut settings = DeviceUpdateConfiguration::default();
            change(&mut settings);
            settings.checked().err()
        };
        assert_eq!(with(|s| s.log_clean_up_interval = DAY), None);
        assert_eq!(with(|s| s.log_clean_up_interval = 365 * DAY), None);
        assert_eq!(with(|s| s.log_clean_up_interval = DAY / 2), Some(ConfigurationError::CleanUpInterval));
        assert_eq!(with(|s| s.log_clean_up_interval = 366 * DAY), Some(ConfigurationError::CleanUpInterval));
        assert_eq!(with(|s| s.log_flush_interval = Duration::from_secs(59)), Some(ConfigurationError::FlushInterval));
        assert_eq!(with(|s| s.log_flush_interval = Duration::from_secs(3601)), Some(ConfigurationError::FlushInterval));
        assert_eq!(with(|s| s.max_log_cache_limit_bytes = 1), Some(ConfigurationError::CacheLimit));
        assert_eq!(with(|s| s.max_log_file_size_bytes = 1), Some(ConfigurationError::FileSize));
        assert_eq!(
            with(|s| s.valid_log_file_extensions.push("clg".into())),
            Some(ConfigurationError::Extension("clg".into()))
        );
        assert_eq!(with(|s| s.valid_log_file_types.push("a/b".into())), Some(ConfigurationError::Type("a/b".into())));
    }

    #[test]
    fn time_spans_are_read_as_the_cmdlets_write_them() {
        for (text, seconds) in
            [("10.00:00:00", 864_000), ("10", 864_000), ("00:05:00", 300), ("1:00:00", 3600), ("1.02:03:04", 93_784)]
        {
            assert_eq!(parse_time_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "x", "1.5", "00:60:00", "24:00:00", "1:2", "-1", "99999", "1.00:00:00.5"] {
            assert!(parse_time_span(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lists_are_added_to_removed_from_and_replaced() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let change = ListChange { replace: None, add: list(&[".new", ".CLG"]), remove: list(&[".DMP"]) };
        assert_eq!(change.apply(&list(&[".dmp", ".clg"])), list(&[".clg", ".new"]));
        let change = ListChange { replace: Some(list(&[".a"])), ..ListChange::default() };
        assert_eq!(change.apply(&list(&[".dmp"])), list(&[".a"]));
    }
}
