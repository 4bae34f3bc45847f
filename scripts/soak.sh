#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The long checks, which the tests run in a short form or not at all; docs/reliability.md keeps their last results.
#   scripts/soak.sh [STAGE ...]      default: all, many hours
#     fuzz      10,000,000 inputs for each reader          kills     1,000 kills of training
#     exchange  500 tensor files with the safetensors package, from PyPI
#     rows      MovieLens-1M against Python's reading       memory    20,000 steps
#     threads   the tests under ThreadSanitizer             asan      the tests under AddressSanitizer and UBSan
#     coverage  lines and branches of include/ that the tests reach, by clang
#     mutants   100 random changes to core headers
# FUZZ_RUNS, KILLS, STEPS and MUTANTS replace the numbers.  Needs what scripts/test.sh has built in build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stages=("$@")
((${#stages[@]})) || stages=(fuzz kills exchange rows memory threads asan coverage mutants)
hstu=build/bin/hstu
venv=build/soak-venv
[[ -x $hstu ]] || { echo "soak.sh: no $hstu: run scripts/test.sh first" >&2; exit 1; }

python_with() {
  [[ -x $venv/bin/python ]] || python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

fuzz() {
  local corpus target
  for corpus in tests/fuzz/corpus/*; do
    target=${corpus##*/}
    mkdir -p "build/soak/$target"
    build/bin/hstu_fuzz "--target=$target" -runs="${FUZZ_RUNS:-10000000}" -max_len=512 -timeout=60 -rss_limit_mb=1024 \
      -malloc_limit_mb=16 -dict=tests/fuzz/words.dict "-artifact_prefix=build/soak/$target-" "build/soak/$target" "$corpus" \
      >"build/soak/$target.log" 2>&1 || { tail -n 40 "build/soak/$target.log"; return 1; }
    echo "$target: $(grep -a '^Done' "build/soak/$target.log")"
  done
  tests/fuzz/keep_corpus.py build/bin/hstu_fuzz build/soak
}

# sanitized NAME: the unit tests and golden cases under a sanitizer.
sanitized() {
  cmake -S . -B "build-soak-$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHSTU_BUILD_BENCH=OFF "-DHSTU_SANITIZE=$1" >/dev/null
  cmake --build "build-soak-$1" >/dev/null
  ctest --test-dir "build-soak-$1" --output-on-failure -L 'unit|golden|faults'
}

# coverage: source-based, by clang, so that branches are those one can read.
coverage() {
  cmake -S . -B build-coverage -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug -DHSTU_BUILD_BENCH=OFF \
    "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -fprofile-instr-generate -fcoverage-mapping" >/dev/null
  cmake --build build-coverage >/dev/null
  rm -rf build-coverage/profiles
  LLVM_PROFILE_FILE="$PWD/build-coverage/profiles/%4m.profraw" \
    ctest --test-dir build-coverage --output-on-failure -L 'unit|golden|example|cuda|faults' >/dev/null
  scripts/coverage.py build-coverage
}

for stage in "${stages[@]}"; do
  echo "== $stage, $(git log -1 --format=%h), $(date -I)"
  case $stage in
    fuzz) fuzz ;;
    kills) python3 tests/faults/kill_training.py "$hstu" --kills "${KILLS:-1000}" ;;
    exchange) python_with safetensors numpy; "$venv/bin/python" tests/io/safetensors_exchange.py ;;
    rows) python3 tests/data/ml_1m_rows.py ;;
    memory) python3 tests/faults/steady_memory.py "$hstu" --steps "${STEPS:-20000}" ;;
    threads) sanitized thread ;;
    asan) sanitized address,undefined ;;
    coverage) coverage ;;
    mutants) python3 scripts/mutate.py --count "${MUTANTS:-100}" ;;
    *) echo "soak.sh: unknown stage '$stage'" >&2; exit 2 ;;
  esac
done
