//! Any bytes as an update request. What is read can be written so that it is read the same; what is refused makes a
//! well-formed answer; whatever was read fits on one line of the audit log.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use node::wire::dialect::Dialect;
use node::wire::request::{MODULE_LIMIT, UpdateRequest, VALUE_LIMIT_BYTES, parse_request};
use node::wire::response::render_error;
use node::wire::xml::{self, XmlError};
use schema::audit::{AuditModule, AuditRecord, COLUMNS};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

static DIALECT: LazyLock<Dialect> = LazyLock::new(Dialect::default);

fuzz_target!(|bytes: &[u8]| {
    match parse_request(&DIALECT, bytes) {
        Ok(request) => {
            check_limits(&request);
            let rendered = render(&request);
            let again = parse_request(&DIALECT, rendered.as_bytes());
            assert_eq!(again.as_ref(), Ok(&request), "{rendered}");
            check_line(request);
        }
        Err(error) => {
            let answer = render_error(&error.to_string());
            assert!(answer.len() < 8_000, "{answer}");
            assert_eq!(xml::walk(&answer, |_| Ok::<_, XmlError>(())), Ok(()), "{answer}");
        }
    }
});

fn values(request: &UpdateRequest) -> [(&'static str, &str); 8] {
    [
        ("DeviceType", &request.device_type),
        ("MacAddress", &request.mac),
        ("SerialNumber", &request.serial),
        ("Vendor", &request.vendor),
        ("Model", &request.model),
        ("Revision", &request.revision),
        ("Locale", &request.locale),
        ("UserID", &request.user),
    ]
}

fn check_limits(request: &UpdateRequest) {
    assert!(request.modules.len() <= MODULE_LIMIT);
    let names = request.modules.iter().map(|module| module.file_name.as_str());
    for value in values(request).map(|(_, value)| value).into_iter().chain(names) {
        assert!(value.len() <= VALUE_LIMIT_BYTES && value.trim() == value, "{value:?}");
    }
}

fn render(request: &UpdateRequest) -> String {
    let mut text = "<Request>".to_owned();
    for (name, value) in values(request) {
        write!(text, "<{name}>{}</{name}>", escaped(value)).expect("a string takes it");
    }
    if let Some(date) = request.request_date_time {
        write!(text, "<RequestDateTime>{date}</RequestDateTime>").expect("a string takes it");
    }
    for module in &request.modules {
        let (name, version) = (escaped(&module.file_name), module.version);
        let date = module.time_stamp.map_or(String::new(), |date| format!(" Date=\"{date}\""));
        write!(text, "<Module Name=\"{name}\" Version=\"{version}\"{date}/>").expect("a string takes it");
    }
    text + "</Request>"
}

fn escaped(value: &str) -> String {
    let escape = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("&#{};", u32::from(c)) };
    value.chars().map(escape).collect()
}

fn check_line(request: UpdateRequest) {
    let modules = request.modules.iter().map(|module| AuditModule {
        file_name: module.file_name.clone(),
        version: module.version,
        time_stamp: module.time_stamp,
    });
    let requested: Vec<AuditModule> = modules.collect();
    let record = AuditRecord {
        logged_at: Timestamp::UNIX_EPOCH,
        user: request.user,
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        device_type: request.device_type,
        request_date_time: request.request_date_time,
        mac: request.mac,
        serial: request.serial,
        vendor: request.vendor,
        model: request.model,
        revision: request.revision,
        locale: request.locale,
        requested,
        offered: Vec::new(),
    };
    let line = record.line();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let read = AuditRecord::parse(&line).unwrap_or_else(|error| panic!("{error}: {COLUMNS} columns: {line:?}"));
    assert_eq!(read.line(), line);
    assert_eq!(read.requested.len(), record.requested.len());
}
