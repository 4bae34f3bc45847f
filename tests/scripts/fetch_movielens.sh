#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/fetch_movielens.sh without a network: what it does when no host answers, and with damaged downloads.
set -euo pipefail
fetch=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../scripts/fetch_movielens.sh")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "FAILED: $*"; cat err 2>/dev/null || true; exit 1; }
# expect STATUS COMMAND...: runs it, output in out and err.
expect() {
  local wanted=$1 status=0
  shift
  "$@" >out 2>err || status=$?
  [[ $status == "$wanted" ]] || fail "expected status $wanted, got $status from: $*"
}
mkdir bin
export PATH=$folder/bin:$PATH
stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"; chmod +x "bin/$1"; }
stand_in curl 'echo "curl: (6) no such host" >&2; exit 6'
stand_in python3 'echo "ERROR: no matching distribution" >&2; exit 1'

expect 2 "$fetch"
expect 2 "$fetch" ml-25m
expect 2 "$fetch" ml-100k --out

expect 1 "$fetch" ml-100k --out got
[[ ! -s out && ! -e got ]] || fail "a failed fetch must leave nothing and print nothing on stdout"
grep -q 'could not be fetched' err || fail "no clear line"

stand_in curl 'while [ "$1" != -o ]; do shift; done; echo "not a zip" >"$2"'
stand_in python3 'while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; echo "not a wheel" >"$2/x.whl"'
expect 1 "$fetch" ml-100k --out got
grep -q 'another md5' err && grep -q 'another sha256' err || fail "damage not noticed"
[[ ! -e got ]] || fail "damaged data kept"

mkdir got
seq 100000 >got/u.data
expect 0 "$fetch" ml-100k --out got
[[ $(cat out) == "$folder/got/u.data" ]] || fail "expected the path of what is there, got $(cat out)"
sed -i 1d got/u.data
expect 1 "$fetch" ml-100k --out got
[[ -f got/u.data ]] || fail "a failed fetch removed a file of the user"
echo "fetch_movielens: all as expected"
