//! What is said of a configuration that is wrong: every problem at once, each with its place and its mend.

use super::*;
use std::fmt::Write as _;

const SMALLEST: &str = "[pool]\nfqdn = 'pool01.contoso.com'\n[database]\nurl = 'host=/run'\n[store]\nfolder = '/srv'\n";

/// `2:1 error: what | mend`, one a line.
fn told(text: &str) -> String {
    let (config, problems) = read(text);
    assert_eq!(config.is_none(), problems.iter().any(|problem| problem.severity == Severity::Error));
    problems.iter().fold(String::new(), |mut told, Problem { severity, place, problem, mend, .. }| {
        let place = place.map_or_else(|| "-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        writeln!(told, "{place} {severity}: {problem} | {mend}").unwrap();
        told
    })
}

#[test]
fn the_smallest_configuration_has_no_problem() {
    assert_eq!(told(SMALLEST), "");
}

#[test]
fn all_mistakes_are_told_at_once_each_in_its_place() {
    let text = "\
nodes = { name = 'node1' }
[pool]
fqnd = 'pool01.contoso.com'
site = 5
most = 3
[store]
folder = '/srv'
[database]
url = 'host=/run password=x'
poll_intervall_ms = 9
[listeners]
internal_http = { addresses = ['80'], adresses = [] }
external_https = { addresses = ['[::]:4443', '[::]:9443'], proxy_from = ['0.0.0.0/0', 'balancer'] }
[log]
format = 'xml'
colour = 1
[connections]
most = '20'
request_timeout_ms = 0
idle_timeout_ms = -1
[listeners.management_https]
proxy_from = '10.0.0.0/24'
";
    insta::assert_snapshot!(told(text), @r#"
    1:1 error: there is no section or setting `nodes` | did you mean `node`?
    3:1 error: [pool] knows no setting `fqnd` | did you mean `fqdn`?
    4:8 error: [pool] site: integer `5`, expected text | write it like `site = "Redmond"`
    5:1 error: [pool] knows no setting `most` | `most` belongs in [connections]: move it there
    9:1 error: [database] url holds a password: whoever may read this file would know it | take it out, put it alone into a file, and name that: password_file = "/etc/ucupdates/database-password"
    10:1 error: [database] knows no setting `poll_intervall_ms` | did you mean `poll_interval_ms`?
    12:32 error: [listeners.internal_http] addresses[0]: '80' is no address with a port | an IPv6 address stands in brackets: write it like `addresses = ["0.0.0.0:80", "[::]:80"]`
    12:39 error: [listeners.internal_http] knows no setting `adresses` | did you mean `addresses`?
    13:87 error: [listeners.external_https] proxy_from[1]: 'balancer' is no IP address or network | write it like `proxy_from = ["10.0.0.0/24"]`
    15:10 error: [log] format: unknown variant `xml`, expected `text` or `json` | write it like `format = "text"`
    16:1 error: [log] knows no setting `colour` | delete the line; deploy/config.toml shows every setting
    18:8 error: [connections] most: string "20", expected a whole number | without quotes: write it like `most = 20000`
    19:1 error: [connections] request_timeout_ms is 0: nothing would be in time | write 100 or more (milliseconds)
    20:19 error: [connections] idle_timeout_ms: integer `-1`, expected a whole number that is not negative | write it like `idle_timeout_ms = 60000`
    22:14 error: [listeners.management_https] proxy_from: string "10.0.0.0/24", expected a list | write it like `proxy_from = ["10.0.0.0/24"]`
    "#);
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let text = "\
[node]
data_folder = '/srv/u/node1'
[pool]
fqdn = 'pool01.contoso.com'
internal_files_url = 'http://pool01.contoso.com/Files'
external_update_url = 'http://updates.contoso.com/RequestHandlerExt/ucdevice.upx'
[database]
url = 'host=db.contoso.com user=u'
ca_file = 'ca.pem'
connect_timeout_ms = 3000
[store]
folder = '/srv/u'
[tls]
domains = ['https://contoso.com', 'contoso.com']
rsa_key_file = 'rsa.key'
[connections]
drain_notice_ms = 60000
[listeners]
internal_http = { addresses = [] }
internal_https = { addresses = ['0.0.0.0:443', '127.0.0.1:443'] }
external_https = { addresses = ['[::]:443'], proxy_from = ['::/0'] }
management_https = { addresses = [] }
[log]
filter = 'node=loud'
";
    insta::assert_snapshot!(told(text), @r#"
    2:1 error: [node] data_folder /srv/u/node1 is inside [store] folder: other nodes would see this node's keys | keep the two apart, such as /var/lib/ucupdates and /srv/ucupdates
    5:1 warning: [pool] internal_files_url: no listener serves "/Files", the path of http://pool01.contoso.com/Files | end it with /DeviceUpdateFiles_Int
    5:1 warning: [pool] internal_files_url is http, but [listeners.internal_http] is switched off | write https://, or give that listener an address
    6:1 warning: [pool] external_update_url is http: phones outside would send their passwords in the clear | write https://: the external listener speaks nothing else
    7:2 warning: [database] query_timeout_ms (2000) is shorter than connect_timeout_ms (3000): a query gives up before a new connection can stand | make query_timeout_ms the longer one
    9:1 error: [database] ca_file is given, but url does not ask for TLS | add sslmode=require to url, or take ca_file out
    14:12 error: [tls] domains: "https://contoso.com" is no DNS domain | write the DNS domain that DHCP gives to phones, such as "contoso.com"
    15:1 error: [tls] rsa_key_file is given without rsa_certificate_file | add rsa_certificate_file below it, or take rsa_key_file out
    16:2 warning: [connections] a stop may take 80000 ms (drain_notice_ms and drain_timeout_ms), and deploy/systemd/ucupdates.service allows 90 s | stay below 70000 ms, or raise TimeoutStopSec in the unit as well
    20:48 error: [listeners.internal_https] addresses: 127.0.0.1:443 is taken by [listeners.internal_https] addresses already | give each listener a port of its own; an empty list switches one off
    21:60 warning: [listeners.external_https] proxy_from: ::/0 is the whole world: whoever connects may name any address as the phone's | list the addresses of the balancers alone, such as "10.1.1.5"
    22:1 warning: [listeners.management_https] is switched off: no administrator can reach this node, and nothing can ask /ready or /metrics | give it an address, such as ["127.0.0.1:9443"]
    24:1 error: [log] filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5 | write error, warn, info, debug, or directives such as "info,node=debug"
    "#);
}

#[test]
fn what_is_no_toml_is_told_at_its_line() {
    let check = |line: &str| told(&format!("{SMALLEST}[tls]\n{line}\n"));
    let lines = [
        "names = [updates.contoso.com]",
        "names = ['a'",
        r#"rsa_key_file = "C:\keys\rsa.key""#,
        "names = []\nnames = []",
        "[pool]",
        "rsa_key_file",
    ];
    insta::assert_snapshot!(lines.map(check).concat(), @r#"
    8:10 error: this is no TOML: string values must be quoted, expected literal string | put text in double quotes: name = "text"
    8:13 error: this is no TOML: unclosed array, expected `]` | close it; text is in double quotes: name = "text"
    8:20 error: this is no TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U` | in double quotes a backslash begins an escape: put the text in single quotes, or write \\
    9:1 error: this is no TOML: duplicate key | keep one of the two, and give a section only once
    8:2 error: this is no TOML: duplicate key | keep one of the two, and give a section only once
    8:13 error: this is no TOML: key with no value, expected `=` | a line is `name = value`, with text in double quotes, or a `[section]`
    "#);
}
