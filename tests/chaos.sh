#!/usr/bin/env bash
# Breaks a pool of three nodes in every way, each for minutes, while two hundred phones check and download; prints a table.
#
#   tests/chaos.sh                                everything: each fault 10 minutes, each node killed 20 times
#   tests/chaos.sh --minutes 1 --kills 3          shorter
#   tests/chaos.sh --lanes 1                      one scenario after the other (default: as many at once as processors)
#   tests/chaos.sh database_hangs node_is_cut_off only tests whose name holds one of these words
#
# Columns: failed and wrong are phones' checks and downloads that were given up, and answers that were wrong: both must be 0.
# repeated are requests that a phone sent once more because its connection broke (a killed process answers nobody).
# converged_s is the time from the end of the fault until an approval was told by every node. The exit code is 1 when
# anything failed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

minutes=10 kills=20 lanes=$(nproc) scenarios=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d'; exit 0 ;;
    --minutes | --kills | --lanes) declare "${1#--}=${2:?"$1 needs a number"}"; shift 2 ;;
    -*) echo "unknown option $1; see --help" >&2; exit 2 ;;
    *) scenarios+=("chaos::${1//-/_}"); shift ;;
  esac
done
[ ${#scenarios[@]} -gt 0 ] || scenarios=(chaos::)
# A test is chosen by any part of its path.
scenarios=("${scenarios[@]/#chaos::_/chaos::}")

need_rust "$root"
need_c_compiler
need_postgresql
need gcab gcab
need_haproxy
install_missing

cd "$root"
table=$(mktemp)
trap 'rm -f "$table"' EXIT
printf 'scenario\tseconds\tchecks\tdownloads\tMB\tfailed\twrong\trepeated\tresumed\tp50_ms\tp99_ms\tconverged_s\n' >"$table"
code=0
UCUPDATES_CHAOS_SECONDS=$((minutes * 60)) UCUPDATES_CHAOS_KILLS=$kills UCUPDATES_CHAOS_TABLE=$table \
  cargo test --locked -p tests --test it "${scenarios[@]}" -- --test-threads "$lanes" || code=$?
printf '\n'
column -t -s "$(printf '\t')" "$table"
exit "$code"
