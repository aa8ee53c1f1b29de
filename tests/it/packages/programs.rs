//! Self-extracting programs: a real PE file that holds a cabinet as its resource, and what only looks like one.

use super::{assert_same, cabextract, read, succeed, varied};
use schema::version::FirmwareVersion;
use std::fs;
use std::path::Path;
use std::process::Command;
use sync::cabinet::Limits;
use sync::package::{Container, PackageError, StagedPackage, unpack};
use tests::cab::{CabBuilder, Field, Packing};

/// Links a program with the file as its only resource.
fn program(folder: &Path, resource: &[u8]) -> Vec<u8> {
    fs::write(folder.join("resource.cab"), resource).unwrap();
    fs::write(folder.join("resource.rc"), "1 RCDATA \"resource.cab\"\n").unwrap();
    // The signature of a cabinet also stands in the code: a self-extracting program compares with it.
    fs::write(folder.join("start.s"), ".text\n.globl start\nstart: movl $0x4643534d, %eax\nret\n").unwrap();
    let tool = |name: &str| {
        let mut command = Command::new(format!("x86_64-w64-mingw32-{name}"));
        command.current_dir(folder);
        command
    };
    // There is nothing to preprocess, and no compiler to do it.
    succeed(tool("windres").args(["--preprocessor=cat", "resource.rc", "resource.o"]));
    succeed(tool("as").args(["start.s", "-o", "start.o"]));
    succeed(tool("ld").args(["start.o", "resource.o", "-e", "start", "-o", "UCUpdates.exe"]));
    fs::read(folder.join("UCUpdates.exe")).unwrap()
}

fn unpack_bytes(bytes: &[u8]) -> Result<StagedPackage, PackageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("UCUpdates.exe");
    fs::write(&path, bytes).unwrap();
    let staging = folder.path().join("staging");
    fs::create_dir(&staging).unwrap();
    let package = unpack(&path, &staging, &Limits::default())?;
    for staged in &package.updates {
        for (file, source) in staged.update.files().iter().zip(&staged.sources) {
            let bytes = fs::read(source).unwrap();
            assert_eq!(file.size_bytes, bytes.len() as u64);
            let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
            assert_eq!(file.digest, schema::package::Digest::new(digest));
        }
    }
    Ok(package)
}

fn updates(length: usize) -> Vec<u8> {
    let folder = CabBuilder::new().folder(Packing::MsZip);
    let models = ["CX500", "CX600", "CX3000"];
    let files = models.iter().fold(folder, |builder, model| {
        let path = |file: &str| format!("UCPhone\\Polycom\\{model}\\A\\ENU\\4.0.7577.4387\\CPE\\{file}");
        let image = varied(u64::from(model.as_bytes()[2]), length);
        builder.file(&path("CPE.nbt"), &image).file(&path("CPE.cat"), model.as_bytes())
    });
    files.file("readme.txt", b"read me").build().bytes
}

#[test]
fn a_program_with_a_cabinet_that_holds_the_cabinet_is_a_package() {
    let folder = tempfile::tempdir().unwrap();
    let inner = updates(300_000);
    let outer = CabBuilder::new().folder(Packing::MsZip).file("UCUpdates.cab", &inner).file("eula.txt", b"").build();
    let program = program(folder.path(), &outer.bytes);
    assert!(program.starts_with(b"MZ"));
    assert_same(&cabextract(&program), &read(&outer.bytes, &Limits::default()).unwrap());

    let package = unpack_bytes(&program).unwrap();
    assert_eq!(package.container, Container::SelfExtracting);
    assert!(!package.description_found);
    assert_eq!(package.ignored, ["eula.txt", "readme.txt"]);
    let expected = cabextract(&inner);
    assert_eq!(package.updates.len(), 3);
    for staged in &package.updates {
        assert_eq!(staged.update.version(), FirmwareVersion::parse("4.0.7577.4387").unwrap());
        assert_eq!(staged.update.files().len(), 2);
        for file in staged.update.files() {
            assert_eq!(file.size_bytes, expected[file.path.as_str()].len() as u64);
            assert_eq!(file.time_stamp.to_string(), "2008-12-16T04:43:58");
        }
    }
}

#[test]
fn the_first_cabinet_whose_whole_structure_is_valid_counts() {
    let good = updates(10_000);
    let broken = CabBuilder::new().folder(Packing::Stored).file("a", b"a").build().with(Field::FileOffset(0), 9);
    let decoys = [b"MZ MSCF MSCF".to_vec(), broken.bytes.clone()].concat();
    // A header at any place of what is read at a time, also across its border.
    const BORDER: usize = 256 << 10;
    for start in [200, BORDER - 36, BORDER - 35, BORDER - 20, BORDER - 1, BORDER, BORDER + 1, 700_000] {
        let padding = vec![0; start - decoys.len()];
        let package = unpack_bytes(&[decoys.clone(), padding, good.clone(), vec![1; 99]].concat()).unwrap();
        assert_eq!((package.container, package.updates.len()), (Container::SelfExtracting, 3), "{start}");
    }
    let error = unpack_bytes(&[b"MZ".to_vec(), broken.bytes].concat()).unwrap_err();
    assert!(error.to_string().starts_with("UCUpdates.exe: file \"a\" in folder 0 lies at byte 9"), "{error}");
}
