#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds to tests/fuzz/corpus what a long run of the fuzzer found, as few and as small inputs as reach the same code.

    tests/fuzz/keep_corpus.py build/bin/hstu_fuzz FOUND       FOUND/<target>/ holds the inputs found
"""
import pathlib
import subprocess
import sys
import tempfile

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
MAX_BYTES, MAX_INPUTS = 600, 40


def reaching_new_code(program, target, folders):
    """Inputs of `folders` that reach places in the code which no smaller one does, those with most such places first."""
    with tempfile.TemporaryDirectory() as name:
        control, merged = pathlib.Path(name) / "control", pathlib.Path(name) / "merged"
        merged.mkdir()
        subprocess.run([program, f"--target={target}", "-merge=1", f"-merge_control_file={control}", merged, *folders],
                       check=True, capture_output=True)
        lines = control.read_text().splitlines()
    inputs = [pathlib.Path(line) for line in lines[2:2 + int(lines[0])]]
    words = [line.split() for line in lines]
    reaching = sorted((w for w in words if w[:1] == ["COV"] and len(w) > 2), key=len, reverse=True)
    return [inputs[int(w[1])] for w in reaching if inputs[int(w[1])].stat().st_size <= MAX_BYTES]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for folder in sorted(CORPUS.iterdir()):
        found = pathlib.Path(sys.argv[2]) / folder.name
        new = [path for path in reaching_new_code(sys.argv[1], folder.name, [folder, found])
               if path.parent != folder]
        new = new[:max(0, MAX_INPUTS - len(list(folder.iterdir())))]
        for path in new:
            (folder / path.name[:12]).write_bytes(path.read_bytes())
        print(f"{folder.name}: {len(new)} inputs more, {len(list(folder.iterdir()))} in all")


if __name__ == "__main__":
    main()
