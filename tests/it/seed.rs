//! The scenario that the product is measured by (PROTOCOL.md 9): one phone, three requests, and an administrator who
//! adds it to the test devices between the first and the second.

use std::net::IpAddr;
use tests::gcab::{image, package};
use tests::node::{TestNode, set};
use tests::phone::{Answer, Phone};

/// The lines of PROTOCOL.md 9.
const LINES: [&str; 3] = [
    r#"03-06-2009 17:07:20,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 09:07:20,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,"#,
    r#"03-06-2009 17:10:39,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:10:39,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;0.0.0.0;01-01-1601 00:00:00,http://ocs.demo.local/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt;1.0.522.103;16-12-2008 04:43:58"#,
    r#"03-06-2009 17:18:54,ruisilva@demo.local,10.1.1.123,UCPhone,06-03-2009 17:18:53,"0021630F207B","C185H001209","LG-Nortel","IP8540","A","ENU",cpe.nbt;1.0.522.103;16-12-2008 04:43:58,http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE/CPE.nbt;3.5.6907.0;16-12-2008 04:43:58"#,
];

const PACKED: &str = "2008-12-16 04:43:58";

const HANDLER: &str = "/RequestHandler/ucdevice.upx";

fn request(device_time: &str, version: &str, time_stamp: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>
<RequestDateTime>{device_time}</RequestDateTime><MacAddress>0021630F207B</MacAddress>
<SerialNumber>C185H001209</SerialNumber><Vendor>LG-Nortel</Vendor><Model>IP8540</Model><Revision>A</Revision>
<Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>{version}</Version>
<TimeStamp>{time_stamp}</TimeStamp></Module></Modules></Request>"#
    )
}

/// The text of the first element with this name.
fn element<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let text = answer.text();
    let start = text.find(&format!("<{name}>")).unwrap_or_else(|| panic!("{name} in {text}")) + name.len() + 2;
    &text[start..start + text[start..].find('<').unwrap()]
}

#[tokio::test]
async fn the_three_lines_are_written_byte_for_byte_and_their_urls_hold_the_packages_files() {
    let node = TestNode::start_with(|config| {
        // The phone's own address reaches the node as it does behind a balancer.
        set(config, "listeners.internal_http.proxy_from", vec!["127.0.0.1/32"]);
    })
    .await;
    let files = [image(1, 200_000), image(2, 900), image(3, 150_000), image(4, 800)];
    let [target_image, target_catalog, interim_image, interim_catalog] = &files;
    let folder = "UCPhone/LG-Nortel/IP8540/A/ENU/3.5.6907.0/CPE";
    let [image_path, catalog_path] = ["CPE.nbt", "CPE.cat"].map(|name| format!("{folder}/{name}"));
    let target = [(image_path.as_str(), target_image.as_slice()), (&catalog_path, target_catalog)];
    let target = package(node.folder.path(), "UCUpdates.cab", PACKED, &target);
    let interim: [(&str, &[u8]); 2] =
        [("OCInterim/ENU/CPE.nbt", interim_image), ("OCInterim/ENU/CPE.cat", interim_catalog)];
    let interim = package(node.folder.path(), "OCInterim.cab", PACKED, &interim);
    for path in [target, interim] {
        node.cli(&["import", path.to_str().unwrap()]).await.ok();
    }
    let phone = Phone::new(node.addresses.internal_http[0]).behind_balancer("10.1.1.123".parse::<IpAddr>().unwrap());

    node.clock.set("2009-03-06T17:07:20Z");
    let first = phone.post(HANDLER, &request("2009-03-06T09:07:20", "0.0.0.0", "1601-01-01T00:00:00")).await.unwrap();
    assert_eq!((first.status, element(&first, "NumOfFiles")), (200, "0"));

    node.cli(&["test-device", "new", "global/ruisilva", "--mac", "00-21-63-0F-20-7B"]).await.ok();
    node.clock.set("2009-03-06T17:10:39Z");
    let second = phone.post(HANDLER, &request("2009-03-06T17:10:39", "0.0.0.0", "1601-01-01T00:00:00")).await.unwrap();
    node.clock.set("2009-03-06T17:18:54Z");
    let third = request("2009-03-06T17:18:53", "1.0.522.103", "2008-12-16T04:43:58");
    let third = phone.post(HANDLER, &third).await.unwrap();

    assert_eq!(node.audit_lines(3).await, LINES);
    let spool = node.folder.path().join("data/spool/audit/RequestHandlerAuditLog_node1_20090306.log");
    let file = std::fs::read_to_string(spool).unwrap();
    assert!(file.starts_with("Logging DateTime,"), "{file}");

    for (answer, image, catalog) in [(&second, interim_image, interim_catalog), (&third, target_image, target_catalog)]
    {
        assert_eq!(element(answer, "TimeStamp"), "2008-12-16T04:43:58");
        for (name, bytes) in [("FileName", image), ("SignatureFileName", catalog)] {
            let url = format!("{}/{}", element(answer, "BaseURL"), element(answer, name));
            let path = url.strip_prefix("http://ocs.demo.local").unwrap();
            let file = phone.get(path).await.unwrap();
            assert_eq!((file.status, &file.body), (200, bytes), "{url}");
        }
    }
    // What the lines name is what was offered.
    for (line, answer) in [(LINES[1], &second), (LINES[2], &third)] {
        let url = format!("{}/{}", element(answer, "BaseURL"), element(answer, "FileName"));
        assert!(line.contains(&format!(",{url};{};", element(answer, "Version"))), "{line}");
    }
}
