#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# On a machine with an NVIDIA GPU and nvcc: builds, runs the tests of all kernels on the GPU, again under compute-sanitizer
# if it is installed, times the kernels, and writes docs/gpu_results.md.
#   bench/gpu_report.sh [BUILD_FOLDER]        default: build-gpu
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build-gpu}
report=docs/gpu_results.md

command -v nvidia-smi >/dev/null || { echo "gpu_report: no nvidia-smi: is there a GPU?" >&2; exit 1; }
gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | head -1)
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHSTU_BUILD_BENCH=OFF
cmake --build "$build" --target hstu_cuda_tests bench_gpu_kernels
tests=$build/bin/hstu_cuda_tests

# The tests must not find the stand-in for the driver.
unset LD_LIBRARY_PATH PTX_ARCH
summary() { grep -E "^(All tests passed|test cases:|assertions:)" || true; }
status=0
times=$("$build"/bin/bench_gpu_kernels) || status=1
run=$("$tests" 2>&1) || status=1
checks="not installed, not run"
if command -v compute-sanitizer >/dev/null; then
  checks=""
  for tool in memcheck racecheck synccheck initcheck; do
    last=$(compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" 2>&1) || status=1
    checks+=$(printf '\n%s: %s' "$tool" "$(grep -E 'ERROR SUMMARY' <<<"$last" | tail -1)")
  done
fi
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
  echo "compute-sanitizer: $checks"
  echo
  echo "## Speed"
  echo
  echo "Attention on tensor cores with both biases: causal products only, backward counted as 2.5 forwards."
  echo
  echo "$times"
} >"$report"
echo "gpu_report: wrote $report, status $status"
exit "$status"
