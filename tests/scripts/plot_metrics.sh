#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/plot_metrics.py: draws what is there, names file and line of what is not JSON.
set -euo pipefail
plot=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../scripts/plot_metrics.py")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() { echo "FAILED: $*"; exit 1; }

for epoch in 1 2 3; do
  echo "{\"epoch\": $epoch, \"train_loss\": $((9 - epoch)).5, \"val_hr@10\": 0.$epoch, \"seconds\": 7, \"note\": \"x\"}"
done >good.jsonl
python3 "$plot" good.jsonl good.svg --title 'a < b'
python3 -c 'import sys, xml.etree.ElementTree as e; e.parse("good.svg")' || fail "not XML"
[[ $(grep -c '<polyline' good.svg) == 2 ]] || fail "expected two curves"
grep -q 'HR@10 (val): 0.3000' good.svg && grep -q 'train loss: 6.5000' good.svg || fail "no legend with the last values"

echo '{"epoch": 1, "train_loss": NaN, "val_loss": 2}' >one.jsonl
python3 "$plot" one.jsonl one.svg
[[ $(grep -c '<polyline' one.svg) == 1 ]] || fail "a NaN must be left out"

printf '{"epoch": 1}\n{"epoch": \n' >bad.jsonl
python3 "$plot" bad.jsonl bad.svg 2>err && fail "bad JSON accepted"
grep -q 'bad.jsonl:2: expected JSON' err || fail "no file and line: $(cat err)"
[[ ! -e bad.svg ]] || fail "a picture of nothing"
echo "plot_metrics: all as expected"
