#!/usr/bin/env bash
# Sets up and runs Standard Edition: one process with a data folder, a private PostgreSQL and a certificate of its own.
# Installs Debian packages where a command is missing, builds, and leaves the rest of the system alone. Can be run again.
#
#   deploy/try.sh                   runs it until Ctrl+C
#   deploy/try.sh --demo            the same, and first shows a package's way to a phone, command by command
#   deploy/try.sh --demo --once     stops after the demonstration
#   deploy/try.sh --data FOLDER     this and other arguments go to `ucupdates standard` (its --help names them)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

demo=no once=no standard_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --demo) demo=yes ;;
    --once) once=yes ;;
    -h | --help) usage; exit 0 ;;
    *) standard_arguments+=("$1") ;;
  esac
  shift
done
[ "$once" = no ] || [ "$demo" = yes ] || stop "--once goes with --demo"

say "looking for what it needs"
need_rust "$root"
need_c_compiler
need_postgresql
need curl curl
install_missing

say "building (the first time takes some minutes)"
(cd "$root" && cargo build --release --locked --bin ucupdates)
binaries=${CARGO_TARGET_DIR:-$root/target}/release
PATH=$binaries:$PATH

say "to give commands in another terminal: PATH=\"$binaries:\$PATH\", then ucupdates --help"
say "starting Standard Edition; Ctrl+C stops it"
if [ "$demo" = no ]; then
  exec ucupdates standard "${standard_arguments[@]}"
fi

# From here on: the demonstration. The service runs beside it, and stops with it.
work=$(mktemp -d)
ucupdates standard "${standard_arguments[@]}" > >(tee "$work/welcome") &
service=$!

finish() {
  local code=$?
  trap - EXIT
  trap '' INT TERM
  kill -TERM "$service" 2>/dev/null || true
  wait "$service" 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The welcome is what the service says when it is ready.
wait_until_ready() {
  local deadline=$((SECONDS + 120))
  until grep -q 'Stop with Ctrl+C' "$work/welcome" 2>/dev/null; do
    kill -0 "$service" 2>/dev/null || stop "the service did not start; its last words are above"
    [ "$SECONDS" -lt "$deadline" ] || stop "the service was not ready within two minutes"
    sleep 0.2
  done
}

# welcome LABEL: what the welcome says behind these words.
welcome() { sed -n "s#^ *$1  *\([^ ]*\).*#\1#p" "$work/welcome" | head -n 1; }

# Prints a command as one would type it, and runs it in the demonstration's folder.
run() {
  local argument line='+'
  for argument in "$@"; do
    case "$argument" in
      *[!A-Za-z0-9_./:=@,+-]* | '') line+=" '$argument'" ;;
      *) line+=" $argument" ;;
    esac
  done
  printf '\n%s\n' "$line"
  (cd "$work" && "$@")
}

# What a phone with that version installed asks.
request() {
  cat <<XML
<?xml version="1.0" encoding="utf-8"?>
<Request><DeviceType>UCPhone</DeviceType><UserID>demo@example.com</UserID>
<RequestDateTime>$(date -u +%Y-%m-%dT%H:%M:%S)</RequestDateTime><MacAddress>02005E100001</MacAddress><SerialNumber>DEMO-1</SerialNumber>
<Vendor>Demo</Vendor><Model>Phone1</Model><Revision>A</Revision><Locale>ENU</Locale>
<Modules><Module><FileName>cpe.nbt</FileName><Version>$1</Version></Module></Modules></Request>
XML
}

# ask FILE: a phone sends this request; the answer is shown, and kept in answer.xml.
ask() {
  run curl -sS --fail-with-body -A 'Microsoft UCPhone Device' --data-binary "@$1" -o answer.xml "$handler"
  cat "$work/answer.xml"
  printf '\n'
}

# answered NAME: what the answer's first element of that name says.
answered() { tr -d '\n' <"$work/answer.xml" | sed -n "s#.*<$1>\([^<]*\)</$1>.*#\1#p"; }

wait_until_ready
handler=$(welcome 'phones inside')
audit_folder=$(welcome 'audit log')

# The version tells the time, so that the demonstration can be repeated on the same data. The brand is nobody's.
installed=4.0.0.1
version=4.1.$(date -u +%y%j.%-H%M%S)
head -c 300000 /dev/urandom >"$work/CPE.nbt"
printf 'stands for the security catalog of a real image\n' >"$work/CPE.cat"
request "$installed" >"$work/request.xml"
request "$version" >"$work/request-after.xml"

printf '\n'
say "a package, made from an image and its catalog (random bytes, for phones that do not exist)"
run ucupdates package build --brand Demo --model Phone1 --revision A --locale ENU --version "$version" \
  --output demo.cab CPE.nbt

printf '\n'
say "the administrator imports it: the version is pending, and only test devices would get it"
run ucupdates import demo.cab
run ucupdates rule list --brand Demo
run ucupdates explain --device-type UCPhone --brand Demo --model Phone1 --revision A --locale ENU \
  --version "$installed" --mac 02005E100001

printf '\n'
say "the administrator approves it: now every phone of that model gets it"
run ucupdates rule approve --brand Demo

printf '\n'
say "a phone (curl) asks; this is its request"
cat "$work/request.xml"
ask request.xml
[ "$(answered NumOfFiles)" = 1 ] || stop "the phone was offered nothing"

printf '\n'
say "the phone downloads the image and its catalog, and finds them whole"
base=$(answered BaseURL)
for file in CPE.nbt CPE.cat; do
  run curl -sS --fail -A 'Microsoft UCPhone Device' -o "downloaded-$file" "$base/$file"
  run cmp "$file" "downloaded-$file"
done

printf '\n'
say "it installs, restarts with $version, and asks again: there is nothing for it"
ask request-after.xml
[ "$(answered NumOfFiles)" = 0 ] || stop "the phone was offered what it has already"

printf '\n'
say "the request audit log tells both requests (a line is on disk within a second)"
deadline=$((SECONDS + 10))
until audit_file=$(grep -ls "cpe.nbt;$version;" "$audit_folder"/*.log | tail -n 1) && [ -n "$audit_file" ]; do
  [ "$SECONDS" -lt "$deadline" ] || stop "no line about the phone in $audit_folder within ten seconds"
  sleep 0.2
done
run tail -n 2 "$audit_file"

printf '\n'
if [ "$once" = yes ]; then
  say "the demonstration is over; stopping the service"
  exit 0
fi
say "the demonstration is over; the service goes on until Ctrl+C"
wait "$service"
