//! Update files as phones and curl fetch them (PROTOCOL.md 2).

use super::harness::{FILE, Start};
use node::plane::Side;
use sha2::Digest as _;
use tests::phone::Answer;

#[tokio::test]
async fn both_families_of_paths_serve_the_same_files_in_any_case() {
    let running = Start::default().run();
    for folder in
        ["/RequestHandler/Files", "/RequestHandlerExt/Files", "/DeviceUpdateFiles_Int", "/DeviceUpdateFiles_Ext"]
    {
        for path in
            [format!("{folder}/OCInterim/ENU/CPE.nbt"), format!("{folder}/ocinterim/enu/cpe.NBT").to_lowercase()]
        {
            let bytes = running.curl("http", &path, &["--fail"]).await;
            assert!(bytes == running.content, "{path}");
        }
    }
    let answer = running.phone().get(&FILE.to_lowercase()).await.unwrap();
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"CPE.nbt\"", "the stored case");
}

#[tokio::test]
async fn nothing_outside_the_snapshot_is_served() {
    let running = Start::default().run();
    for path in [
        "/DeviceUpdateFiles_Int/../secret",
        "/DeviceUpdateFiles_Int/OCInterim/../../secret",
        "/DeviceUpdateFiles_Int/%2e%2e/secret",
        "/DeviceUpdateFiles_Int/OCInterim%2f..%2f..%2fsecret",
        "/DeviceUpdateFiles_Int/OCInterim/ENU/..%5c..%5c..%5csecret",
        "/DeviceUpdateFiles_Int/OCInterim/ENU",
        "/DeviceUpdateFiles_Int/",
    ] {
        let status = running.curl("http", path, &["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}"]).await;
        assert_eq!(status, b"404", "{path}");
    }
    let digest = hex::encode(sha2::Sha256::digest(&running.content));
    for path in ["other.nbt", &digest[..2], &format!("{}/{digest}", &digest[..2])] {
        for folder in ["OCInterim/ENU/", ""] {
            let path = format!("/DeviceUpdateFiles_Int/{folder}{path}");
            assert_eq!(running.phone().get(&path).await.unwrap().status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn a_file_of_another_length_than_published_is_not_served() {
    let running = Start::default().run();
    let digest = hex::encode(sha2::Sha256::digest(&running.content));
    let path = running.folder.path().join(format!("replica/{}/{digest}", &digest[..2]));
    std::fs::write(path, &running.content[1..]).unwrap();
    assert_eq!(running.phone().get(FILE).await.unwrap().status, 503);
}

#[tokio::test]
async fn a_file_that_this_node_can_neither_hold_nor_get_is_asked_for_again_later() {
    let running = Start { held: false, ..Start::default() }.run();
    let answer = running.phone().get(FILE).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!((30..=90).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    assert!(answer.text().starts_with("<?xml"), "{}", answer.text());
}

#[tokio::test]
async fn head_says_what_get_would() {
    let running = Start::default().run();
    let headers = |answer: Answer| answer.headers.into_iter().filter(|(name, _)| name != "date").collect::<Vec<_>>();
    let get = running.phone().get(FILE).await.unwrap();
    let head = running.phone().ask("HEAD", FILE, &[], b"").await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "200001"));
    assert_eq!(headers(head), headers(get));
}

#[tokio::test]
async fn curl_gets_exactly_the_ranges_it_asks_for() {
    let running = Start::default().run();
    let content = &running.content;
    let check = async |range: &str, expected: &[u8]| {
        let bytes = running.curl("http", FILE, &["--fail", "-r", range]).await;
        assert!(bytes == expected, "{range}: {} bytes", bytes.len());
    };
    check("0-0", &content[..1]).await;
    check("65535-65536", &content[65_535..=65_536]).await;
    check("100-131071", &content[100..=131_071]).await;
    check("200000-", &content[200_000..]).await;
    check("-7", &content[content.len() - 7..]).await;
    check("0-999999", content).await;
    check("0-5,3-9", &content[..10]).await;
}

#[tokio::test]
async fn several_ranges_come_as_parts_byte_by_byte() {
    let running = Start::default().run();
    let content = &running.content;
    let answer = running.phone().ask("GET", FILE, &[("Range", "bytes=10-20,100000-190000,-5")], b"").await.unwrap();
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(10, 20), (100_000, 190_000), (199_996, 200_000)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/200001\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(answer.status, 206);
    assert!(answer.body == expected);
}

#[tokio::test]
async fn ranges_that_cannot_be_are_416_and_resuming_needs_the_same_version() {
    let running = Start::default().run();
    let ask = async |headers: &[(&str, &str)]| running.phone().ask("GET", FILE, headers, b"").await.unwrap();
    let beyond = ask(&[("Range", "bytes=200001-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */200001"));
    let etag = ask(&[]).await.header("etag").to_owned();
    let range = ("Range", "bytes=200000-");
    assert_eq!(ask(&[range, ("If-Range", &etag)]).await.status, 206);
    assert_eq!(ask(&[range, ("If-Range", "Tue, 16 Dec 2008 04:43:58 GMT")]).await.status, 206);
    for other in ["\"another\"", "Tue, 16 Dec 2008 04:43:59 GMT"] {
        let answer = ask(&[range, ("If-Range", other)]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 200_001), "{other}");
    }
    assert_eq!(ask(&[("If-None-Match", &etag)]).await.status, 304);
    assert_eq!(ask(&[("If-Modified-Since", "Tue, 16 Dec 2008 04:43:58 GMT")]).await.status, 304);
    let many: Vec<String> = (0..17).map(|n| format!("{}-{}", n * 10, n * 10)).collect();
    assert_eq!(ask(&[("Range", &format!("bytes={}", many.join(",")))]).await.status, 200);
}

#[tokio::test]
async fn curl_resumes_a_download_that_broke_off() {
    let running = Start::default().run();
    let part = running.folder.path().join("part");
    std::fs::write(&part, &running.content[..70_000]).unwrap();
    running.curl("http", FILE, &["--fail", "-C", "-", "-o", part.to_str().unwrap()]).await;
    assert!(std::fs::read(&part).unwrap() == running.content);
}

#[tokio::test]
async fn the_side_is_never_read_from_the_path() {
    let outside = Start { side: Side::Outside, ..Start::default() }.tls().run();
    for path in [FILE, "/RequestHandler/Files/OCInterim/ENU/CPE.nbt", "/DeviceUpdateFiles_Ext/OCInterim/ENU/CPE.nbt"] {
        assert_eq!(outside.tls_phone().get(path).await.unwrap().status, 401, "{path}");
    }
}
