#!/usr/bin/env bash
# Tests a pool in which two versions of the program run at once: the one of these sources, and that of the commit before the
# newest migration. Only the older program's own crates are built, into the same target folder. Can be run again.
#
# Where this clone does not have that commit, or the program of that commit does not work with newer databases yet, it says
# so and tests nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"
cd "$root"

skip() {
  say "two versions were NOT tested: $1"
  exit 0
}

git rev-parse --git-dir >/dev/null 2>&1 || skip "this is no clone of the repository"
added=$(git log -1 --diff-filter=A --format=%H -- 'schema/migrations/V*.sql')
[ -n "$added" ] || skip "the newest migration is not committed yet"
older=$(git rev-parse --verify --quiet "$added^") || skip "this clone's history does not reach back to before $added"
git grep -q schema_compatibility "$older" -- schema/src/store ||
  skip "the program before the newest migration ($(git log -1 --format='%h %s' "$older")) works with its own database only"

# To cargo the two workspaces are one: each takes what the other built last for its own, unless its sources are newer.
take_back() { touch schema/src/lib.rs sync/src/lib.rs node/src/lib.rs node/src/main.rs; }

build_older() {
  rm -rf "$folder" && mkdir -p "$folder/source"
  git archive "$older" | tar --extract --touch --directory "$folder/source"
  trap take_back EXIT
  CARGO_TARGET_DIR=$root/target cargo build --locked --bin ucupdates --manifest-path "$folder/source/Cargo.toml"
  cp "$root/target/debug/ucupdates" "$folder/ucupdates"
  echo "$older" >"$folder/commit"
  take_back
}

say "the older program is that of: $(git log -1 --format='%h %s' "$older")"
folder=$root/target/older
[ "$(cat "$folder/commit" 2>/dev/null)" = "$older" ] || build_older
UCUPDATES_OLDER_PROGRAM=$folder/ucupdates cargo test -p tests --test it --locked two_versions
