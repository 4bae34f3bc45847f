#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# On a machine with an NVIDIA GPU and nvcc: builds, runs the tests of all kernels and of training on the GPU, those of the
# kernels again under compute-sanitizer if it is installed, times the kernels, trains on MovieLens-1M, and writes
# docs/gpu_results.md.
#   bench/gpu_report.sh [BUILD_FOLDER]        default: build-gpu
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build-gpu}
report=docs/gpu_results.md

command -v nvidia-smi >/dev/null || { echo "gpu_report: no nvidia-smi: is there a GPU?" >&2; exit 1; }
gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | head -1)
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHSTU_BUILD_BENCH=OFF
cmake --build "$build" --target hstu_cuda_tests hstu_device_tests bench_gpu_kernels hstu_cli
tests=$build/bin/hstu_cuda_tests hstu=$build/bin/hstu

# The tests must not find the stand-in for the driver.
unset LD_LIBRARY_PATH PTX_ARCH
summary() { grep -E "^(All tests passed|test cases:|assertions:)" || true; }
status=0
times=$("$build"/bin/bench_gpu_kernels) || status=1
run=$("$tests" 2>&1) || status=1
training=$("$build"/bin/hstu_device_tests 2>&1) || status=1
checks="not installed, not run"
if command -v compute-sanitizer >/dev/null; then
  checks=""
  for tool in memcheck racecheck synccheck initcheck; do
    last=$(compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" 2>&1) || status=1
    checks+=$(printf '\n%s: %s' "$tool" "$(grep -E 'ERROR SUMMARY' <<<"$last" | tail -1)")
  done
fi

# One row of a table: a preset and a precision, trained for the epochs of docs/results.md.
runs=$build/runs
rm -rf "$runs"
"$hstu" prepare --ratings "$(scripts/fetch_movielens.sh ml-1m)" --out "$runs/data" >&2
train() {
  local preset=$1 epochs=$2 precision=$3
  "$hstu" train --data "$runs/data" --preset "$preset" --epochs "$epochs" --seed 1 --device cuda \
    --precision "$precision" --out "$runs/$preset-$precision" --json | PRECISION=$precision python3 -c '
import json, os, sys
m = json.load(sys.stdin)
print("| `{}` | {} | {} | {:.4f} | {:.4f} | {:.1f} | {:,.0f} |".format(m["preset"], os.environ["PRECISION"], m["epochs"],
      m["hr@10"], m["ndcg@10"], m["train_seconds"], m["tokens_per_second"]))'
}
trained=""
for precision in bf16 tf32 fp32; do
  for row in "meta-ml-1m 101" "meta-ml-1m-large 101" "rechub-0.1 30" "rechub-0.9 30"; do
    read -r preset epochs <<<"$row"
    trained+=$(train "$preset" "$epochs" "$precision")$'\n' || status=1
  done
done
{
  echo "# Results on GPUs"
  echo
  echo "Written by \`bench/gpu_report.sh\` at commit $(git rev-parse --short HEAD): $gpu."
  echo
  echo "## Tests of the kernels"
  echo
  echo '```'
  summary <<<"$run"
  echo '```'
  echo
  echo "Whole training steps against the CPU (docs/cuda.md):"
  echo
  echo '```'
  summary <<<"$training"
  echo '```'
  echo
  echo "compute-sanitizer: $checks"
  echo
  echo "## Speed"
  echo
  echo "Attention on tensor cores with both biases: causal products only, backward counted as 2.5 forwards."
  echo
  echo "$times"
  echo
  echo "## Training on MovieLens-1M"
  echo
  echo "Ties in the order of the file; docs/results.md has the same on the CPU."
  echo
  echo "| preset | products | epochs | HR@10 | NDCG@10 | train s | predictions/s |"
  echo "| --- | --- | --- | --- | --- | --- | --- |"
  echo -n "$trained"
} >"$report"
echo "gpu_report: wrote $report, status $status"
exit "$status"
