//! Writes what the fuzzers start from: one small file of every kind, below `corpus/<target>/`.

use fuzz::cab::{CabBuilder, Packing};
use fuzz::lzx::{Block, Lzx};
use std::fs;
use std::path::Path;

fn main() {
    for (name, packing) in packings() {
        let few =
            CabBuilder::new().folder(packing.clone()).file("a.nbt", &[7; 300]).file("b.cat", b"x").reserve(2, 1, 3);
        seed("cabinet", name, &few.build().bytes);
        let two = CabBuilder::new().folder(packing.clone()).file("a.nbt", &text(40_000)).file("b\\c.nbt", b"");
        seed("cabinet", &format!("{name}-two"), &two.folder(Packing::MsZip).file("d", b"d").build().bytes);
        let update = updates(packing.clone());
        seed("package", name, &update);
        let nested = CabBuilder::new().folder(packing).file("UCUpdates.cab", &update).build().bytes;
        seed("package", &format!("{name}-nested"), &nested);
        seed("package", &format!("{name}-program"), &[b"MZ".to_vec(), vec![0; 60], nested].concat());
    }
    seed("update_info", "reference", DESCRIPTION.as_bytes());
    let other = DESCRIPTION.replace(" path=\"UCPhone\\Polycom\\CX600\\A\\ENU\\4.0.7577.4387\\CPE\"", "");
    seed("update_info", "without-path", other.as_bytes());
    seed("update_info", "paths", format!("\0\0\0{UPDATE}/CPE.nbt\n{UPDATE}/CPE.cat\nOCInterim/ENU/CPE.nbt").as_bytes());
    let utf16: Vec<u8> = format!("\u{feff}{DESCRIPTION}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    seed("update_info", "utf16", &utf16);
    seed("catalog", "two-members", &catalog());
    seed("request_xml", "reference", REQUEST.as_bytes());
    seed("request_xml", "attributes", ATTRIBUTES.as_bytes());
    let utf16: Vec<u8> = format!("\u{feff}{REQUEST}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    seed("request_xml", "utf16", &utf16);
    seed("audit_line", "real", LINE.as_bytes());
    seed("http_path", "file", format!("{UPDATE}/CPE.nbt bytes=0-1,-5").as_bytes());
    let snapshot = SNAPSHOT.replace("DIGEST", &"7".repeat(64));
    seed("snapshot_file", "content", snapshot.as_bytes());
    seed("snapshot_file", "newer", b"ucupdates-snapshot 2 0 x\n");
    #[cfg(feature = "node")]
    {
        let whole = node::snapshot::file::sealed(snapshot.as_bytes());
        node::snapshot::file::parse(&whole).expect("the seed is a snapshot");
        seed("snapshot_file", "whole", &whole);
    }
}

const UPDATE: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE";

const DESCRIPTION: &str = r#"<Updates><Updates><Update version="4.0.7577.4387" deviceType="UCPhone" brand="Polycom" model="CX600" revision="A" locale="ENU" updateType="CPE">
<File name="CPE.nbt" signature="CPE.cat" path="UCPhone\Polycom\CX600\A\ENU\4.0.7577.4387\CPE"/></Update></Updates></Updates>"#;

const REQUEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>
<RequestDateTime>2009-03-06T17:10:39</RequestDateTime><MacAddress>0021630F207B</MacAddress>
<SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540</Model><Revision>A</Revision>
<Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>1.0.522.34</Version>
<TimeStamp>2008-12-16T04:43:58</TimeStamp></Module></Modules></Request>"#;

const ATTRIBUTES: &str = r#"<s:Envelope xmlns:s="u"><s:Body><req DEVICETYPE="UCPhone" username="a@b"><clock
currenttime="2009-03-06 17:10:39Z"/><hw MAC="00-21-63-0F-20-7B" serial=" C1 " brand="LG" model="IP" locale="ENU"/>
<Files><file name="cpe.nbt" major="1" build="5"/><![CDATA[x]]><!-- n -->&#85;</Files></req></s:Body></s:Envelope>"#;

const LINE: &str = r#"03-06-2009 17:10:39,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:10:39,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,http://ocs.demo.local/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt;1.0.522.103;16-12-2008 04:43:58"#;

/// One of everything that a snapshot may hold.
const SNAPSHOT: &str = r#"{"taken_at":"2026-01-05T12:00:00.123456Z","generation":12,"last_event":34,"last_event_hash":"DIGEST",
"pool":{"fqdn":"pool01.demo.local","site":"Redmond","service_id":"1-WebServices-1","internal_update_url":null,
"external_update_url":null,"internal_files_url":"http://ocs.demo.local/DeviceUpdateFiles_Int","external_files_url":null},
"rules":[{"device":{"device_type":"UCPhone","brand":"LG-Nortel","model":"IP8540","revision":"A","locale":"ENU","update_type":"CPE"},
"approved":"1.0.522.34","pending":null,"restore":null}],
"updates":[{"target":{"device":{"device_type":"UCPhone","brand":"LG-Nortel","model":"IP8540","revision":"A","locale":"ENU","update_type":"CPE"}},
"version":"1.0.522.34","files":[{"name":"CPE.nbt","role":"image","sha256":"DIGEST","size_bytes":300,
"time_stamp":"2008-12-16T04:43:58","path":"UCPhone/LG-Nortel/IP8540/A/ENU/1.0.522.34/CPE/CPE.nbt"},
{"name":"CPE.cat","role":"signature","sha256":"DIGEST","size_bytes":1,"time_stamp":"2008-12-16T04:43:58",
"path":"UCPhone/LG-Nortel/IP8540/A/ENU/1.0.522.34/CPE/CPE.cat"}]},
{"target":{"interim":{"device_type":"UCPhone","locale":"ENU","update_type":"CPE"}},"version":"1.0.522.103",
"files":[{"name":"CPE.nbt","role":"image","sha256":"DIGEST","size_bytes":1,"time_stamp":"2008-12-16T04:43:58",
"path":"OCInterim/ENU/CPE.nbt"}]}],
"stepping_stones":[{"device_type":"UCPhone","brand":null,"model":"IP8540","below":"1.0.522.98","via":"1.0.522.103"}],
"test_devices":[{"identifier_type":"MACAddress","identifier":"0021630F207B"},
{"identifier_type":"SerialNumber","identifier":"C185H001209"}],
"configuration":{"log_clean_up_interval_s":864000,"log_clean_up_time_of_day":"23:59:01","log_flush_interval_s":300,
"max_log_cache_limit_bytes":512000,"max_log_file_size_bytes":1024000,"valid_log_file_extensions":[".clg"],
"valid_log_file_types":["CELog"]},"accounts":[{"name":"ann@demo.local","password_hash":"$argon2id$x"}]}"#;

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join(format!("seed-{name}")), bytes).expect("a seed can be written");
}

fn packings() -> [(&'static str, Packing); 3] {
    let lzx = Lzx {
        window_bits: 15,
        blocks: vec![Block::Verbatim, Block::Aligned, Block::Uncompressed],
        block_bytes: 7_001,
        translation_size: Some(50_000),
    };
    [("stored", Packing::Stored), ("mszip", Packing::MsZip), ("lzx", Packing::Lzx(lzx))]
}

fn text(length: usize) -> Vec<u8> {
    b"the quick brown phone jumps over the lazy pool ".iter().copied().cycle().take(length).collect()
}

fn updates(packing: Packing) -> Vec<u8> {
    let image = text(2_000);
    let cab = CabBuilder::new().folder(packing).file("updateInfo.xml", DESCRIPTION.as_bytes());
    let path = |file: &str| format!("{UPDATE}/{file}").replace('/', "\\");
    cab.file(&path("CPE.nbt"), &image).file(&path("CPE.cat"), &catalog()).build().bytes
}

/// A catalog of two members, as `sync::catalog` documents it: each element a tag, a length, and its parts.
fn catalog() -> Vec<u8> {
    let element = |tag: u8, parts: &[Vec<u8>]| {
        let value = parts.concat();
        let length = u16::try_from(value.len()).expect("it is small").to_be_bytes();
        [&[tag, 0x82][..], &length, &value].concat()
    };
    let sequence = |parts: &[Vec<u8>]| element(0x30, parts);
    let set = |parts: &[Vec<u8>]| element(0x31, parts);
    let oid = |bytes: &[u8]| [&[6, u8::try_from(bytes.len()).expect("it is short")][..], bytes].concat();
    let null = vec![5, 0];
    let (sha1, sha256) = (oid(&[0x2b, 14, 3, 2, 26]), oid(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]));
    let microsoft = |rest: &[u8]| oid(&[&[0x2b, 6, 1, 4, 1, 0x82, 0x37][..], rest].concat());
    let member = |algorithm: &[u8], digest: Vec<u8>| {
        let data = sequence(&[microsoft(&[2, 1, 25]), element(0xa2, &[vec![0x80, 0]])]);
        let value =
            sequence(&[sequence(&[algorithm.to_vec(), null.clone()]), element(4, std::slice::from_ref(&digest))]);
        let attribute = sequence(&[microsoft(&[2, 1, 4]), set(&[sequence(&[data, value])])]);
        sequence(&[element(4, &[digest]), set(&[attribute])])
    };
    let list = sequence(&[
        sequence(&[microsoft(&[12, 1, 1])]),
        element(4, &[vec![7; 16]]),
        element(0x17, &[b"081216044358Z".to_vec()]),
        sequence(&[microsoft(&[12, 1, 2]), null.clone()]),
        sequence(&[member(&sha1, vec![1; 20]), member(&sha256, vec![2; 32])]),
    ]);
    let content = sequence(&[microsoft(&[10, 1]), element(0xa0, &[list])]);
    let algorithms = set(&[sequence(&[sha1, null])]);
    let signed = sequence(&[vec![2, 1, 1], algorithms, content, set(&[])]);
    sequence(&[oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2]), element(0xa0, &[signed])])
}
