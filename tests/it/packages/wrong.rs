//! Files that are no packages, and packages that say nothing: one sentence each, that tells what is wrong and what is
//! expected.

use super::succeed;
use std::fs;
use std::path::Path;
use std::process::Command;
use sync::cabinet::Limits;
use sync::package::unpack;
use tests::cab::{CabBuilder, Packing};

fn sentence(path: &Path) -> String {
    let staging = tempfile::tempdir().unwrap();
    let error = unpack(path, staging.path(), &Limits::default()).unwrap_err();
    assert!(!error.is_failure(), "{error}");
    let text = error.to_string();
    assert!(text.contains("expected") && !text.contains('\n') && !text.ends_with('.'), "{text}");
    text
}

#[track_caller]
fn check(name: &str, bytes: &[u8], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let text = sentence(&path);
    assert!(text.contains(expected), "{text}");
}

#[test]
fn files_that_are_no_cabinets_are_named_for_what_they_are() {
    let expected = "expected a cabinet (.cab) with device updates, or a self-extracting UCUpdates.exe";
    check("a.cab", b"", "a.cab is empty, expected a cabinet");
    check("a.zip", b"PK\x03\x04rest", "a.zip is a ZIP archive, expected a cabinet");
    check("a.tgz", b"\x1f\x8b\x08rest", "a.tgz is a gzip file");
    check("a.msi", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "a.msi is an MSI installer");
    check("a.7z", b"7z\xbc\xaf\x27\x1crest", "a.7z is a 7-Zip archive");
    check("a.cab", b"<html><body>404", "a.cab is a web page");
    check("a.cab", b"ISc(rest", "a.cab is an InstallShield cabinet");
    check("CPE.nbt", b"\0\0image", "pack an image with 'ucupdates package build'");
    check("a.cab", b"M", expected);
    check("a.exe", &[b"MZ".to_vec(), vec![0; 500_000]].concat(), "a.exe is a program that holds no cabinet");
    check("a.exe", b"MZ", "a.exe is a program that holds no cabinet");
    check("a.cab", b"MSCF", "expected the header to end at byte 36, but there are 4 bytes");
}

#[test]
fn what_is_no_file_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(sentence(folder.path()).contains("is a folder, expected a cabinet"));
    let pipe = folder.path().join("pipe");
    succeed(Command::new("mkfifo").arg(&pipe));
    assert!(sentence(&pipe).contains("pipe is no plain file"));
    let staging = tempfile::tempdir().unwrap();
    let error = unpack(&folder.path().join("nothing"), staging.path(), &Limits::default()).unwrap_err();
    assert!(error.is_failure() && error.to_string().contains("nothing"), "{error}");
}

fn cabinet(files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = CabBuilder::new().folder(Packing::MsZip);
    files.iter().fold(folder, |builder, (name, bytes)| builder.file(name, bytes)).build().bytes
}

#[test]
fn cabinets_without_updates_say_what_is_missing() {
    check("a.cab", &cabinet(&[("setup.exe", b"x")]), "a.cab holds no device update: expected updateInfo.xml, or files");
    check("a.cab", &CabBuilder::new().build().bytes, "a.cab holds no device update");
    check("a.cab", &cabinet(&[("updateInfo.xml", b"<Updates/>")]), "a.cab holds no device update");
    check(
        "a.cab",
        &cabinet(&[("updateInfo.xml", b"<Updates>")]),
        "updateInfo.xml cannot be read, expected well-formed XML in UTF-8 or UTF-16: <updates> is not closed",
    );
    let update = b"<Updates><Update version='1'><File name='CPE.nbt'/></Update></Updates>";
    check("a.cab", &cabinet(&[("updateInfo.xml", update)]), "names the file \"CPE.nbt\", expected it in the package");
    check("a.cab", &cabinet(&[("updateInfo.xml", update), ("CPE.nbt", b"x")]), "update 1: the locale is missing");
    check(
        "a.cab",
        &cabinet(&[("UCPhone/B/M/A/ENU/1.0/CPE/a.nbt", b"x"), ("UCPhone/B/M/A/ENU/1.0/CPE/b.nbt", b"x")]),
        "UCPhone/B/M/A/ENU/CPE 1.0.0.0: which file is the image cannot be told from a.nbt, b.nbt",
    );
    let empty = cabinet(&[("OCInterim/ENU/CPE.nbt", b"")]);
    check("a.cab", &empty, "interim UCPhone/ENU/CPE 1.0.522.103: its image CPE.nbt is empty, expected firmware");
    let only = cabinet(&[("UCPhone/B/M/A/ENU/1.0/CPE/CPE.cat", b"x")]);
    check("a.cab", &only, "UCPhone/B/M/A/ENU/CPE 1.0.0.0: it has no image");
}

#[test]
fn cabinets_in_cabinets_are_bounded() {
    let update: &[(&str, &[u8])] = &[("UCPhone/B/M/A/ENU/1.0/CPE/CPE.nbt", b"x")];
    let one = cabinet(&[("UCUpdates.cab", &cabinet(update))]);
    let two = cabinet(&[("other.cab", &one)]);
    let three = cabinet(&[("readme.txt", b"x"), ("UCUpdates.cab", &two)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cab");
    fs::write(&path, &two).unwrap();
    let staging = tempfile::tempdir().unwrap();
    assert_eq!(unpack(&path, staging.path(), &Limits::default()).unwrap().updates.len(), 1);
    check("a.cab", &three, "UCUpdates.cab: cabinets lie inside one another 3 deep, expected 2 at most");
    let several = cabinet(&[("a.cab", &one), ("b.cab", &one)]);
    check("c.cab", &several, "c.cab holds the cabinets a.cab, b.cab, expected one, or one named UCUpdates.cab");
    check("a.cab", &cabinet(&[("UCUpdates.cab", b"PK\x03\x04")]), "UCUpdates.cab is a ZIP archive");
}

#[test]
fn a_file_that_many_updates_name_counts_for_each_of_them() {
    let updates: String = ["A", "B", "C"]
        .map(|model| {
            format!(
                "<Update version='1' deviceType='UCPhone' brand='B' model='{model}' revision='A' locale='ENU' \
                 updateType='CPE'><File name='CPE.nbt' signature='CPE.cat'/></Update>"
            )
        })
        .concat();
    let description = format!("<Updates>{updates}</Updates>");
    let (image, catalog) = (vec![7; 1_000], vec![8; 100]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cab");
    let files: [(&str, &[u8]); 3] =
        [("updateInfo.xml", description.as_bytes()), ("CPE.nbt", &image), ("CPE.cat", &catalog)];
    fs::write(&path, cabinet(&files)).unwrap();
    let unpacked = |unpacked_bytes| {
        let staging = tempfile::tempdir().unwrap();
        unpack(&path, staging.path(), &Limits { unpacked_bytes, ..Limits::default() })
    };
    assert_eq!(unpacked(3_300).unwrap().updates.len(), 3);
    assert_eq!(
        unpacked(3_299).unwrap_err().to_string(),
        "the updates of a.cab need 3300 bytes in every pool, because each keeps a copy of its own of the files that it \
         shares with others, expected 3299 at most; the limit is most_unpacked_bytes in [packages] of the node's \
         configuration"
    );
}
