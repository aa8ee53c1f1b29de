//! The paragraphs, as people read them: one for each reason that a decision can have.

use super::*;
use crate::decide::decide;
use crate::decide::world::{MAC, World, phone};
use proptest::prelude::*;

const IP8540: &str = "UCPhone/LG-Nortel/IP8540/A/ENU/CPE";

/// Wrapped at 100 characters, so that the tests can be read.
fn paragraph(world: &World, request: &UpdateRequest) -> String {
    let (rules, servable) = world.build();
    let text = explain(request, &decide(request, &rules, &servable), &rules);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let fits = lines.last().is_some_and(|line| line.len() + word.len() < 100);
        match lines.last_mut() {
            Some(line) if fits && line.is_empty() => *line += word,
            Some(line) if fits => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn has(installed: &str) -> UpdateRequest {
    phone(&[&format!("cpe.nbt {installed}")])
}

#[test]
fn offered() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "4.0.7577.4387", ""), &has("4.0.7577.0")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 4.0.7577.0. The rule for it in pool01.demo.local has 4.0.7577.4387
        approved and nothing pending. It shall have the approved version, which differs from what it has, so
        it is offered CPE.nbt 4.0.7577.4387
        (http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/4.0.7577.4387/CPE/CPE.nbt).
        It is no test device: neither its MAC address nor its serial number is listed, globally or for site
        Redmond. A phone asks at power-on, at each sign-in and every 24 hours, and installs when it is idle.
        "#);
}

#[test]
fn offered_a_downgrade() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "3.5", "4.1"), &has("4.0")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 4.0.0.0. The rule for it in pool01.demo.local has 3.5.0.0 approved and
        4.1.0.0 pending. It shall have the approved version, which differs from what it has, so it is
        offered CPE.nbt 3.5.0.0
        (http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.0.0/CPE/CPE.nbt).
        This is a downgrade: the version is older than the installed one, and the difference decides. It is
        no test device: neither its MAC address nor its serial number is listed, globally or for site
        Redmond. A phone asks at power-on, at each sign-in and every 24 hours, and installs when it is idle.
        "#);
}

#[test]
fn offered_to_a_test_device() {
    let world = World::new().rule(IP8540, "3.5", "3.6").test_device("MACAddress", MAC);
    insta::assert_snapshot!(paragraph(&world, &has("3.5")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. The rule for it in pool01.demo.local has 3.5.0.0 approved and
        3.6.0.0 pending. As a test device it shall have the pending version, which differs from what it has,
        so it is offered CPE.nbt 3.6.0.0
        (http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.6.0.0/CPE/CPE.nbt). It
        is a test device (global or of site Redmond) by its MAC address. A phone asks at power-on, at each
        sign-in and every 24 hours, and installs when it is idle.
        "#);
}

#[test]
fn offered_without_approval() {
    let world = World::new().rule("RoundTable/Microsoft/RTC/A/ENU/CPE", "", "2.0");
    let (device_type, vendor, model) = ("RoundTable".into(), "Microsoft".into(), "RTC".into());
    let request = UpdateRequest { device_type, vendor, model, mac: String::new(), serial: "X1".into(), ..has("1.0") };
    insta::assert_snapshot!(paragraph(&world.test_device("SerialNumber", "X2"), &request), @r#"
        The phone Microsoft RTC (RoundTable, revision A, locale ENU, serial number X1) reports cpe.nbt
        1.0.0.0. The rule for it in pool01.demo.local has nothing approved and 2.0.0.0 pending. Its device
        type is served without approval, so it shall have the pending version, which differs from what it
        has, so it is offered CPE.nbt 2.0.0.0
        (http://ocs.demo.local/DeviceUpdateFiles_Int/RoundTable/Microsoft/RTC/A/ENU/2.0.0.0/CPE/CPE.nbt). It
        is no test device: neither its MAC address nor its serial number is listed, globally or for site
        Redmond. A phone asks at power-on, at each sign-in and every 24 hours, and installs when it is idle.
        "#);
}

#[test]
fn an_interim_build_first() {
    let world = World::new().rule(IP8540, "3.5.6907.0", "").interim("1.0.522.103");
    insta::assert_snapshot!(paragraph(&world, &has("0.0.0.0")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 0.0.0.0, which means that nothing is installed. The rule for it in
        pool01.demo.local has 3.5.6907.0 approved and nothing pending. It shall have the approved version,
        which differs from what it has. Versions below 1.0.522.98 must take the interim build 1.0.522.103
        first, so it is offered CPE.nbt 1.0.522.103
        (http://ocs.demo.local/DeviceUpdateFiles_Int/OCInterim/ENU/CPE.nbt) now: step 1 of 2. It is no test
        device: neither its MAC address nor its serial number is listed, globally or for site Redmond. A
        phone asks at power-on, at each sign-in and every 24 hours, and installs when it is idle.
        "#);
}

#[test]
fn three_steps() {
    let world = World::new().rule(IP8540, "4.0", "").interim("1.0.522.103").stone("3.5", "3.5.6907.0");
    assert!(paragraph(&world, &has("1.0.522.34")).replace('\n', " ").contains("step 1 of 3."));
}

#[test]
fn an_interim_build_that_is_missing() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "3.5.6907.0", ""), &has("1.0.522.34")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 1.0.522.34. The rule for it in pool01.demo.local has 3.5.6907.0
        approved and nothing pending. It shall have the approved version, which differs from what it has.
        Versions below 1.0.522.98 must take the interim build 1.0.522.103 first, and no imported package
        brought it, so it is told that there is no update; import the package that has it. It is no test
        device: neither its MAC address nor its serial number is listed, globally or for site Redmond.
        "#);
}

#[test]
fn not_ready_yet() {
    let world = World::new().rule(IP8540, "3.5", "").unheld("3.5").test_device("SerialNumber", "C185H001209");
    insta::assert_snapshot!(paragraph(&world, &has("3.4")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.4.0.0. The rule for it in pool01.demo.local has 3.5.0.0 approved and
        nothing pending. It shall have the approved version, which differs from what it has. But this node
        does not hold all files of 3.5.0.0, so it is told that there is no update: it is offered once they
        have arrived. It is a test device (global or of site Redmond) by its serial number.
        "#);
}

#[test]
fn not_ready_on_the_way() {
    let world = World::new().rule(IP8540, "3.5", "").interim("1.0.522.103").unheld("3.5");
    insta::assert_snapshot!(paragraph(&world, &has("1.0")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 1.0.0.0. The rule for it in pool01.demo.local has 3.5.0.0 approved and
        nothing pending. It shall have the approved version, which differs from what it has. But this node
        does not hold all files of 3.5.0.0 and of the interim build 1.0.522.103, which versions below
        1.0.522.98 must take first, so it is told that there is no update: it is offered once they have
        arrived. It is no test device: neither its MAC address nor its serial number is listed, globally or
        for site Redmond.
        "#);
}

#[test]
fn not_approved() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "", "3.6"), &has("3.5")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. The rule for it in pool01.demo.local has nothing approved and
        3.6.0.0 pending. Only test devices get a pending version, so it is told that there is no update;
        approve 3.6.0.0 and it is offered. It is no test device: neither its MAC address nor its serial
        number is listed, globally or for site Redmond.
        "#);
}

#[test]
fn nothing_in_the_rule() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "", ""), &has("3.5")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. The rule for it in pool01.demo.local has nothing approved and
        nothing pending. So it is told that there is no update. It is no test device: neither its MAC
        address nor its serial number is listed, globally or for site Redmond.
        "#);
}

#[test]
fn up_to_date() {
    insta::assert_snapshot!(paragraph(&World::new().rule(IP8540, "3.5", "3.6"), &has("3.5")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. The rule for it in pool01.demo.local has 3.5.0.0 approved and
        3.6.0.0 pending. It shall have the approved version, which is the one it has, so it is told that
        there is no update. It is no test device: neither its MAC address nor its serial number is listed,
        globally or for site Redmond.
        "#);
}

#[test]
fn no_rule() {
    insta::assert_snapshot!(paragraph(&World::new(), &has("3.5")), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. pool01.demo.local has no rule for
        UCPhone/LG-Nortel/IP8540/A/ENU/cpe, so it is told that there is no update; import a package that is
        for it.
        "#);
}

#[test]
fn no_key() {
    let request = UpdateRequest { revision: String::new(), ..has("3.5") };
    insta::assert_snapshot!(paragraph(&World::new(), &request), @r#"
        The phone LG-Nortel IP8540 (UCPhone, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports cpe.nbt 3.5.0.0. It does not say its revision, so no rule can match and it is
        told that there is no update.
        "#);
}

#[test]
fn a_hostile_key() {
    let request = UpdateRequest { model: "../\u{1b}[2J".into(), ..has("3.5") };
    insta::assert_snapshot!(paragraph(&World::new(), &request), @r#"
        The phone LG-Nortel ../_[2J (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial
        number C185H001209) reports cpe.nbt 3.5.0.0. Its model, "../_[2J", can't be part of a rule, so no
        rule can match and it is told that there is no update.
        "#);
}

#[test]
fn no_module() {
    insta::assert_snapshot!(paragraph(&World::new(), &UpdateRequest::default()), @r#"
        This phone names no file that could be updated, so it is told that there is no update.
        "#);
}

#[test]
fn two_modules() {
    let world = World::new().rule(IP8540, "3.5", "").rule("UCPhone/LG-Nortel/IP8540/A/ENU/BOOT", "1.1", "");
    insta::assert_snapshot!(paragraph(&world, &phone(&["cpe.nbt 3.4", "boot.nbt 1.1"])), @r#"
        The phone LG-Nortel IP8540 (UCPhone, revision A, locale ENU, MAC address 0021630F207B, serial number
        C185H001209) reports 2 files. It reports cpe.nbt 3.4.0.0. The rule for it in pool01.demo.local has
        3.5.0.0 approved and nothing pending. It shall have the approved version, which differs from what it
        has, so it is offered CPE.nbt 3.5.0.0
        (http://ocs.demo.local/DeviceUpdateFiles_Int/UCPhone/LG-Nortel/IP8540/A/ENU/3.5.0.0/CPE/CPE.nbt). It
        reports boot.nbt 1.1.0.0. The rule for it in pool01.demo.local has 1.1.0.0 approved and nothing
        pending. It shall have the approved version, which is the one it has, so it is told that there is no
        update. It is no test device: neither its MAC address nor its serial number is listed, globally or
        for site Redmond. A phone asks at power-on, at each sign-in and every 24 hours, and installs when it
        is idle.
        "#);
}

proptest! {
    #[test]
    fn nothing_that_a_phone_says_controls_the_terminal(model in ".{0,20}", file_name in ".{0,20}", mac in ".{0,20}") {
        let mut request = UpdateRequest { model, mac, ..has("3.5") };
        request.modules[0].file_name = file_name;
        let (rules, servable) = World::new().build();
        let text = explain(&request, &decide(&request, &rules, &servable), &rules);
        prop_assert!(!text.contains(char::is_control), "{text:?}");
    }
}
