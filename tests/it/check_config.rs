//! What `check-config` says of the mistakes that people make, word for word: file, line, what is wrong, and the mend.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tests::binary::{self, Said};

/// A configuration without a mistake, in a folder with everything that it names.
struct Setting {
    folder: TempDir,
    text: String,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let text = "\
[node]
name = \"node1\"
data_folder = \"FOLDER/data\"

[pool]
fqdn = \"pool01.contoso.com\"
internal_files_url = \"http://pool01.contoso.com/DeviceUpdateFiles_Int\"

[database]
url = \"host=db.contoso.com user=ucupdates dbname=ucupdates sslmode=require\"

[store]
folder = \"FOLDER/store\"

[listeners.internal_http]
addresses = [\"127.0.0.1:8080\"]

[listeners.internal_https]
addresses = [\"127.0.0.1:8443\"]

[tls]
domains = [\"contoso.com\"]

[connections]
most = 100
";
        Self { folder, text: text.to_owned() }
    }

    /// Changes a line.
    fn with(mut self, from: &str, to: &str) -> Self {
        assert_eq!(self.text.matches(from).count(), 1, "{from}");
        self.text = self.text.replace(from, to);
        self
    }

    /// Puts a file there.
    fn and_file(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Puts a certificate and its key there, as openssl makes them.
    fn and_certificate(self, name: &str, key: &str, days: &str, names: &str) -> Self {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-subj", "/CN=made", "-days", days, "-newkey"]).args(key.split(' '));
        openssl.args(["-addext", &format!("subjectAltName={names}")]);
        let [pem, key] = ["pem", "key"].map(|kind| format!("{name}.{kind}"));
        openssl.args(["-out", &pem, "-keyout", &key]).current_dir(&self.folder);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let folder = self.folder.path();
        std::fs::write(folder.join("config.toml"), self.text.replace("FOLDER", &folder.display().to_string())).unwrap();
        let mut command = Command::new(binary::path());
        command.args(arguments).env_clear().current_dir(folder).output().unwrap().into()
    }

    /// What is said of it, with the folder's real name and the user taken out.
    fn said(&self) -> String {
        let said = self.run(&["check-config", "config.toml"]);
        assert_eq!((said.code == 0, said.err.as_str()), (said.out.contains(" is valid: "), ""), "{said:?}");
        plain(&said.out, self.folder.path())
    }
}

fn plain(text: &str, folder: &Path) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    text.replace(&folder.display().to_string(), "FOLDER").replace(&format!("the user {user}"), "the user USER")
}

const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const NAMES: &str = "DNS:pool01.contoso.com,DNS:ucupdates-r2,DNS:ucupdates-r2.contoso.com";

#[test]
fn a_configuration_without_a_mistake_is_valid() {
    let setting = Setting::new();
    insta::assert_snapshot!(setting.said(), @r#"
    config.toml is valid: node node1 of pool pool01.contoso.com (checked as the user USER)
    "#);
    assert!(!setting.folder.path().join("data").exists(), "a check changes nothing");
}

#[test]
fn ten_mistakes_are_named_with_their_lines_and_their_mends() {
    let mistakes = [
        Setting::new().with("fqdn =", "fqnd ="),
        Setting::new().with("[store]", "most = 500\n[store]"),
        Setting::new().with("[\"127.0.0.1:8443\"]", "[\"443\"]"),
        Setting::new().with("sslmode=require", "sslmode=require password=secret"),
        Setting::new().with("[store]", "password_file = \"FOLDER/password\"\n[store]"),
        Setting::new().with("FOLDER/store", "/mnt/share-that-is-not-mounted"),
        Setting::new().with("127.0.0.1:8443", "127.0.0.1:8080"),
        Setting::new().with("most = 100", "most = \"100\""),
        Setting::new().with("domains = [\"contoso.com\"]", "rsa_certificate_file = \"C:\\keys\\rsa.pem\""),
        Setting::new()
            .with("[listeners.internal_https]\n", "[listeners.internal_https]\nproxy_from = [\"balancer\"]\n"),
    ];
    insta::assert_snapshot!(mistakes.map(|setting| setting.said()).join("\n"), @r#"
    config.toml:6:1: error: [pool] knows no setting `fqnd`
      mend: did you mean `fqdn`?
    config.toml has 1 error

    config.toml:12:1: error: [database] knows no setting `most`
      mend: `most` belongs in [connections]: move it there
    config.toml has 1 error

    config.toml:19:14: error: [listeners.internal_https] addresses[0]: "443" is no address with a port
      mend: an IPv6 address stands in brackets: write it like `addresses = ["0.0.0.0:443", "[::]:443"]`
    config.toml has 1 error

    config.toml:10:1: error: [database] url holds a password: whoever may read this file would know it
      mend: take it out, put it alone into a file, and name that: password_file = "/etc/ucupdates/database-password"
    config.toml has 1 error

    config.toml:12:1: error: [database] password_file FOLDER/password is not there
      mend: write the password into it, then: chown root:ucupdates FOLDER/password && chmod 0640 FOLDER/password
    config.toml has 1 error

    config.toml:13:1: error: [store] folder /mnt/share-that-is-not-mounted is not there
      mend: mount the share, or: install -d -o ucupdates -g ucupdates -m 0750 /mnt/share-that-is-not-mounted
    config.toml has 1 error

    config.toml:19:14: error: [listeners.internal_https] addresses: 127.0.0.1:8080 is taken by [listeners.internal_http] addresses already
      mend: give each listener a port of its own; an empty list switches one off
    config.toml has 1 error

    config.toml:25:8: error: [connections] most: string "100", expected a whole number
      mend: without quotes: write it like `most = 20000`
    config.toml has 1 error

    config.toml:22:28: error: this is no TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
      mend: in double quotes a backslash begins an escape: put the text in single quotes, or write \\
    config.toml has 1 error

    config.toml:19:15: error: [listeners.internal_https] proxy_from[0]: "balancer" is no IP address or network
      mend: write it like `proxy_from = ["10.0.0.0/24"]`
    config.toml has 1 error
    "#);
}

#[test]
fn mistakes_with_certificates_are_named() {
    let configured = |files: &str| Setting::new().with("[tls]", &format!("[tls]\n{files}"));
    let ecdsa = "ecdsa_certificate_file = \"FOLDER/a.pem\"\necdsa_key_file = \"FOLDER/a.key\"";
    let rsa = "rsa_certificate_file = \"FOLDER/b.pem\"\nrsa_key_file = \"FOLDER/b.key\"";
    let both = || configured(&format!("{ecdsa}\n{rsa}"));
    let mistakes = [
        configured(ecdsa),
        configured(&ecdsa.replace("a.key", "b.key"))
            .and_certificate("a", EC, "90", NAMES)
            .and_certificate("b", "rsa:2048", "90", NAMES),
        both().and_certificate("a", EC, "90", "DNS:pool01.contoso.com").and_certificate("b", "rsa:2048", "5", NAMES),
        both().and_certificate("a", EC, "90", NAMES).and_certificate("b", EC, "90", NAMES),
        configured(rsa).and_certificate("b", "rsa:2048", "90", "DNS:*.contoso.com,DNS:ucupdates-r2").and_file(
            "b.pem",
            "no certificate",
            0o600,
        ),
    ];
    let said = mistakes.map(|setting| setting.said()).join("\n");
    let (before, day) = said.split_once("expires on ").unwrap();
    let said = format!("{before}expires on DAY{}", &day["2026-01-05".len()..]);
    insta::assert_snapshot!(said, @r#"
    config.toml:22:1: error: [tls] cannot read FOLDER/a.pem: No such file or directory (os error 2)
      mend: put FOLDER/a.pem there, or mend the name
    config.toml has 1 error

    config.toml:23:1: error: [tls] FOLDER/b.key: is not the key of the first certificate in FOLDER/a.pem
      mend: name the two that belong together: ecdsa_certificate_file and ecdsa_key_file
    config.toml has 1 error

    config.toml:22:1: warning: [tls] FOLDER/a.pem is not good for ucupdates-r2, ucupdates-r2.contoso.com: phones that ask for it refuse TLS
      mend: have a certificate made with these as subject alternative names (DNS)
    config.toml:24:1: warning: [tls] FOLDER/b.pem expires on DAY
      mend: renew it: a node that runs takes the new one without a restart
    config.toml is valid: node node1 of pool pool01.contoso.com, with 2 warnings (checked as the user USER)

    config.toml:24:1: error: [tls] give one certificate with an ECDSA key, one with an RSA key, or one of each: FOLDER/b.pem is a second one of its kind
      mend: give one pair with an ECDSA P-256 key and one with an RSA key, or only one of them
    config.toml has 1 error

    config.toml:22:1: error: [tls] FOLDER/b.pem: holds no certificate; expected '-----BEGIN CERTIFICATE-----'
      mend: store it as PEM: the certificate first, then those of its authorities; the key without a password
    config.toml has 1 error
    "#);
}

#[test]
fn secrets_that_everyone_may_read_are_told() {
    let setting = Setting::new().with("[store]", "password_file = \"FOLDER/password\"\n[store]");
    let setting = setting.and_file("password", "secret\n", 0o644);
    let files = "[tls]\nrsa_certificate_file = \"FOLDER/b.pem\"\nrsa_key_file = \"FOLDER/b.key\"";
    let setting = setting.with("[tls]", files).and_certificate("b", "rsa:2048", "90", NAMES);
    std::fs::set_permissions(setting.folder.path().join("b.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(setting.said(), @r#"
    config.toml:12:1: warning: [database] password_file FOLDER/password can be read by everyone here
      mend: chown root:ucupdates FOLDER/password && chmod 0640 FOLDER/password
    config.toml:24:1: warning: [tls] the key FOLDER/b.key can be read by everyone here
      mend: chown root:ucupdates FOLDER/b.key && chmod 0640 FOLDER/b.key
    config.toml is valid: node node1 of pool pool01.contoso.com, with 2 warnings (checked as the user USER)
    "#);
    let empty = setting.and_file("password", "\n", 0o600);
    let said = empty.said();
    assert!(said.contains("password_file FOLDER/password: its first line is empty"), "{said}");
}

#[test]
fn programs_get_json_and_a_start_says_the_same() {
    let setting = Setting::new().with("fqdn =", "fqnd =").with("most = 100", "most = 0");
    let said = setting.run(&["check-config", "--json", "config.toml"]);
    assert_eq!(said.code, 1, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let problem = &report["problems"][0];
    let facts = (&report["valid"], &problem["severity"], &problem["line"], &problem["column"], &problem["setting"]);
    assert_eq!(format!("{facts:?}"), r#"(Bool(false), String("error"), Number(6), Number(1), String("pool.fqnd"))"#);
    assert_eq!(problem["mend"], "did you mean `fqdn`?");
    assert_eq!(report["problems"].as_array().unwrap().len(), 2);

    let shown = setting.run(&["check-config", "config.toml"]).out;
    let (problems, _) = shown.trim_end().rsplit_once('\n').unwrap();
    let started = setting.run(&["serve", "--config", "config.toml"]);
    assert_eq!(
        (started.code, started.err.trim_end()),
        (1, format!("error: the configuration config.toml has 2 errors\n{problems}").as_str())
    );
    let missing = setting.run(&["check-config", "missing.toml"]);
    assert!(
        missing.code == 1 && missing.err.contains("missing.toml (--config FILE names another; deploy/config.toml"),
        "{missing:?}"
    );
}

#[test]
fn a_store_is_one_thing_and_reached_as_it_is_meant() {
    let key = "AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n";
    let said = |lines: &str, credentials: &str| {
        let lines = format!("{lines}credentials_file = \"FOLDER/key\"");
        let setting = Setting::new().with("folder = \"FOLDER/store\"", &lines).and_file("key", credentials, 0o640);
        setting.said()
    };
    let valid =
        ["url = \"s3://phones/store\"\n", "url = \"s3://phones\"\nendpoint = \"http://s3:9000\"\nallow_http = true\n"];
    for lines in valid {
        assert!(said(lines, key).contains("is valid"), "{}", said(lines, key));
    }
    let service_account = "{\"private_key\": \"x\"}";
    let wrong = [
        ("folder = \"/srv\"\nurl = \"s3://phones\"\n", key, "folder and url are both given"),
        ("url = \"https://s3.contoso.com/phones\"\n", key, "https:// is no kind of store"),
        ("url = \"s3://key:secret@phones\"\n", key, "credentials do not belong into the URL"),
        ("folder = \"/srv\"\n", key, "credentials_file is for a bucket"),
        ("url = \"az://phones\"\nregion = \"westeurope\"\n", key, "region is for s3://, not az://"),
        ("url = \"s3://phones\"\nendpoint = \"s3.contoso.com:9000\"\n", key, "no http or https URL"),
        ("url = \"s3://phones\"\nendpoint = \"http://s3:9000\"\n", key, "allow_http = true"),
        ("url = \"s3://phones\"\nendpoint = \"https://key:secret@s3\"\n", key, "endpoint holds credentials"),
        ("url = \"s3://phones\"\nca_file = \"FOLDER/key\"\n", key, "holds no certificate in PEM"),
        ("url = \"s3://phones\"\n", "secret\n", "line 1 of FOLDER/key is not of the form AWS_NAME=value"),
        ("url = \"s3://phones\"\n", "AWS_COLOUR=blue\n", "AWS_COLOUR is no name of a credential"),
        ("url = \"s3://phones\"\n", "# none\n", "holds no credentials"),
        ("url = \"az://phones\"\n", key, "line 1 of FOLDER/key is not of the form AZURE_NAME=value"),
        ("url = \"az://phones\"\n", "AZURE_STORAGE_ACCOUNT_KEY=a2V5\n", "account"),
        ("url = \"gs://phones\"\n", service_account, "[store] url:"),
    ];
    for (lines, credentials, expected) in wrong {
        let said = said(lines, credentials);
        assert!(said.contains(expected) && said.contains("mend:"), "{lines}{said}");
        assert!(!said.contains("secret\n"), "{said}");
    }
}
