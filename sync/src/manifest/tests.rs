//! Tables of descriptions and paths, and what they say together.

use super::*;
use proptest::prelude::*;

const CX600: &str = "UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/";
const CX500: &str = "UCPhone/Polycom/CX500/A/ENU/4.0.7577.4387/CPE/";

/// One line for each update: target, version, and each file with its role's letter and its place; then what is ignored.
fn told(paths: &[&str], description: Option<&str>) -> Result<Vec<String>, ManifestError> {
    let described = description.map(|text| DescribedUpdates::parse(text.as_bytes())).transpose()?;
    let plan = plan(paths, described.as_ref())?;
    let line = |update: &PlannedUpdate| {
        let role = |role| match role {
            FileRole::Image => 'I',
            FileRole::Signature => 'S',
            FileRole::Other => 'O',
        };
        let files: Vec<String> =
            update.files.iter().map(|file| format!("{}{}={}", role(file.role), file.index, file.name)).collect();
        format!("{} {}: {}", update.target, update.version, files.join(" "))
    };
    let mut lines: Vec<String> = plan.updates.iter().map(line).collect();
    if !plan.ignored.is_empty() {
        lines.push(format!("ignored: {:?}", plan.ignored));
    }
    Ok(lines)
}

#[track_caller]
fn check(paths: &[&str], description: Option<&str>, expected: &[&str]) {
    assert_eq!(
        told(paths, description).as_deref(),
        Ok(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..])
    );
}

#[track_caller]
fn refuse(paths: &[&str], description: &str, expected: &str) {
    let error = told(paths, Some(description)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

fn at(folder: &str, name: &str) -> String {
    format!("{folder}{name}")
}

#[test]
fn paths_alone_suffice() {
    let (image, signature) = (at(CX600, "CPE.nbt"), at(CX600, "CPE.cat"));
    check(
        &[&image, &signature, "readme.txt"],
        None,
        &["UCPhone/Polycom/CX600/A/ENU/CPE 4.0.7577.4387: I0=CPE.nbt S1=CPE.cat", "ignored: [2]"],
    );
    // Another spelling of the folder is the same place; the update type tells which file is the image.
    let other = at(&CX600.to_lowercase(), "boot.bin");
    check(&[&other, &image], None, &["ucphone/polycom/cx600/a/enu/cpe 4.0.7577.4387: O0=boot.bin I1=CPE.nbt"]);
    // The only file is the image, whatever its name; a catalog of another name is carried along.
    let (any, stranger) = (at(CX500, "phone.ld"), at(CX500, "other.cat"));
    check(&[&any, &stranger], None, &["UCPhone/Polycom/CX500/A/ENU/CPE 4.0.7577.4387: I0=phone.ld O1=other.cat"]);
    // A description of the image's name is not the image.
    let described = at(CX600, "CPE.xml");
    check(&[&image, &described], None, &["UCPhone/Polycom/CX600/A/ENU/CPE 4.0.7577.4387: I0=CPE.nbt O1=CPE.xml"]);
}

#[test]
fn interim_builds_share_a_folder() {
    check(
        &["OCInterim/ENU/CPE.nbt", "OCInterim/ENU/CPE.cat", "OCInterim/ENU/Boot.nbt", "OCInterim/DEU/CPE.nbt"],
        None,
        &[
            "interim UCPhone/ENU/CPE 1.0.522.103: I0=CPE.nbt S1=CPE.cat",
            "interim UCPhone/ENU/Boot 1.0.522.103: I2=Boot.nbt",
            "interim UCPhone/DEU/CPE 1.0.522.103: I3=CPE.nbt",
        ],
    );
    let described =
        "<Updates><Update interim='true' version='1.0.522.110' locale='ENU' deviceType='X' updateType='CPE'>
        <File name='a.nbt' path='OCInterim\\ENU'/></Update></Updates>";
    check(&["OCInterim/ENU/a.nbt"], Some(described), &["interim X/ENU/CPE 1.0.522.110: I0=a.nbt"]);
    let version = "<Updates><Update interim='1' version='1.0.522.110' updateType='boot'/></Updates>";
    check(
        &["OCInterim/ENU/CPE.nbt", "OCInterim/ENU/Boot.nbt"],
        Some(version),
        &["interim UCPhone/ENU/boot 1.0.522.110: I1=Boot.nbt", "ignored: [0]"],
    );
}

#[test]
fn a_description_is_filled_in_from_the_paths() {
    let (image, signature, other) = (at(CX600, "CPE.nbt"), at(CX600, "CPE.cat"), at(CX500, "CPE.nbt"));
    let paths: &[&str] = &["updateInfo.xml", &image, &signature, &other];
    let cx600 = "UCPhone/Polycom/CX600/A/ENU/CPE 4.0.7577.4387: I1=CPE.nbt S2=CPE.cat";
    let cx500 = "UCPhone/Polycom/CX500/A/ENU/CPE 4.0.7577.4387: I3=CPE.nbt";
    // Only the version is known of the original.
    check(paths, Some("<Updates><Updates><Update version='4.0.7577.4387'/></Updates></Updates>"), &[cx600, cx500]);
    check(
        paths,
        Some("<Updates><Update model='CX600'><File name='cpe.NBT'/></Update></Updates>"),
        &[cx600, "ignored: [3]"],
    );
    check(
        paths,
        Some(
            "<Updates><Update><VERSION>4.0.7577.4387</VERSION><Vendor>Polycom</Vendor><Model>CX500</Model>\
        <File><Name>CPE.nbt</Name></File></Update></Updates>",
        ),
        &[cx500, "ignored: [1, 2]"],
    );
    // Two elements may say the same.
    check(paths, Some("<Updates><Update model='CX500'/><Update/></Updates>"), &[cx500, cx600]);
    // One that lists nothing says nothing.
    check(paths, Some("<Updates/>"), &[cx600, cx500]);
    // What the description says counts for more than the path that it names.
    let moved = "<Updates><Update model='CX700'><File name='CPE.nbt' signature='CPE.cat' \
        path='\\UCPhone\\Polycom\\CX600\\A\\ENU\\4.0.7577.4387\\CPE\\'/></Update></Updates>";
    check(
        paths,
        Some(moved),
        &["UCPhone/Polycom/CX700/A/ENU/CPE 4.0.7577.4387: I1=CPE.nbt S2=CPE.cat", "ignored: [3]"],
    );
}

#[test]
fn a_complete_description_needs_no_paths() {
    let complete = |files: &str| {
        format!(
            "<Updates><Update version='1.2' deviceType='3PIP' brand='AudioCodes' model='420HD' revision='0' locale='ENU' \
             updateType='420HD'>{files}</Update></Updates>"
        )
    };
    let paths = ["420.img", "sub/420.cat", "license.txt"];
    let update = "3PIP/AudioCodes/420HD/0/ENU/420HD 1.2.0.0:";
    check(&paths, Some(&complete("<File name='420.img'/>")), &[&format!("{update} I0=420.img"), "ignored: [1, 2]"]);
    let signed = complete("<File name='420.img' signature='420.cat'/><File name='license.txt'/>");
    refuse(
        &paths,
        &signed,
        "which file is the image cannot be told from 420.img, license.txt, expected one named 420HD",
    );
    let signed = complete("<File name='420.img' signature='420.cat'/>");
    check(&paths, Some(&signed), &[&format!("{update} I0=420.img S1=420.cat"), "ignored: [2]"]);
    refuse(&paths, &complete(""), "no file of the package lies where its fields say");
    refuse(&paths, &complete("<File name='430.img'/>"), "it names the file \"430.img\", expected it in the package");
    refuse(&paths, &complete("<File name='420.img' path='sub'/>"), "it names the file \"sub/420.img\"");
    refuse(&["a/x", "b/x"], &complete("<File name='x'/>"), "several files are named \"x\"");
    refuse(&paths, &complete("<File/>"), "a File has no name");
    refuse(&[&at(CX600, "CPE.nbt")], &complete("<File name='CPE.nbt'/>"), "no file of the package lies where");
    refuse(&["ä.img"], &complete("<File name='ä.img'/>"), "name \"ä.img\" is not valid");
}

#[test]
fn what_contradicts_itself_is_refused() {
    refuse(&[], "<Updates><Update version='x'/></Updates>", "update 1: version \"x\" is not valid");
    refuse(&[], "<Updates><Update/><Update model='a/b'/></Updates>", "update 2: name \"a/b\" is not valid");
    let twice = "<Updates><Update version='1' deviceType='T' brand='B' model='M' revision='R' locale='L' updateType='U'>\
        <File name='a'/></Update><Update version='1.0' deviceType='t' brand='B' model='M' revision='R' locale='L' \
        updateType='U'><File name='b'/></Update></Updates>";
    refuse(&["a", "b"], twice, "is in the package twice with different files");
    let missing = "<Updates><Update version='1' deviceType='T' brand='B' revision='R' locale='L'><File name='a'/></Update></Updates>";
    refuse(&["a"], missing, "update 1: the model is missing");
    let same = "<Updates><Update version='1' deviceType='T' brand='B' model='M' revision='R' locale='L' updateType='a'>\
        <File name='a.x' path='1'/><File name='b.x' path='1'/><File name='B.X' path='2'/></Update></Updates>";
    refuse(&["1/a.x", "1/b.x", "2/B.X"], same, "two of its files are named B.X");
}

#[test]
fn a_description_cannot_make_us_do_more_than_a_package_can_mean() {
    let many = |one: &str, count: usize| format!("<Updates>{}</Updates>", one.repeat(count));
    let paths: Vec<String> = (0..200).map(|n| format!("T/B/{n}/R/L/1.0/CPE/CPE.nbt")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    assert_eq!(told(&paths, Some(&many("<Update/>", 50))).unwrap().len(), 200);
    refuse(&paths, &many("<Update/>", 51), "more than 10000 updates");
    refuse(&paths, &many("<Update/>", UPDATE_LIMIT + 1), "more than 10000 updates");
    let files = format!("<Update>{}</Update>", "<File name='a'/>".repeat(UPDATE_LIMIT + 1));
    refuse(&paths, &many(&files, 1), "more than 10000 files");
    let one_folder: Vec<String> = (0..1_000).map(|n| format!("T/B/M/R/L/1.0/CPE/{n}.nbt")).collect();
    let one_folder: Vec<&str> = one_folder.iter().map(String::as_str).collect();
    refuse(&one_folder, &many("<Update/>", 101), "more than 100000 files");
}

proptest! {
    #[test]
    fn any_paths_and_fields_are_sorted_or_refused(
        paths in proptest::collection::hash_set("(OCInterim/|T/B/(M|N)/R/L/1[.]0/CPE/|x/)?(ENU/)?(CPE|a|b)[.](nbt|cat|xml)", 0..8),
        fields in "(<Update( version='1[.]0'| model='M'| interim='1'| locale='ENU'){0,2}>(<File name='(CPE|a)[.]nbt'( signature='a[.]cat')?/>)?</Update>){0,3}",
    ) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let described = DescribedUpdates::parse(format!("<Updates>{fields}</Updates>").as_bytes());
        for description in [None, described.ok()] {
            let Ok(plan) = plan(&paths, description.as_ref()) else { continue };
            for update in &plan.updates {
                prop_assert_eq!(update.files.iter().filter(|file| file.role == FileRole::Image).count(), 1);
                prop_assert!(update.files.iter().filter(|file| file.role == FileRole::Signature).count() <= 1);
            }
            let used: HashSet<usize> = plan.updates.iter().flat_map(|u| &u.files).map(|file| file.index).collect();
            prop_assert!(plan.ignored.iter().all(|index| !used.contains(index)));
            prop_assert_eq!(used.len() + plan.ignored.len(), paths.len());
        }
    }
}
