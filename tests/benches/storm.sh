#!/usr/bin/env bash
# Monday morning: many simulated phones boot at once against one node, each with a full TLS handshake. Prints the phones'
# summary, and the processor time of the node and of the phones. Fails when an answer was wrong or a check failed.
#
#   tests/benches/storm.sh                      10,000 phones within 30 s
#   tests/benches/storm.sh --count 500 --boot-within 3s        arguments go to `ucupdates phone`
#
# UCUPDATES names a program that is already built; STORM_FOLDER where the node's data goes. With two processors or more
# the node has the first one for itself, and the phones the others.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
arguments=(--count 10000 --boot-within 30s)
[ $# -eq 0 ] || arguments=("$@")

program=${UCUPDATES:-}
if [ -z "$program" ]; then
  (cd "$root" && cargo build --release --locked --bin ucupdates)
  program=$root/target/release/ucupdates
fi
folder=$(mktemp -d "${STORM_FOLDER:-${TMPDIR:-/tmp}}/storm.XXXXXX")
chmod a+x "$folder" # PostgreSQL does not run as root
export UCUPDATES_PROFILE=$folder/config/ucupdates/profile.toml
export XDG_CONFIG_HOME=$folder/config
ports=(--http-port 28080 --https-port 28443 --external-port 24443 --management-port 29443)

on_node=() on_phones=()
if [ "$(nproc)" -ge 2 ]; then
  on_node=(taskset -c 0)
  on_phones=(taskset -c "1-$(($(nproc) - 1))")
fi

"${on_node[@]}" "$program" standard --data "$folder/data" "${ports[@]}" >"$folder/node.log" 2>&1 &
node=$!
# shellcheck disable=SC2317  # called by the trap
finish() {
  kill -INT "$node" 2>/dev/null || true
  wait "$node" || true
  rm -rf "$folder"
}
trap finish EXIT

ucupdates() { "$program" "$@"; }
for _ in $(seq 600); do
  ! ucupdates status >/dev/null 2>&1 || break
  kill -0 "$node" 2>/dev/null || { cat "$folder/node.log"; exit 1; }
  sleep 0.1
done

# A pool as it is: some models, one of them with a pending version, an interim build for very old phones.
cd "$folder"
head -c 200000 /dev/urandom >CPE.nbt
head -c 8000 /dev/urandom >CPE.cat # beside its image, so it goes into the package too
package() {
  ucupdates package build --brand Storm --model "$1" --revision A --locale ENU --version "$2" \
    --output "$1-$2.cab" CPE.nbt >package.log
}
for model in CX500 CX600 CX700 CX3000; do
  package "$model" 4.0.7577.100
  ucupdates import "$model-4.0.7577.100.cab" >import.log
done
ucupdates rule approve --all >approve.log
package CX600 4.0.7577.4387
ucupdates import CX600-4.0.7577.4387.cab >import.log
ucupdates phone model --output model.json

# user and system time of a process, in hundredths of a second
cpu() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f12,13; }
read -r user_before system_before < <(cpu "$node")
TIMEFORMAT='the phones used the processor for %U s (user) and %S s (system), in %R s'
result=0
# Addresses of their own, as phones have them.
time "${on_phones[@]}" "$program" phone --model model.json --source 127.0.0.0/8 \
  --connect-to localhost:28443:127.0.0.1:28443 --connect-to localhost:28080:127.0.0.1:28080 "${arguments[@]}" || result=$?
read -r user_after system_after < <(cpu "$node")
awk -v u=$((user_after - user_before)) -v s=$((system_after - system_before)) -v tick="$(getconf CLK_TCK)" \
  'BEGIN { printf "the node used the processor for %.2f s (user) and %.2f s (system)\n", u / tick, s / tick }'
grep VmHWM "/proc/$node/status"
exit "$result"
