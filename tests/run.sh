#!/usr/bin/env bash
# Sets up and runs all tests. Can be run again; what is already there is left alone.
#
#   tests/run.sh                          everything
#   tests/run.sh -p schema rule           arguments go to `cargo test --workspace --locked --no-fail-fast`
#   tests/run.sh -- --nocapture           and from there to the tests
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

case "${1:-}" in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac

say "looking for what the tests need"
need_rust "$root"
need_c_compiler
need_postgresql                                              # every test of the store runs against a real one
need cabextract cabextract                                   # what it extracts is compared with what we extract
need gcab gcab                                               # makes cabinets that we did not write
need curl curl                                               # is the phone
need openssl openssl                                         # looks at certificates, speaks TLS without SNI
need x86_64-w64-mingw32-objcopy binutils-mingw-w64-x86-64    # makes a PE file that holds a cabinet
need ip iproute2
need_haproxy                                                 # is the balancer, with the configuration that we ship
need_prometheus "$root"                                      # scrapes a node, reads its alert rules
need_seaweedfs "$root"                                      # a real S3 server
need unshare util-linux                                      # small disks and missing programs that only one process sees
need groff groff                                             # takes our manual pages
need systemd-analyze systemd                                 # judges the systemd unit; need not run systemd
no_engine=
if has_docker_engine; then
  need_cluster                                               # a whole pool, started as an administrator does
else
  no_engine="there is no Docker Engine here that this user may use: cluster::no_single_failure_of_the_pool_reaches_a_phone"
  [ -z "${CI:-}" ] || stop "$no_engine would not run, and CI is set"
fi
install_missing
unpack_seaweedfs

cd "$root"
say "cargo test --workspace --locked --no-fail-fast $* (the first build takes some minutes)"
code=0
cargo test --workspace --locked --no-fail-fast "$@" || code=$?
[ -z "$no_engine" ] || say "NOT RUN: $no_engine"
exit "$code"
