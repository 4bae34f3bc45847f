#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From nothing to recommendations: sets up, builds, fetches MovieLens-1M, trains, evaluates, draws and recommends.
#   scripts/demo.sh [--epochs N] [--synthetic]      results in runs/demo; a few minutes on two cores
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

epochs=30 source=movielens
while (($#)); do
  case $1 in
    --epochs) epochs=${2:?--epochs needs a number}; shift ;;
    --synthetic) source=synthetic ;;
    -h | --help) sed -n '3,4s/^# \{0,1\}//p' scripts/demo.sh; exit 0 ;;
    *) echo "demo.sh: unknown option '$1' (--epochs N, --synthetic)" >&2; exit 2 ;;
  esac
  shift
done

heading() { printf '\n== %s\n' "$*"; }
hstu=build/bin/hstu run=runs/demo
data=$run/data
trap 'status=$?; ((status == 0)) || echo "demo.sh: stopped with status $status after $SECONDS s" >&2; exit $status' EXIT

heading "1. Set up and build"
scripts/setup.sh </dev/null
[[ -f build/CMakeCache.txt ]] || cmake -S . -B build -G Ninja >/dev/null
cmake --build build --target hstu_cli
rm -rf "$run"
mkdir -p "$run"

heading "2. Data"
if [[ $source == movielens ]] && ratings=$(scripts/fetch_movielens.sh ml-1m); then
  titles=()
  [[ $ratings != *.dat ]] || titles=(--titles "$(dirname "$ratings")/movies.dat")
  user=$([[ $ratings == *.inter ]] && echo 1m_1 || echo 1)
  data_name="MovieLens-1M"
  "$hstu" prepare --ratings "$ratings" "${titles[@]}" --out "$data"
else
  [[ $source == synthetic ]] || echo "MovieLens-1M cannot be had here, so this runs on made-up users: the published numbers do not apply."
  source=synthetic user=u1 data_name="synthetic data"
  "$hstu" prepare --synthetic --out "$data"
fi

heading "3. Train $epochs epochs"
"$hstu" train --data "$data" --preset meta-ml-1m --epochs "$epochs" --set test_every=2 --out "$run/model"

heading "4. Evaluate: the last event of every user, ranked among all items not seen"
"$hstu" evaluate --run "$run/model" --split test --json >"$run/test.json"
python3 - "$run/test.json" "$source" "$epochs" <<'PYTHON'
import json, sys
result, source, epochs = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
published = {"hr@10": .3097, "ndcg@10": .1720, "hr@50": .5754, "hr@200": .7716} if source == "movielens" else {}
print(f"{'':10}{'here, ' + epochs + ' epochs':>18}{'Meta, 101 epochs':>20}")
for k in (10, 50, 200):
    for metric in ("hr", "ndcg"):
        name = f"{metric}@{k}"
        print(f"{name.upper():10}{result[name]:18.4f}{format(published[name], '.4f') if name in published else '-':>20}")
if published:
    print("Events of one second keep their order in the file; Meta's order of them is arbitrary (docs/results.md).")
PYTHON
scripts/plot_metrics.py "$run/model/metrics.jsonl" "$run/learning_curve.svg" --title "HSTU (meta-ml-1m) on $data_name"
echo "learning curve: $run/learning_curve.svg"

heading "5. Recommend"
"$hstu" recommend --run "$run/model" --user "$user" --top 10

heading "Done in $SECONDS s; everything is in $run"
