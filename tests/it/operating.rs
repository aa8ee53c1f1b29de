//! What an operator installs beside the program: completions, manual pages, the systemd unit. Judged by bash, groff and
//! systemd-analyze.

use std::path::Path;
use std::process::{Command, Output};
use tests::binary::{self, Said};

fn ucupdates(arguments: &[&str]) -> Said {
    Command::new(binary::path()).args(arguments).env_clear().output().unwrap().into()
}

fn bash(script: &str, folder: &Path) -> Output {
    Command::new("bash").args(["--norc", "-c", script]).current_dir(folder).output().unwrap()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ucupdates.bash"), ucupdates(&["completions", "bash"]).ok()).unwrap();
    let check = |words: &str, expected: &str| {
        let script = format!(
            "set -eu; bash -n ucupdates.bash; source ./ucupdates.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ucupdates ucupdates \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let said = Said::from(bash(&script, folder.path()));
        assert_eq!(said.ok().trim(), expected, "{words}");
    };
    check("ucupdates check", "check-config");
    check("ucupdates rule ap", "approve");
    check("ucupdates rule list --sta", "--state");
    check("ucupdates rule list --state p", "pending");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(ucupdates(&["completions", shell]).ok().contains("check-config"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_groff_takes_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("man1");
    ucupdates(&["man", "--output", output.to_str().unwrap()]).ok();
    let pages: Vec<_> = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 50, "{}", pages.len());
    for page in &pages {
        let mut groff = Command::new("groff");
        let shown = groff.args(["-man", "-Tutf8", "-ww"]).arg(page).output().unwrap();
        assert!(shown.status.success() && shown.stderr.is_empty(), "{}: {shown:?}", page.display());
    }
    let approve = ucupdates(&["man", "rule", "approve"]).ok();
    assert_eq!(approve, std::fs::read_to_string(output.join("ucupdates-rule-approve.1")).unwrap());
    assert!(approve.contains("ucupdates rule approve"), "{approve}");
    let unknown = ucupdates(&["man", "rule", "aprove"]);
    assert_eq!(
        (unknown.code, unknown.err.trim_end()),
        (2, "error: there is no command `rule aprove`: see ucupdates --help")
    );
}

#[test]
fn the_systemd_unit_is_hardened_and_agrees_with_the_configuration() {
    let unit = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd/ucupdates.service"));
    let mut analyze = Command::new("systemd-analyze");
    // 20 is 2.0 of its scale from 0 to 10.
    let said = Said::from(analyze.args(["security", "--offline=yes", "--threshold=20"]).arg(unit).output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("Overall exposure level"), "{said:?}");

    let text = std::fs::read_to_string(unit).unwrap();
    let setting = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} in the unit"))
    };
    let config =
        node::config::Config::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config.toml"))).unwrap();
    let folder = config.store.local_folder().unwrap().display().to_string();
    let stop_s: u64 = setting("TimeoutStopSec").parse().unwrap();
    assert!(config.connections.drain_timeout_ms + 20_000 < stop_s * 1000, "the drain, and the last audit lines");
    assert!(setting("LimitNOFILE").parse::<usize>().unwrap() > 2 * config.connections.most);
    assert_eq!(setting("ReadWritePaths"), folder);
    assert_eq!(setting("RequiresMountsFor"), folder);
    assert!(setting("ExecStart").ends_with(" serve --config /etc/ucupdates/config.toml"));
}

#[test]
fn the_certificates_of_a_pool_are_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = "database = { url = 'host=db' }\nstore = { folder = '/srv/ucupdates' }\n[pool]\nfqdn = 'pool01.contoso.com'\n\
                [tls]\ndomains = ['branch.example']\nnames = ['node', '10.1.1.90']\n\
                ecdsa_certificate_file = '/nowhere/ecdsa.pem'\necdsa_key_file = '/nowhere/ecdsa.key'\n";
    std::fs::write(&config, text).unwrap();
    let tls = folder.path().join("tls");
    let make =
        || ucupdates(&["certificates", "--folder", tls.to_str().unwrap(), "--config", config.to_str().unwrap()]).ok();
    let said = make();
    assert!(said.starts_with("the pool's certificates are in ") && said.contains(", valid until "), "{said}");
    let read = |name: &str| std::fs::read_to_string(tls.join(name)).unwrap();
    let made = ["ca.pem", "ca.key", "ecdsa.pem", "ecdsa.key", "rsa.pem", "rsa.key"].map(read);
    assert_eq!(make(), said);
    assert_eq!(["ca.pem", "ca.key", "ecdsa.pem", "ecdsa.key", "rsa.pem", "rsa.key"].map(read), made);
    let mut openssl = Command::new("openssl");
    openssl
        .args(["verify", "-CAfile"])
        .arg(tls.join("ca.pem"))
        .args(["-verify_hostname", "ucupdates-r2.branch.example"]);
    let verified = openssl.args(["-verify_ip", "10.1.1.90"]).arg(tls.join("rsa.pem")).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
