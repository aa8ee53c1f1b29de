#!/usr/bin/env bash
# Counts what one check costs inside the process, stage by stage: instructions (valgrind's callgrind) and allocations
# (valgrind's dhat). Both are exact: a run of many checks less a run of few. Needs valgrind and cargo.
#
#   tests/benches/profile.sh            all stages, as a table
#   tests/benches/profile.sh STAGE      the functions of one stage, from callgrind
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"
command -v valgrind >/dev/null || stop "valgrind is missing"
cd "$root"
few=1000 many=2000

bench=$(CARGO_PROFILE_BENCH_DEBUG=line-tables-only cargo bench -q -p tests --bench check --no-run --message-format json |
  sed -n 's/.*"name":"check".*"executable":"\([^"]*\)".*/\1/p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

instructions() {
  valgrind --tool=callgrind --callgrind-out-file="$work/callgrind" "$bench" "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

# allocations STAGE COUNT: blocks and bytes.
allocations() {
  valgrind --tool=dhat --dhat-out-file=/dev/null "$bench" "$1" "$2" 2>&1 |
    sed -n 's/,//g; s/.*Total: *\([0-9]*\) bytes in \([0-9]*\) blocks.*/\2 \1/p'
}

if [ $# -gt 0 ]; then
  instructions "$1" "$many" >/dev/null
  exec callgrind_annotate --inclusive=yes "$work/callgrind"
fi
printf '%-12s %12s %12s %12s\n' stage instructions allocations bytes
for stage in read decide write line handler router connection logged; do
  instructions_each=$((($(instructions "$stage" $many) - $(instructions "$stage" $few)) / (many - few)))
  read -r blocks_few bytes_few <<<"$(allocations "$stage" $few)"
  read -r blocks_many bytes_many <<<"$(allocations "$stage" $many)"
  awk -v s="$stage" -v i="$instructions_each" -v a=$((blocks_many - blocks_few)) -v b=$((bytes_many - bytes_few)) \
    -v n=$((many - few)) 'BEGIN { printf "%-12s %12d %12.1f %12.0f\n", s, i, a / n, b / n }'
done
