#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the build needs on Debian 12 or Ubuntu 24.04; does nothing when all is there.
#   scripts/setup.sh            install what is missing (root, or sudo)
#   scripts/setup.sh --check    only say what is missing; exit 1 if anything is
set -euo pipefail

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Catch2 v3 is libcatch2-dev in Debian (backports of 12, main of 13), catch2 in Ubuntu 24.04; version 2 does not do.
have_catch2() { compgen -G '/usr/lib*/libCatch2.a' >/dev/null || compgen -G '/usr/lib/*/libCatch2.a' >/dev/null ||
                compgen -G '/usr/local/lib*/libCatch2.a' >/dev/null; }

# Programs count wherever they come from; libraries are asked of dpkg.
missing_packages() {
  local pair
  for pair in g++:g++ cmake:cmake ninja:ninja-build git:git python3:python3 unzip:unzip curl:curl ccache:ccache pkg-config:pkg-config; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  local package
  for package in ca-certificates libeigen3-dev nlohmann-json3-dev libcxxopts-dev; do
    installed "$package" || echo "$package"
  done
  have_catch2 || echo catch2-v3
}

# What single tests need: the fuzzer, and failing system calls.  Where it cannot be had, they are skipped.
optional_packages() {
  command -v clang++ >/dev/null || echo clang
  compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.fuzzer*.a' >/dev/null || echo libclang-rt-dev
  command -v strace >/dev/null || echo strace
}
install_optional() {
  local packages
  mapfile -t packages < <(optional_packages)
  ((${#packages[@]})) || return 0
  root=()
  ((EUID == 0)) || root=(sudo -n)
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null &&
     (apt update && apt install -y --no-install-recommends "${packages[@]}") 2>/dev/null; then
    say "installed ${packages[*]}"
  else
    say "not here: ${packages[*]}; the tests that need them are skipped"
  fi
}

# apt [ARGUMENTS]: quiet unless it fails.
apt() {
  local log
  log=$("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null 2>&1) ||
    { echo "$log" >&2; die "apt-get $* failed"; }
}

# "package=version" of the first Catch2 v3 among the configured sources, empty if there is none.  The exact version is
# named so that nothing else may come from backports.
catch2_package() {
  local name
  for name in libcatch2-dev catch2; do
    apt-cache madison "$name" 2>/dev/null | awk '$3 ~ /^3\./ { print $1 "=" $3 }'
  done | awk 'NR == 1'
}

write_file() { "${root[@]}" tee "$1" >/dev/null; }

# Adds bookworm-backports from the mirror, and with the key, that bookworm itself already comes from.
add_backports() {
  local target=/etc/apt/sources.list.d/hstu-backports stanza file
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -r $file ]] || continue
    stanza=$(awk -v RS= '/(^|\n)Suites:[^\n]* bookworm( |\n|$)/ {
      sub(/Suites:[^\n]*/, "Suites: bookworm-backports"); print; exit }' "$file")
    if [[ -n $stanza ]]; then echo "$stanza" | write_file "$target.sources"; return; fi
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -r $file ]] || continue
    stanza=$(sed -nE '/^deb .* bookworm /{s/ bookworm / bookworm-backports /p;q}' "$file")
    if [[ -n $stanza ]]; then echo "$stanza" | write_file "$target.list"; return; fi
  done
  die "no source with the suite 'bookworm' found under /etc/apt; add bookworm-backports yourself and start again"
}

[[ $# -eq 0 || "$*" == --check ]] || { say "unknown arguments '$*' (only --check)"; exit 2; }
mapfile -t missing < <(missing_packages)
if [[ ${1:-} == --check ]]; then
  ((${#missing[@]})) || { say "nothing to install"; exit 0; }
  say "missing: ${missing[*]}"
  exit 1
fi
if ((${#missing[@]} == 0)); then
  install_optional
  say "nothing to install"
  exit 0
fi
command -v apt-get >/dev/null || die "no apt-get here; install these by your own package manager: ${missing[*]}"

root=()
if ((EUID != 0)); then
  root=(sudo -n)
  if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; }; then
    die "missing: ${missing[*]}. Not root, and sudo would ask for a password. Run once: sudo $(realpath "$0")"
  fi
  sudo -n true 2>/dev/null || root=(sudo)
fi

say "installing ${missing[*]}"
apt update
packages=()
for name in "${missing[@]}"; do
  [[ $name == catch2-v3 ]] || { packages+=("$name"); continue; }
  name=$(catch2_package)
  if [[ -z $name ]] && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    say "Catch2 v3 is in bookworm-backports: adding that suite"
    add_backports
    apt update
    name=$(catch2_package)
  fi
  [[ -n $name ]] || die "no Catch2 v3 among the package sources of this system (Ubuntu: is 'universe' enabled?)"
  packages+=("$name")
done
apt install -y --no-install-recommends "${packages[@]}"
mapfile -t missing < <(missing_packages)
((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
install_optional
say "done"
