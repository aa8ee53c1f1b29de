#!/usr/bin/env bash
# How fast packages are taken in, beside cabextract, in one run: a cabinet of 300 MB in one folder (MSZIP, and stored)
# and one of 20,000 small files, and one of 60 MB with LZX, which our own encoder of the tests packs (slowly, and not well);
# with smaller ones of each, which show that the cost is linear. Needs gcab, cabextract and openssl.
#
#   tests/benches/cabinets.sh [ROUNDS]      medians of so many rounds (default 5), one after the other in turn
#   SIZES="15 30 60" LZX_SIZES=15 COUNTS="1000 2000" tests/benches/cabinets.sh   other sizes in MB, numbers of files
#
# Like is compared with like: both unpack into a folder in memory (/dev/shm), once through everything.
#   ours         ucupdates package show FILE: checks, unpacks, writes and hashes every file (SHA-256), sorts them, and
#                removes its temporary folder, which of many small files is a third of its time
#   cabextract   cabextract -q -d FOLDER FILE: unpacks and writes
#   and removed  the same, and the folder is removed
#   and hashed   the same, and every file is hashed before, by openssl, which uses the processor's instructions for it as
#                ours does: all that ours does, one after the other
#   processor    what ours, and cabextract and the removal, took of the processor, on all cores: this repeats on a machine
#                that others use, where the times do not
# First, the digests of the update that both unpack are compared. Ratios over 1 are in our favour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

case "${1:-}" in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
rounds=${1:-5}
read -ra sizes <<<"${SIZES:-75 150 300}"
read -ra lzx_sizes <<<"${LZX_SIZES:-30 60}"
read -ra counts <<<"${COUNTS:-5000 10000 20000}"
ours=${UCUPDATES:-target/release/ucupdates}
[ -n "${UCUPDATES:-}" ] || cargo build --release --locked -p node
work=$(mktemp -d /dev/shm/cabinets.XXXXXX)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work LC_ALL=C

update=UCPhone/Polycom/CX600/A/ENU/4.0.7577.4387/CPE

# image MEGABYTES FILE: about half of it compresses, in runs of some kilobytes, as firmware does.
image() {
  # shellcheck disable=SC2016 # it is perl's
  perl -e '
    my $left = $ARGV[0] * 1_000_000;
    my $text = "the quick brown phone jumps over the lazy pool " x 300;
    srand(1);
    while ($left > 0) {
      my $noise = pack("N*", map { int(rand(2 ** 32)) } 1 .. 1500);
      my $run = $noise . substr($text, int(rand(40)), 5000 + int(rand(3000))) . ("\0" x int(rand(600)));
      print substr($run, 0, $left);
      $left -= length $run;
    }' "$1" >"$2"
}

# package NAME OPTION... : packs the folder NAME.tree with gcab, all in one folder of the cabinet.
package() {
  local name=$1
  shift
  (cd "$work/$name.tree" && find . -type f -printf '%P\n' | sort | xargs -x -s 1500000 gcab -c "$@" "$work/$name.cab")
  rm -rf "$work/$name.tree"
}

build_large() {
  local size name
  for size in "${sizes[@]}"; do
    for name in "mszip-$size" "stored-$size"; do
      mkdir -p "$work/$name.tree/$update"
      [ -f "$work/image-$size" ] || image "$size" "$work/image-$size"
      cp "$work/image-$size" "$work/$name.tree/$update/CPE.nbt"
      if [ "$name" = "mszip-$size" ]; then package "$name" -z; else package "$name"; fi
    done
    rm "$work/image-$size"
  done
}

build_lzx() {
  local size
  for size in "${lzx_sizes[@]}"; do
    image "$size" "$work/image"
    cargo run --quiet --locked -p tests --bin lzx_cabinet -- "$work/image" "$update/CPE.nbt" "$work/lzx-$size.cab"
    rm "$work/image"
  done
}

build_many() {
  local count name
  for count in "${counts[@]}"; do
    name=files-$count
    mkdir -p "$work/$name.tree/$update"
    printf 'an image' >"$work/$name.tree/$update/CPE.nbt"
    seq 2 "$count" | awk -v folder="$work/$name.tree" '{
      directory = folder "/" int($1 / 500)
      if (!(directory in made)) { system("mkdir -p " directory); made[directory] = 1 }
      file = directory "/" $1 ".bin"
      printf "file %d of many small ones, %d%d%d", $1, $1 * 7919, $1 * 104729, $1 * 1299709 > file
      close(file)
    }'
    package "$name" -z
    [ "$(cabextract -l "$work/$name.cab" | grep -c '|.*|')" -gt "$count" ] || { printf '%s: files are missing\n' "$name" >&2; exit 1; }
  done
}

# same NAME: what ours and cabextract unpack has the same digests.
same() {
  local expected found
  rm -rf "$work/out"
  cabextract -q -d "$work/out" "$work/$1.cab"
  expected=$(cd "$work/out" && find . -type f -path "./$update/*" -exec sha256sum {} + | cut -d' ' -f1 | sort)
  found=$("$ours" --json package show "$work/$1.cab" | grep -o '"sha256": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{64\}' | sort)
  rm -rf "$work/out"
  [ "$expected" = "$found" ] || { printf '%s: cabextract unpacks something else\n' "$1" >&2; exit 1; }
}

# took COMMAND...: its milliseconds, and those of the processor.
took() {
  local TIMEFORMAT='%3R %3U %3S'
  { time "$@" >/dev/null 2>&3; } 3>&2 2>&1 | awk '{ printf "%d %d\n", $1 * 1000, ($2 + $3) * 1000 }'
}

hash_all() { find "$work/out" -type f -exec openssl dgst -sha256 {} +; }

# median FIELD: of the lines of a measurement.
median() { cut -d' ' -f"$1" "$work/rounds" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }

ratio() { awk -v theirs="$1" -v ours="$2" 'BEGIN { printf "%.2f", theirs / ours }'; }

measure() {
  local name=$1 round mine mine_cpu theirs theirs_cpu hashing removing removing_cpu
  local took_ours took_theirs took_hashing took_removing
  same "$name"
  rm -f "$work/rounds"
  for ((round = 0; round < rounds; round++)); do
    # Taken first, read then: an end with an error in a here-string would go unseen, and pass for a fast one.
    took_ours=$(took "$ours" package show "$work/$name.cab")
    took_theirs=$(took cabextract -q -d "$work/out" "$work/$name.cab")
    took_hashing=$(took hash_all)
    took_removing=$(took rm -r "$work/out")
    read -r mine mine_cpu <<<"$took_ours"
    read -r theirs theirs_cpu <<<"$took_theirs"
    read -r hashing _ <<<"$took_hashing"
    read -r removing removing_cpu <<<"$took_removing"
    printf '%s\n' "$mine $theirs $((theirs + removing)) $((theirs + hashing + removing)) $mine_cpu $((theirs_cpu + removing_cpu))"
  done >"$work/rounds"
  mine=$(median 1)
  printf '%-12s %9s bytes  ours %5s ms  cabextract %5s ms (%s)  and removed %5s ms (%s)  and hashed %5s ms (%s)  processor %5s, %5s ms (%s)\n' \
    "$name" "$(stat -c %s "$work/$name.cab")" "$mine" "$(median 2)" "$(ratio "$(median 2)" "$mine")" \
    "$(median 3)" "$(ratio "$(median 3)" "$mine")" "$(median 4)" "$(ratio "$(median 4)" "$mine")" \
    "$(median 5)" "$(median 6)" "$(ratio "$(median 6)" "$(median 5)")"
  rm "$work/$name.cab"
}

build_large
for size in "${sizes[@]}"; do measure "mszip-$size"; done
for size in "${sizes[@]}"; do measure "stored-$size"; done
build_lzx
for size in "${lzx_sizes[@]}"; do measure "lzx-$size"; done
build_many
for count in "${counts[@]}"; do measure "files-$count"; done
