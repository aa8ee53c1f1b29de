#!/usr/bin/env bash
# Runs the fuzz targets, each for some time, from small files of every kind that it writes first. Finds stop it, and are
# in tests/fuzz/artifacts/TARGET. Needs nightly Rust (rustup toolchain install nightly) and cargo-fuzz
# (cargo install --locked cargo-fuzz).
#
#   tests/fuzz/run.sh                  every target, for 60 s each
#   tests/fuzz/run.sh cabinet 600      one target, for 10 minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

case "${1:-}" in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
seconds=${2:-60}
if [ -n "${1:-}" ]; then targets=("$1"); else mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir . | grep -vx seeds); fi

cargo +nightly fuzz build --fuzz-dir .
"target/$(rustc -vV | sed -n 's/^host: //p')/release/seeds"
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  printf '\n== %s, for %s s\n' "$target" "$seconds"
  # What one input may cost: two seconds and an allocation of 64 MiB; the sanitizer itself needs some hundred more.
  cargo +nightly fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -timeout=2 -malloc_limit_mb=64 \
    -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1
done
