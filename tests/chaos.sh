#!/usr/bin/env bash
# Breaks a pool of three nodes in every way, each for minutes, while two hundred phones check and download; prints a table.
#
#   tests/chaos.sh                             everything: each fault 10 minutes, each node killed 20 times, and 1,000 kills
#                                              in the middle of imports and transfers
#   tests/chaos.sh database-hung node-cut-off  these scenarios only
#   tests/chaos.sh --minutes 1 --node-kills 3 --kills 100
#                                              shorter
#   tests/chaos.sh --lanes 1                   one scenario after the other (default: as many at once as processors)
#
# The program is the optimised one, which administrators run.
#
# Scenarios:
#   database-stopped, database-hung, store-stopped, store-hung
#                          the database or the store of all nodes is gone, or answers nobody
#   node-cut-off           a partition between one node and both; the others import and approve meanwhile
#   restart-without-store  every node is killed and started again while the store hangs
#   all-down               database and store are gone, and a node is killed and started again
#   nodes-killed           every node is killed, one after the other, again and again, while phones want a new file
#   kills                  any node is killed in the middle of imports and transfers
#
# Columns: failed are checks and downloads that phones gave up, wrong are answers and files that are not what the rules say:
# both must be 0. repeated are requests that a phone sent once more, because its connection broke (nobody answers for a
# process that was killed) or because a node that is cut off said 503 with Retry-After to a file that it cannot know of; in
# the other scenarios it must be 0 too. withheld: a node knew a rule and had not its files yet. converged_s is the time from
# the end of the fault until a change was told by every node: at most two poll periods, 10 s. The exit code is 1 when anything
# failed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

minutes=10 node_kills=20 kills=1000 lanes=$(nproc) tests=()
all=(kills database-stopped database-hung store-stopped store-hung node-cut-off restart-without-store all-down
  nodes-killed)

# choose SCENARIO: its tests.
choose() {
  case $1 in
    database-stopped) tests+=(chaos::phones_do_not_notice_that_the_database_is_stopped) ;;
    database-hung) tests+=(chaos::phones_do_not_notice_that_the_database_hangs) ;;
    store-stopped) tests+=(chaos::phones_do_not_notice_that_the_store_is_gone) ;;
    store-hung) tests+=(chaos::phones_do_not_notice_that_the_store_hangs) ;;
    node-cut-off) tests+=(chaos::phones_do_not_notice_that_a_node_is_cut_off) ;;
    restart-without-store)
      tests+=(chaos::phones_ask_once_more_at_most_when_nodes_are_killed_while_the_store_hangs)
      ;;
    all-down) tests+=(chaos::phones_ask_once_more_at_most_when_database_store_and_a_node_fail_together) ;;
    nodes-killed) tests+=(chaos::phones_ask_once_more_at_most_when_nodes_are_killed) ;;
    kills) tests+=(chaos::kills::kills_in_imports_and_transfers_tear_nothing_{1,2}) ;;
    *) echo "unknown scenario $1; see --help" >&2; exit 2 ;;
  esac
}

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --node-kills) node_kills=${2:?--node-kills needs a number}; shift 2 ;;
    --kills) kills=${2:?--kills needs a number}; shift 2 ;;
    --lanes) lanes=${2:?--lanes needs a number}; shift 2 ;;
    -*) echo "unknown option $1; see --help" >&2; exit 2 ;;
    *) choose "$1"; shift ;;
  esac
done
if [ ${#tests[@]} -eq 0 ]; then
  for scenario in "${all[@]}"; do choose "$scenario"; done
fi

need_rust "$root"
need_c_compiler
need_postgresql
need gcab gcab
need_haproxy
need column bsdextrautils
install_missing

cd "$root"
table=$(mktemp)
trap 'rm -f "$table"' EXIT
printf '%s\t' scenario seconds checks downloads MB failed wrong repeated withheld resumed p50_ms p99_ms >"$table"
printf 'converged_s\n' >>"$table"
code=0
# Two lanes of kills, each half of them.
UCUPDATES_CHAOS_SECONDS=$((minutes * 60)) UCUPDATES_CHAOS_NODE_KILLS=$node_kills \
  UCUPDATES_CHAOS_KILLS=$(((kills + 1) / 2)) UCUPDATES_CHAOS_TABLE=$table \
  cargo test --release --locked -p tests --test it -- --exact --test-threads "$lanes" --show-output "${tests[@]}" || code=$?
printf '\n'
column -t -s "$(printf '\t')" "$table"
exit "$code"
