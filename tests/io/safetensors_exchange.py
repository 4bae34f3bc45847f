#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exchanges random tensor files with the official safetensors package, both ways, and compares every bit.

    pip install safetensors numpy
    tests/io/safetensors_exchange.py [--files 500] [--seed 1]

Compiles a small program with ${CXX:-g++} that loads a file and saves it again. Python writes file A, the program
reads A and writes B, Python reads B: names, dtypes, shapes, metadata and bytes must be equal. Exit status 77 (skipped)
if the package is missing.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as error:
    print(f"skipped: {error}; pip install safetensors numpy")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
#include <hstu/io/safetensors.hpp>
int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) hstu::save_safetensors(argv[i + 1], hstu::load_safetensors(argv[i]));
}
"""
NAMES = ["w", "_embedding.weight", "layer 1/\"q\"\n", "größe", "名前", "", "😀" * 20, "x" * 300]


def compile_program(folder):
    source = folder / "exchange.cpp"
    source.write_text(PROGRAM)
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O1", f"-I{ROOT}/include", "-I/usr/include/eigen3",
               str(source), "-o", str(folder / "exchange")]
    subprocess.run(command, check=True)
    return folder / "exchange"


def random_tensors(rng):
    tensors = {}
    for name in rng.permutation(NAMES)[:rng.integers(0, len(NAMES) + 1)]:
        dtype = rng.choice(["float32", "float64", "int32", "int64"])
        shape = tuple(int(size) for size in rng.choice([0, 1, 2, 3, 5, 17], size=rng.integers(0, 7)))
        if np.prod(shape) > 20000:
            shape = shape[:3]
        raw = rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)  # all bit patterns, NaNs included
        tensors[str(name)] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return tensors


def difference(tensors, metadata, path):
    """What differs between `path` and what it should hold; None if nothing does."""
    with safe_open(path, framework="numpy") as file:
        if (file.metadata() or {}) != metadata:
            return f"metadata {file.metadata()} is not {metadata}"
        if set(file.keys()) != set(tensors):
            return f"names {sorted(file.keys())} are not {sorted(tensors)}"
        for name, tensor in tensors.items():
            read = file.get_tensor(name)
            if read.dtype != tensor.dtype or read.shape != tensor.shape or read.tobytes() != tensor.tobytes():
                return f"tensor {name!r} differs"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program = compile_program(folder)
        contents, paths = [], []
        for i in range(options.files):
            metadata = {str(k): str(rng.integers(1000)) for k in rng.permutation(NAMES)[:rng.integers(0, 3)]}
            contents.append((random_tensors(rng), metadata))
            paths += [str(folder / f"{i}.a"), str(folder / f"{i}.b")]
            save_file(contents[-1][0], paths[-2], metadata=metadata or None)
        subprocess.run([program, *paths], check=True)
        failures = 0
        for i, (tensors, metadata) in enumerate(contents):
            message = difference(tensors, metadata, paths[2 * i + 1])
            if message:
                failures += 1
                print(f"file {i}: {message}")
        count = sum(len(tensors) for tensors, _ in contents)
        print(f"figure: {options.files} random tensor files exchanged with the safetensors package, {failures} differences")
        sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
