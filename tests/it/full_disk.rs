//! The real program on disks that are full: data folder, store and standard error each on a small tmpfs, at many sizes,
//! which only the program sees (a mount namespace of its own). Phones are answered, the administrator reads what is full,
//! nothing is torn, and when there is space again everything goes on.

mod disk;

use disk::{Disk, KILOBYTE};
use node::audit_log::spooled_files;
use schema::audit::{AuditRecord, HEADER};
use schema::settings::DeviceUpdateConfiguration;
use schema::test_device::Scope;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tests::cab::{CabBuilder, Packing};
use tests::database::wait_until;
use tests::gcab::image;
use tests::node::{TOKEN, set};
use tests::phone::Phone;
use tests::program::{Program, Refused, Serving};

const KB: u64 = KILOBYTE;

/// Modules that a phone names here, and bytes of each name: some 3 KB a line, so that few checks fill a disk.
const LONG: (usize, usize) = (12, 240);

fn package(model: &str, image_bytes: usize) -> Vec<u8> {
    let path = format!("UCPhone\\Demo\\{model}\\A\\ENU\\1.0.0.1\\CPE\\CPE.nbt");
    CabBuilder::new().folder(Packing::Stored).file(&path, &image(1, image_bytes)).build().bytes
}

/// Checks of phones with these serial numbers: each must be answered.
async fn check(serving: &Serving, serials: impl Iterator<Item = String>) {
    let phone = Phone::new(serving.phones);
    let (modules, name) = (LONG.0, "x".repeat(LONG.1));
    let module = format!("<Module><FileName>{name}</FileName><Version>0.0.0.1</Version></Module>");
    let modules = module.repeat(modules);
    for serial in serials {
        let request = format!(
            "<Request><DeviceType>UCPhone</DeviceType><SerialNumber>{serial}</SerialNumber><Vendor>Demo</Vendor>\
             <Model>Unknown</Model><Revision>A</Revision><Locale>ENU</Locale>{modules}</Request>"
        );
        let answer = phone.post("/RequestHandler/ucdevice.upx", &request).await.unwrap();
        assert_eq!(answer.status, 200, "a phone is answered, whatever is full: {answer:?}");
        assert!(answer.text().contains("<NumOfFiles>0</NumOfFiles>"));
    }
}

/// The lines in these files by their serial numbers. Every file must be whole: at once, or as soon as the write that is
/// under way is done or taken back.
async fn lines(files: impl Fn() -> Vec<PathBuf>) -> BTreeMap<String, u32> {
    let read = || files().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<Vec<_>>();
    let mut texts = read();
    wait_until("every file is whole", async || {
        texts = read();
        texts.iter().all(|text| text.ends_with("\r\n"))
    })
    .await;
    let mut seen = BTreeMap::new();
    for text in texts {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        assert_eq!(lines.next(), Some(HEADER));
        for line in lines {
            *seen.entry(AuditRecord::parse(line).unwrap().serial).or_default() += 1;
        }
    }
    seen
}

/// The refusal of an import onto a full disk.
fn is_full(refused: &Refused, place: &str) {
    assert_eq!(refused.status, 507, "{refused:?}");
    let said = &refused.text;
    assert!(said.contains("\"full\"") && said.contains("no space left in ") && said.contains(place), "{said}");
    assert!(said.contains(" are needed, ") && said.contains(" are free"), "{said}");
}

async fn ready_says(serving: &Serving, words: &str) {
    wait_until(words, async || {
        let (status, text) = serving.ready().await;
        assert_eq!(status, 200, "{text}");
        text.contains(words)
    })
    .await;
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Starts on a small data folder, fills it with checks and an import, and gives it space at the end.
async fn small_data_folder(size_bytes: u64, reserve_bytes: u64) -> bool {
    let disk = Disk::for_folder("data", size_bytes);
    let program = Program::new(tempfile::tempdir().unwrap(), disk.wrapper(), |config| {
        set(config, "node.reserve_bytes", i64::try_from(reserve_bytes).unwrap());
        set(config, "phones.capture.enabled", true);
    })
    .await;
    std::fs::create_dir(program.path("data")).unwrap();
    let mut process = program.spawn();
    if !process.serves_or_ends().await {
        let said = process.said();
        assert!(said.to_lowercase().contains("no space left") && said.contains("/data"), "{said}");
        assert_eq!(process.end().await, 1);
        return false;
    }
    let serving = program.serving(process).await;
    let count = size_bytes / 3000 + 20;
    check(&serving, (0..count).map(|number| format!("S{number}"))).await;
    ready_says(&serving, "(the data folder)").await;
    is_full(&serving.import("UCUpdates.cab", package("Big", 1_500_000)).await.unwrap_err(), "(the data folder)");
    let data = serving.process.inside(&program.path("data"));
    assert_eq!(entries(&data.join("incoming")), 0, "nothing half-received stays");
    let files = || spooled_files(&data.join("spool/audit")).unwrap().into_iter().map(|file| file.path).collect();
    let before = lines(files).await;
    assert!((before.len() as u64) < count, "the disk took everything: it was not full");
    check(&serving, (0..5).map(|number| format!("T{number}"))).await;

    disk.enlarge(&serving.process, &program);
    wait_until("the lines that waited are written", async || {
        let seen = lines(files).await;
        assert!(seen.values().all(|times| *times == 1), "a line was written twice: {seen:?}");
        seen.len() as u64 == count + 5
    })
    .await;
    wait_until("all is well again", async || serving.is_well().await).await;
    serving.import("UCUpdates.cab", package("Big", 1_500_000)).await.unwrap();
    serving.process.stop().await;
    true
}

#[tokio::test]
async fn a_full_data_folder_keeps_no_phone_waiting_and_loses_no_line() {
    // The smallest do not even hold the certificates.
    let sizes = [8, 16, 24, 32, 40, 52, 64, 96, 128, 192, 256, 512];
    let mut served = 0;
    for (number, size) in sizes.into_iter().enumerate() {
        let reserve_bytes = if number % 2 == 0 { 0 } else { size * KB / 8 };
        served += u32::from(small_data_folder(size * KB, reserve_bytes).await);
    }
    assert!((6..12).contains(&served), "{served} of the disks were large enough to start on");
}

/// What imports leave free is there for audit lines.
#[tokio::test]
async fn the_reserve_refuses_packages_and_takes_audit_lines() {
    let disk = Disk::for_folder("data", 4096 * KB);
    let program = Program::new(tempfile::tempdir().unwrap(), disk.wrapper(), |config| {
        set(config, "node.reserve_bytes", 2 << 20);
    })
    .await;
    std::fs::create_dir(program.path("data")).unwrap();
    let serving = program.start().await;
    let data = serving.process.inside(&program.path("data"));
    let refused = serving.import("UCUpdates.cab", package("Big", 3_000_000)).await.unwrap_err();
    is_full(&refused, "(the data folder)");
    // Received there is room for it, unpacked there is not.
    is_full(&serving.import("UCUpdates.cab", package("Half", 1_200_000)).await.unwrap_err(), "(the data folder)");
    std::fs::write(data.join("others"), vec![0; 2 << 20]).unwrap();
    ready_says(&serving, "(the data folder)").await;
    check(&serving, (0..50).map(|number| format!("S{number}"))).await;
    wait_until("the lines are written", async || {
        let files = || spooled_files(&data.join("spool/audit")).unwrap().into_iter().map(|file| file.path).collect();
        lines(files).await.len() == 50
    })
    .await;
    serving.process.stop().await;
}

/// Uploads a package in chunks: the node is not told how long it is.
async fn import_in_chunks(serving: &Serving, package: &[u8]) -> Result<(), Refused> {
    let authority = serving.process.inside(&serving.program.path("data/tls/ca.pem"));
    let phone = Phone::new(serving.management).over_tls(&authority, "localhost");
    let mut request = format!(
        "POST /api/v1/packages?name=a.cab HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in package.chunks(100_000) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let answer = phone.send(&request).await.unwrap();
    let text = answer.text().to_owned();
    if answer.status == 200 { Ok(()) } else { Err(Refused { status: answer.status, text }) }
}

/// What nobody announced is looked at on the way, and leaves the reserve alone; without a reserve the disk itself says that it
/// is full. Nothing of it is left.
#[tokio::test]
async fn an_upload_of_unknown_length_ends_where_the_disk_does() {
    for (size_kb, reserve_bytes, image_bytes, needed) in
        [(21 << 10, 6 << 20, 20_000_000, ": 6292 KB are needed, "), (6 << 10, 0, 8_000_000, " are needed, ")]
    {
        let disk = Disk::for_folder("data", size_kb * KB);
        let program = Program::new(tempfile::tempdir().unwrap(), disk.wrapper(), |config| {
            set(config, "node.reserve_bytes", reserve_bytes);
        })
        .await;
        std::fs::create_dir(program.path("data")).unwrap();
        let serving = program.start().await;
        let data = serving.process.inside(&program.path("data"));
        let refused = import_in_chunks(&serving, &package("Large", image_bytes)).await.unwrap_err();
        is_full(&refused, "(the data folder)");
        assert!(refused.text.contains(needed), "{refused:?}");
        assert_eq!(entries(&data.join("incoming")), 0);
        check(&serving, std::iter::once("S1".to_owned())).await;
        import_in_chunks(&serving, &package("Small", 100_000)).await.unwrap();
        serving.process.stop().await;
    }
}

/// One node after the other, on stores of these sizes in kilobytes.
async fn small_stores(sizes: [u64; 4]) {
    let disk = Disk::for_folder("store", sizes[0] * KB);
    let program = Program::new(tempfile::tempdir().unwrap(), disk.wrapper(), |config| {
        set(config, "node.reserve_bytes", 0);
    })
    .await;
    let configuration =
        DeviceUpdateConfiguration { max_log_cache_limit_bytes: 4096, ..DeviceUpdateConfiguration::default() };
    program.db.database().set_configuration(&Scope::Global, &configuration, "tester").await.unwrap();
    for (number, size) in sizes.into_iter().enumerate() {
        let disk = Disk::for_folder("store", size * KB);
        let program = program.with_wrapper(disk.wrapper());
        let serving = program.start().await;
        let store = serving.process.inside(&program.path("store/1-WebServices-1"));
        let mut refused = 0;
        for import in 0..8 {
            match serving.import("UCUpdates.cab", package(&format!("S{number}I{import}"), 70_000)).await {
                Ok(_) => {}
                Err(error) => {
                    is_full(&error, "(the store)");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "the store took everything: it was not full");
        disk.fill(&serving.process, &program);
        check(&serving, (0..20).map(|check| format!("S{number}C{check}"))).await;
        ready_says(&serving, "audit files wait on the local disk: no space left in ").await;
        let staged = std::fs::read_dir(store.join(".incoming")).into_iter().flatten();
        assert_eq!(staged.map(|node| entries(&node.unwrap().path())).sum::<usize>(), 0, "nothing half-stored stays");
        for file in disk::files_below(&store.join("DeviceUpdateStore")) {
            assert_eq!(std::fs::read(&file).unwrap(), image(1, 70_000), "{} is torn", file.display());
        }
        disk.enlarge(&serving.process, &program);
        serving.import("UCUpdates.cab", package(&format!("S{number}After"), 70_000)).await.unwrap();
        check(&serving, (20..25).map(|check| format!("S{number}C{check}"))).await;
        let log = store.join("DeviceUpdateLogs/Server/Audit/ImageUpdates");
        wait_until("the lines that waited are in the store", async || {
            let seen = lines(|| disk::files_below(&log)).await;
            (0..25).all(|check| seen.get(&format!("S{number}C{check}")) == Some(&1))
        })
        .await;
        wait_until("all is well again", async || serving.is_well().await).await;
        serving.process.stop().await;
    }
}

#[tokio::test]
async fn a_full_store_refuses_imports_by_name_and_audit_files_wait_1() {
    small_stores([16, 32, 48, 64]).await;
}

#[tokio::test]
async fn a_full_store_refuses_imports_by_name_and_audit_files_wait_2() {
    small_stores([96, 128, 160, 192]).await;
}

#[tokio::test]
async fn a_full_store_refuses_imports_by_name_and_audit_files_wait_3() {
    small_stores([256, 320, 384, 512]).await;
}

#[tokio::test]
async fn a_full_disk_behind_standard_error_loses_log_lines_and_nothing_else() {
    let disk = Disk::for_log(0);
    let program = Program::new(tempfile::tempdir().unwrap(), disk.wrapper(), |config| {
        set(config, "log.filter", "warn,node=debug");
    })
    .await;
    std::fs::create_dir(program.path("logs")).unwrap();
    for size in (0..12).map(|number| 16 + 4 * number) {
        let disk = Disk::for_log(size * KB);
        let program = program.with_wrapper(disk.wrapper());
        let process = program.spawn_logging_itself("logs/log");
        let serving = program.serving(process).await;
        disk.fill(&serving.process, &program);
        check(&serving, (0..60).map(|number| format!("S{size}C{number}"))).await;
        ready_says(&serving, "lines of the node's own log are lost").await;
        serving.import("UCUpdates.cab", package(&format!("M{size}"), 5000)).await.unwrap();
        disk.enlarge(&serving.process, &program);
        serving.approve(&format!("M{size}")).await.unwrap();
        let log = serving.process.inside(&program.path("logs/log"));
        wait_until("the log goes on, on a line of its own", async || {
            check(&serving, std::iter::once("last".to_owned())).await;
            let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
            let last = text.lines().last().unwrap_or_default().to_owned();
            serde_json::from_str::<serde_json::Value>(&last).is_ok()
        })
        .await;
        serving.process.stop().await;
    }
}

/// A pipe that nobody reads takes 64 KiB, and then blocks whoever writes into it.
#[tokio::test]
async fn a_pipe_that_nobody_reads_blocks_nobody() {
    let program = Program::new(tempfile::tempdir().unwrap(), Vec::new(), |config| {
        set(config, "log.filter", "warn,node=debug,hyper=trace,rustls=trace");
    })
    .await;
    let serving = program.start_then_read_no_more().await;
    for number in 0..20 {
        check(&serving, (0..30).map(|check| format!("N{number}C{check}"))).await;
    }
    serving.process.stop().await;
}
