#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains for thousands of steps and compares the memory in use (VmRSS) early and late.

    tests/faults/steady_memory.py HSTU [--steps 3000]

From step 1,000 on it may grow by less than 1 MiB. A process that keeps 512 bytes a step must be noticed.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

STEPS_PER_EPOCH, SETTLED, MAX_GROWTH = 15, 1000, 1 << 20
LEAKS = """
import sys
kept = []
with open(sys.argv[1], "a") as log:
    for epoch in range(int(sys.argv[2])):
        kept.append(bytearray(512 * 15))
        log.write("{}\\n")
        log.flush()
"""


def resident_bytes(pid):
    """VmRSS of a process; None if it has ended."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def growth(command, log, epochs):
    """(steps, bytes): what the process grew by between step SETTLED and its last epoch, of which `log` has a line each."""
    complaints = tempfile.TemporaryFile()  # a pipe that nobody reads fills up, and the process waits for ever
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaints)
    early = late = None
    done = 0
    while process.poll() is None:
        size = resident_bytes(process.pid)
        done = log.read_bytes().count(b"\n") if log.exists() else 0
        if size and done < epochs:  # what follows the last epoch is another matter
            late = size
            if early is None and done * STEPS_PER_EPOCH >= SETTLED:
                early = size
        time.sleep(0.005)
    if process.returncode != 0:
        complaints.seek(0)
        sys.exit(complaints.read().decode())
    if early is None:
        sys.exit("too few steps to see anything")
    return done * STEPS_PER_EPOCH, late - early


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    epochs = options.steps // STEPS_PER_EPOCH + 1
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([options.program, "prepare", "--synthetic", "--users", str(4 * STEPS_PER_EPOCH), "--items", "50",
                        "--out", folder / "data"], check=True, capture_output=True)
        steps, grown = growth([options.program, "train", "--data", folder / "data", "--out", folder / "run", "--preset",
                               "meta-ml-1m", "--set", "d_model=8", "--set", "dqk=8", "--set", "dv=8", "--set",
                               "num_layers=1", "--set", "max_history=20", "--set", "batch_size=4", "--epochs", str(epochs)],
                              folder / "run/metrics.jsonl", epochs)
        _, leaked = growth([sys.executable, "-c", LEAKS, folder / "leaks.jsonl", "100000"], folder / "leaks.jsonl", 100000)
    print(f"figure: {max(grown, 0)} bytes grown between step {SETTLED} and step {steps} of training")
    if leaked < MAX_GROWTH:
        sys.exit(f"a leak was not noticed: {leaked} bytes")
    if grown >= MAX_GROWTH:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
