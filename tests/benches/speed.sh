#!/usr/bin/env bash
# The figures of DESIGN.md 9: what the service costs beside nginx, on the machine that this runs on. Sets up Standard
# Edition in a folder of its own with one approved update, lets the comparison kit measure it, and cleans up.
#
#   tests/benches/speed.sh KIT [WHAT...]
#
# KIT   the folder of the comparison kit, which is not part of this repository: compare.sh, and phonestorm, its load
#       maker. compare.sh starts an nginx of its own, on ports that it names and that must be free.
# WHAT  check      a check on a new TLS 1.3 connection, and on one that is kept
#       rsa        a check on a new TLS 1.2 connection with an RSA-2048 certificate
#       storm      2,000 new connections a second, open loop
#       download   eight clients, plain and TLS
#       slow       1,000 clients at 128 KB/s, and their memory
#       hung       check once more, while PostgreSQL is stopped by SIGSTOP
#       all of them, in this order, when none is given
#
# Needs root or sudo rights only where `ucupdates standard` does; nginx, jq, openssl, python3, curl, taskset, cargo, two
# cores that are otherwise idle, and the ports below. In the environment:
#   ROUNDS, SECS   rounds and seconds of each measurement (5 and 4)
#   FILE_MB        size of the downloaded image (32)
#   UCUPDATES      the program; built by cargo (release) when not given
#   PORT           the first of six ports that are free one after the other (18090)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

case "${1:-}" in
  '' | -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
kit=$(realpath "$1")
shift
for part in compare.sh phonestorm/Cargo.toml; do
  [ -f "$kit/$part" ] || stop "$kit does not hold $part"
done
for command in nginx jq openssl python3 curl taskset cargo; do
  command -v "$command" >/dev/null || stop "$command is missing"
done
[ "$(nproc)" -ge 2 ] || stop "two cores are needed: one for the server, one for the clients"
if [ $# -eq 0 ]; then set -- check rsa storm download slow hung; fi
export ROUNDS=${ROUNDS:-5} SECS=${SECS:-4}
port=${PORT:-18090}
mapfile -t kit_ports < <(sed -n 's/.*listen 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$kit/compare.sh")
for free in $(seq "$port" $((port + 5))) "${kit_ports[@]}"; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$free") 2>/dev/null; then stop "port $free is in use"; fi
done
plain=127.0.0.1:$port
tls=127.0.0.1:$((port + 1))
rsa=127.0.0.1:$((port + 4))
rsa_nginx=127.0.0.1:$((port + 5))
handler=/RequestHandler/ucdevice.upx

work=$(mktemp -d)
chmod 711 "$work" # the database's own user passes through
started=()
database=
stopped=() # processes of the database, while they are

finish() {
  local code=$?
  trap - EXIT
  trap '' INT TERM
  [ ${#stopped[@]} -eq 0 ] || kill -CONT "${stopped[@]}" 2>/dev/null || true
  for pid in "${started[@]}"; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "building"
if [ -z "${UCUPDATES:-}" ]; then
  (cd "$root" && cargo build --release --locked --bin ucupdates)
  UCUPDATES=${CARGO_TARGET_DIR:-$root/target}/release/ucupdates
fi
export CARGO_TARGET_DIR=${PHONESTORM_TARGET:-${TMPDIR:-/var/tmp}/phonestorm-target}
cargo build --release -q --manifest-path "$kit/phonestorm/Cargo.toml"
ulimit -n 20000

# until_said FILE WORDS PID: waits until the program has said so.
until_said() {
  local deadline=$((SECONDS + 120))
  until grep -q "$2" "$1" 2>/dev/null; do
    kill -0 "$3" 2>/dev/null || { cat "$1" >&2; stop "the service did not start"; }
    [ "$SECONDS" -lt "$deadline" ] || { cat "$1" >&2; stop "the service was not ready within two minutes"; }
    sleep 0.1
  done
}

say "starting Standard Edition, its database beside the clients, itself on core 0"
export UCUPDATES_PROFILE=$work/profile.toml
"$UCUPDATES" standard --data "$work/data" --http-port "$port" --https-port $((port + 1)) \
  --external-port $((port + 2)) --management-port $((port + 3)) >"$work/standard.log" 2>&1 &
node=$!
started+=("$node")
until_said "$work/standard.log" 'Stop with Ctrl+C' "$node"
taskset -acp 0 "$node" >/dev/null
database=$(head -n 1 "$work/data/postgresql/cluster/postmaster.pid")
taskset -acp 1 "$database" >/dev/null

say "importing and approving one update"
head -c "$((${FILE_MB:-32} * 1024 * 1024))" /dev/urandom >"$work/CPE.nbt"
printf 'stands for the security catalog of a real image\n' >"$work/CPE.cat"
"$UCUPDATES" package build --brand Polycom --model CX600 --revision A --locale ENU --version 4.0.7577.4387 \
  --output "$work/package.cab" "$work/CPE.nbt" >/dev/null
"$UCUPDATES" import "$work/package.cab" >/dev/null
"$UCUPDATES" rule approve --brand Polycom >/dev/null
cat >"$work/request.xml" <<'XML'
<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>ruisilva@demo.local</UserID>
<RequestDateTime>2009-03-06T17:10:39</RequestDateTime><MacAddress>0021630F207B</MacAddress>
<SerialNumber>C185H001209</SerialNumber><Vendor>Polycom</Vendor><Model>CX600</Model><Revision>A</Revision>
<Locale>ENU</Locale><Modules><Module><FileName>cpe.nbt</FileName><Version>4.0.7577.100</Version>
<TimeStamp>2008-12-16T04:43:58</TimeStamp></Module></Modules></Request>
XML

# The answer that is measured offers the file; an answer that offers nothing would cost less.
until_offered() {
  local deadline=$((SECONDS + 30))
  until curl -sk --data-binary "@$work/request.xml" "https://$1$handler" | grep -q '<NumOfFiles>1<'; do
    [ "$SECONDS" -lt "$deadline" ] || stop "the service at $1 does not offer the update"
    sleep 0.2
  done
}
until_offered "$tls"
path=/DeviceUpdateFiles_Int/UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE/CPE.nbt
curl -s "http://$plain$path" | cmp - "$work/CPE.nbt"

compare() {
  local what=$1
  shift
  "$kit/compare.sh" "$what" --tls "$tls" --pid "$node" "$@"
}

# A second node of the same pool whose only certificate is RSA's, beside an nginx with the same certificate.
measure_rsa() {
  mkdir "$work/rsa" "$work/rsa/data"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/rsa/key.pem" -out "$work/rsa/chain.pem" -days 30 \
    -subj /CN=ucupdates-r2 -addext subjectAltName=DNS:ucupdates-r2 2>/dev/null
  local socket=$work/data/postgresql/socket pool node_pid nginx_pid
  pool=$(sed -n 's/^pool = //p' "$work/data/standard.toml")
  cat >"$work/rsa/config.toml" <<TOML
node = { name = "rsa", data_folder = "$work/rsa/data" }
database = { url = "host=$socket user=ucupdates dbname=postgres" }
store = { folder = "$work/data/store" }
pool = { fqdn = $pool }
tls = { rsa_certificate_file = "$work/rsa/chain.pem", rsa_key_file = "$work/rsa/key.pem" }
log = { filter = "warn" }
[listeners]
internal_http = { addresses = [] }
internal_https = { addresses = ["$rsa"] }
external_https = { addresses = [] }
management_https = { addresses = [] }
TOML
  taskset -c 0 "$UCUPDATES" serve --config "$work/rsa/config.toml" >"$work/rsa/node.log" 2>&1 &
  node_pid=$!
  started+=("$node_pid")
  until_offered "$rsa"
  cat >"$work/rsa/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $work/rsa/pid; error_log $work/rsa/error.log; worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http { access_log off; keepalive_requests 1000000000; tcp_nodelay on; ssl_protocols TLSv1.2 TLSv1.3;
  client_body_temp_path $work/rsa/b; proxy_temp_path $work/rsa/p; fastcgi_temp_path $work/rsa/f;
  uwsgi_temp_path $work/rsa/u; scgi_temp_path $work/rsa/s;
  server { listen $rsa_nginx ssl backlog=4096;
    ssl_certificate $work/rsa/chain.pem; ssl_certificate_key $work/rsa/key.pem;
    location = $handler { default_type text/xml;
      return 200 '<Response><NumOfFiles>1</NumOfFiles>$(printf 'x%.0s' {1..470})</Response>'; } } }
CONF
  taskset -c 0 nginx -c "$work/rsa/nginx.conf" &
  nginx_pid=$!
  started+=("$nginx_pid")
  local round storm=$CARGO_TARGET_DIR/release/phonestorm
  until curl -sk -o /dev/null "https://$rsa_nginx$handler"; do sleep 0.1; done
  for ((round = 0; round < ROUNDS; round++)); do
    for server in "ours $node_pid $rsa" "nginx $nginx_pid $rsa_nginx"; do
      read -r label pid address <<<"$server"
      taskset -c 1 "$storm" --label "$label" --secs "$SECS" --warm 0.5 --addr "$address" --pid "$pid" --tls \
        --tlsver 1.2 --newconn --conns 32 --path "$handler" --body "$work/request.xml" >>"$work/rsa/rows"
    done
  done
  kill -TERM "$node_pid" "$nginx_pid"
  wait "$node_pid" "$nginx_pid" || true
  jq -r '"\(.label): \(.rps) checks a second, \(.srv_us_per_req) us of CPU each, p99 \(.p99_ms) ms, errors \(.err)"' \
    "$work/rsa/rows"
  jq -rs 'def median($of): [.[] | select(.label == $of).srv_us_per_req] | sort | .[length / 2 | floor];
    "ratio new-tls12-rsa: CPU \(median("nginx") / median("ours") * 100 | round / 100)x"' "$work/rsa/rows"
}

say "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), load $(cut -d ' ' -f 1-3 /proc/loadavg), $("$UCUPDATES" --version)"
for what in "$@"; do
  say "$what"
  case "$what" in
    check | storm) compare "$what" --body "$work/request.xml" ;;
    download) compare download --plain "$plain" --path "$path" --file "$work/CPE.nbt" ;;
    slow) compare slow --path "$path" --file "$work/CPE.nbt" ;;
    rsa) measure_rsa ;;
    hung)
      # The children too: they hold the node's connections.
      mapfile -t stopped < <(echo "$database"; pgrep -P "$database")
      kill -STOP "${stopped[@]}"
      compare check --body "$work/request.xml"
      kill -CONT "${stopped[@]}"
      stopped=() ;;
    *) stop "$what is nothing that is measured" ;;
  esac
done
