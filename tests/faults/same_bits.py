#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the same model ten times in processes of their own, twice with each of 1, 2, 3, 4 and 8 threads.

    tests/faults/same_bits.py HSTU

Weights, optimizer, state, metrics and the checksum of the weights after each epoch must be equal bit for bit, times
aside; another seed must be noticed.
"""
import pathlib
import subprocess
import sys
import tempfile

from kill_training import fingerprint

THREADS = (1, 2, 3, 4, 8)
EPOCHS = 3
MODEL = ["--preset", "meta-ml-1m", "--set", "d_model=16", "--set", "num_heads=2", "--set", "dqk=8", "--set", "dv=8",
         "--set", "max_history=40", "--set", "batch_size=150", "--set", "validate=true"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([program, "prepare", "--synthetic", "--users", "400", "--items", "200", "--out",
                        folder / "data"], check=True, capture_output=True)

        def train(run, threads, seed):
            subprocess.run([program, "train", "--data", folder / "data", "--out", folder / run, "--epochs",
                            str(EPOCHS), "--threads", str(threads), "--set", f"seed={seed}", *MODEL], check=True,
                           capture_output=True)
            return fingerprint(folder / run)

        runs = {f"run {i} with {threads} threads": train(f"{i}-{threads}", threads, 1)
                for i in (1, 2) for threads in THREADS}
        expected = next(iter(runs.values()))
        if sum("weights_crc64" in line for line in expected["log"]) != EPOCHS:
            sys.exit("the log has no checksum for each epoch")
        for run, found in runs.items():
            if found != expected:
                parts = ", ".join(part for part in expected if found[part] != expected[part])
                sys.exit(f"{run}: other bits in {parts}")
        other = train("other", 1, 2)
        if any(a["weights_crc64"] == b["weights_crc64"] for a, b in zip(other["log"], expected["log"])):
            sys.exit("another seed was not noticed")
    print(f"figure: {len(runs)} runs with 1, 2, 3, 4 and 8 threads, the same bits in weights, optimizer and metrics")


if __name__ == "__main__":
    main()
