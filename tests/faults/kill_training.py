#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kills training with SIGKILL at random moments and goes on with --resume, until it is finished, again and again.

    tests/faults/kill_training.py HSTU [--kills 25] [--seed 1]

Checkpoints are saved after every epoch of four steps, so a kill hits every part of a save, of the log and of the start.
Whatever a kill leaves must resume, and the finished run must be that of a process nobody disturbed: log, weights,
optimizer and state, less times. One changed bit or line in a copy must be noticed, or this script would notice nothing.
"""
import argparse
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

EPOCHS = 40
MODEL = ["--preset", "meta-ml-1m", "--set", "d_model=8", "--set", "dqk=8", "--set", "dv=8", "--set", "num_layers=1",
         "--set", "max_history=20", "--set", "batch_size=16", "--set", "validate=true"]
TIMES = ("seconds", "tokens_per_second", "train_seconds")


def less_times(text):
    return {key: value for key, value in json.loads(text).items() if key not in TIMES}


def fingerprint(run):
    """What must be equal: lines of the log, and of each checkpoint the tensors, the optimizer's name and the state."""
    content = {"log": [less_times(line) for line in (run / "metrics.jsonl").read_text().splitlines()]}
    for part in ("last", "best"):
        raw = (run / part / "model.safetensors").read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        metadata = json.loads(raw[8:8 + length])["__metadata__"]
        content[part] = (raw[8 + length:], less_times(metadata["hstu.state"]), metadata["config"],
                         metadata["hstu.optimizer"])
        content[part + " files"] = {path.name: path.read_bytes() for path in (run / part).glob("optimizer-*")}
        content[part + " names"] = sorted(path.name for path in (run / part).iterdir())
    return content


def notices_damage(run, folder):
    """True if one changed byte of the weights, and one line less in the log, change the fingerprint."""
    copy, before = folder / "copy", fingerprint(run)
    shutil.copytree(run, copy)
    model, log = copy / "last/model.safetensors", copy / "metrics.jsonl"
    raw, lines = model.read_bytes(), log.read_text()
    model.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    sees_weights = fingerprint(copy) != before
    model.write_bytes(raw)
    log.write_text(lines[:lines.rindex("\n", 0, -1) + 1])
    return sees_weights and fingerprint(copy) != before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data, whole, run = folder / "data", folder / "whole", folder / "run"
        subprocess.run([options.program, "prepare", "--synthetic", "--users", "60", "--items", "50", "--out", data],
                       check=True, capture_output=True)
        train = [options.program, "train", "--data", data, "--epochs", str(EPOCHS), *MODEL]
        begin = time.monotonic()
        subprocess.run([*train, "--out", whole], check=True, capture_output=True)
        duration = time.monotonic() - begin
        expected = fingerprint(whole)
        kills = finished = 0
        while kills < options.kills or not finished:
            process = subprocess.Popen([*train, "--out", run, "--resume"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                process.wait(timeout=chance.random() * duration / 2 if kills < options.kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            _, complaint = process.communicate()
            if process.returncode == 0:
                finished += 1
                found = fingerprint(run)
                if found != expected:
                    parts = ", ".join(part for part in expected if found[part] != expected[part])
                    sys.exit(f"run {finished}, after {kills} kills: not the run that nobody disturbed: {parts}, "
                             f"{found['last names']}")
                shutil.rmtree(run)
            elif process.returncode != -9:
                sys.exit(f"after {kills} kills: exit status {process.returncode}: {complaint.decode()}")
        if not notices_damage(whole, folder):
            sys.exit("damage to a run was not noticed")
        print(f"figure: {kills} kills of training, after each a checkpoint that loads")
        print(f"figure: {finished} killed runs finished with the bits of an undisturbed one")


if __name__ == "__main__":
    main()
