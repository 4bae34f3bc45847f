#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sets up, builds and runs every test.  The last line says how it ended; the exit status is 0 only if all passed.
#   scripts/test.sh                  into build/
#   scripts/test.sh --sanitize       with AddressSanitizer and UBSan, into build-asan/
#   scripts/test.sh --jobs N         compile with N jobs (default: one per core)
#   scripts/test.sh --fuzz-seconds N give each fuzz target N seconds (default: 10)
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build
options=(-DCMAKE_BUILD_TYPE=Release -DHSTU_BUILD_BENCH=OFF)
jobs=$(nproc)
stage=options
while (($#)); do
  case $1 in
    --sanitize) build=build-asan; options+=("-DHSTU_SANITIZE=address,undefined") ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift ;;
    --fuzz-seconds) options+=("-DHSTU_FUZZ_SECONDS=${2:?--fuzz-seconds needs a number}"); shift ;;
    -h | --help) sed -n '3,7s/^# \{0,1\}//p' scripts/test.sh; exit 0 ;;
    *) echo "test.sh: unknown option '$1' (--sanitize, --jobs N, --fuzz-seconds N)" >&2; exit 2 ;;
  esac
  shift
done

trap 'status=$?; ((status == 0)) || echo "test.sh: FAILED while $stage after $SECONDS s"; exit $status' EXIT
stage="installing packages"
scripts/setup.sh
stage=configuring
cmake -S . -B "$build" -G Ninja "${options[@]}" -DHSTU_BUILD_TESTS=ON
stage=building
cmake --build "$build" -j "$jobs"
built=$SECONDS
rm -f "$build"/reports/*.xml
stage="running the tests"
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs"
echo "test.sh: all tests passed (set-up and build $built s, tests $((SECONDS - built)) s)"
