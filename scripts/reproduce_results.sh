#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains and evaluates every row of docs/results.md on MovieLens-1M and rewrites the tables.
#   scripts/reproduce_results.sh [ROW ...]     default: all rows but those in pandas' order, which need pandas from PyPI
#     rows: baselines meta-ml-1m meta-ml-1m-large ml-1m rechub-0.1 rechub-0.9
#           meta-ml-1m-pandas meta-ml-1m-large-pandas ml-1m-pandas
# Needs the program hstu (scripts/demo.sh builds it).  Runs go to runs/results; three hours on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

hstu=build/bin/hstu runs=runs/results out=docs/results
rows=("$@")
((${#rows[@]})) || rows=(baselines meta-ml-1m meta-ml-1m-large ml-1m rechub-0.1 rechub-0.9)
[[ -x $hstu ]] || { echo "reproduce_results.sh: no $hstu: build it first (cmake --build build --target hstu_cli)" >&2; exit 1; }
mkdir -p "$runs" "$out"
ratings=$(scripts/fetch_movielens.sh ml-1m)

for ties in file random; do
  [[ -f $runs/data-$ties/data.json ]] || "$hstu" prepare --ratings "$ratings" --ties "$ties" --out "$runs/data-$ties" >&2
done

# The order in which Meta's preprocessing leaves the events.
prepare_pandas() {
  [[ -f $runs/data-pandas/data.json ]] && return
  bench/pandas_order.py >&2
  "$hstu" prepare --ratings "$(dirname "$ratings")/pandas-order.inter" --ties given --out "$runs/data-pandas" >&2
}

# train NAME TIES PRESET EPOCHS SEEDS [option ...]: one run per seed, their test metrics in $out/NAME.json,
# $out/NAME-seed2.json and so on.
train() {
  local name=$1 ties=$2 preset=$3 epochs=$4 seeds=$5 seed run
  shift 5
  for ((seed = 1; seed <= seeds; ++seed)); do
    run=$name
    ((seed == 1)) || run=$name-seed$seed
    rm -rf "${runs:?}/$run"
    "$hstu" train --data "$runs/data-$ties" --preset "$preset" --epochs "$epochs" --seed "$seed" --out "$runs/$run" \
      --json "$@" >"$out/$run.json.tmp"
    mv "$out/$run.json.tmp" "$out/$run.json"
  done
}

for row in "${rows[@]}"; do
  case $row in
    baselines)
      for ties in file random; do
        for baseline in popularity markov; do
          "$hstu" evaluate --data "$runs/data-$ties" --baseline "$baseline" --json >"$out/$baseline-$ties.json"
        done
      done ;;
    meta-ml-1m)
      train meta-ml-1m-file file meta-ml-1m 101 3 --set test_every=10
      train meta-ml-1m-random random meta-ml-1m 101 3 ;;
    meta-ml-1m-large)
      train meta-ml-1m-large-file file meta-ml-1m-large 101 3
      train meta-ml-1m-large-random random meta-ml-1m-large 101 3 ;;
    ml-1m)
      train ml-1m-file file ml-1m 28 3
      train ml-1m-random random ml-1m 28 3 ;;
    ml-1m-pandas)
      prepare_pandas
      train ml-1m-pandas pandas ml-1m 28 3 ;;
    meta-ml-1m-pandas | meta-ml-1m-large-pandas)
      prepare_pandas
      train "$row" pandas "${row%-pandas}" 101 3 ;;
    rechub-0.1) train rechub-0.1-file file rechub-0.1 30 1 --set test_every=5 ;;
    rechub-0.9) train rechub-0.9-file file rechub-0.9 30 1 --set test_every=5 ;;
    *) echo "reproduce_results.sh: unknown row '$row'" >&2; exit 2 ;;
  esac
done
python3 scripts/update_docs.py
