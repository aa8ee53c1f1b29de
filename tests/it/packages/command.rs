//! `ucupdates package build` and `show`: what is built is what cabextract and gcab read, what is shown is what is there.

use super::{assert_same, cabextract, read, succeed, varied};
use std::fs;
use std::path::Path;
use std::process::Command;
use sync::cabinet::Limits;
use tests::binary::{self, Said};

fn ucupdates(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary::path());
    Said::from(command.arg("package").args(arguments).current_dir(folder).output().unwrap())
}

const MODELS: [&str; 11] =
    ["build", "--brand", "Polycom", "--model", "CX500", "--model", "CX600", "--revision", "A", "--locale", "ENU"];

fn build(folder: &Path, more: &[&str]) -> Said {
    ucupdates(folder, &[&MODELS[..], &["--version", "4.0.7577.4387"], more].concat())
}

/// The folder of a vendor's files: an image, and its catalog in another case.
fn vendor() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("CPE.nbt"), varied(90, 200_000)).unwrap();
    fs::write(folder.path().join("CPE.CAT"), b"catalog").unwrap();
    succeed(
        Command::new("touch")
            .env("TZ", "UTC")
            .args(["-d", "2008-12-16T04:43:58"])
            .args([folder.path().join("CPE.nbt"), folder.path().join("CPE.CAT")]),
    );
    folder
}

#[test]
fn what_is_built_is_what_other_programs_read() {
    let folder = vendor();
    let said = build(folder.path(), &["--output", "out.cab", "CPE.nbt"]).ok();
    assert!(said.ends_with("can be imported: 2 updates for 2 device models\n"), "{said}");
    let bytes = fs::read(folder.path().join("out.cab")).unwrap();
    let files = cabextract(&bytes);
    assert_eq!(files.len(), 5);
    assert_eq!(files["UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt"], varied(90, 200_000));
    assert_eq!(files["UCPhone/Polycom/CX500/A/ENU/4.0.7577.4387/CPE/CPE.CAT"], b"catalog");
    assert_same(&read(&bytes, &Limits::default()).unwrap(), &files);
    let out = folder.path().join("gcab");
    fs::create_dir(&out).unwrap();
    succeed(Command::new("gcab").arg("-x").arg("-C").arg(&out).arg("out.cab").current_dir(folder.path()));
    let mut extracted = super::Files::new();
    super::collect(&out, "", &mut extracted);
    assert_same(&extracted, &files);
}

#[test]
fn show_tells_all_about_a_package_as_json() {
    let folder = vendor();
    build(folder.path(), &["--output", "out.cab", "CPE.nbt"]).ok();
    let said = ucupdates(folder.path(), &["show", "out.cab", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["importable"], true);
    assert_eq!(shown["description_found"], true);
    let file = &shown["updates"][1]["files"][0];
    assert_eq!(shown["updates"][1]["target"]["model"], "CX600");
    assert_eq!(file["role"], "image");
    assert_eq!(file["time_stamp"], "2008-12-16T04:43:58");
    assert_eq!(file["path"], "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt");
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(varied(90, 200_000)));
    assert_eq!(file["sha256"], digest.as_str());
    assert_eq!(shown["updates"][1]["files"][1]["role"], "signature");
}

#[test]
fn an_interim_build_has_the_version_of_the_original_unless_told() {
    let folder = vendor();
    let build = |more: &[&str]| {
        let fixed = ["build", "--interim", "--locale", "ENU", "--force", "--output", "out.cab", "CPE.nbt"];
        ucupdates(folder.path(), &[&fixed[..], more].concat()).ok()
    };
    let said = build(&[]);
    assert!(said.contains("interim build UCPhone ENU CPE  1.0.522.103"), "{said}");
    assert!(said.ends_with("can be imported: 1 interim build\n"), "{said}");
    assert!(
        build(&["--version", "1.0.522.104", "--type", "Other"]).contains("interim build Other ENU CPE  1.0.522.104")
    );
}

#[test]
fn a_package_that_cannot_be_imported_is_told_so_with_exit_code_1() {
    let folder = vendor();
    let said = ucupdates(folder.path(), &["show", "CPE.nbt"]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("cannot be imported: CPE.nbt is not a cabinet, expected"), "{said:?}");
    let said = ucupdates(folder.path(), &["show", "CPE.nbt", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &shown["importable"]), (1, &serde_json::Value::Bool(false)));
    let said = ucupdates(folder.path(), &["show", "nothing.cab"]);
    assert_eq!((said.code, said.err.as_str()), (1, "error: there is no file nothing.cab\n"));
}

#[test]
fn build_overwrites_nothing_and_refuses_what_makes_no_sense() {
    let folder = vendor();
    fs::write(folder.path().join("out.cab"), b"mine").unwrap();
    let said = build(folder.path(), &["--output", "out.cab", "CPE.nbt"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("out.cab is there already; add --force to replace it"), "{said:?}");
    assert_eq!(fs::read(folder.path().join("out.cab")).unwrap(), b"mine");
    let said = build(folder.path(), &["--output", "new.cab", "--update-type", "X", "CPE.nbt", "CPE.CAT"]);
    assert_eq!(said.code, 2, "{said:?}");
    let said = build(folder.path(), &["--output", "new.cab", "--model", "cx600", "CPE.nbt"]);
    assert!(said.code == 1 && said.err.contains("is there twice"), "{said:?}");
    let said = build(folder.path(), &["--output", "new.cab", "missing.nbt"]);
    assert!(said.code == 1 && said.err.contains("reading missing.nbt"), "{said:?}");
    assert!(!folder.path().join("new.cab").exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing half-written stays");
}
