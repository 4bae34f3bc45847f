#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Changes the core headers at random, one place at a time, and counts how many changes the unit tests notice.

    scripts/mutate.py [--count 100] [--seed 1] [--only core/shape.hpp]

A change is noticed ("killed") if a test of the header fails, crashes or does not end; one that does not compile does not
count. A header's tests must pass without a change first. Changes that survive are printed. Fewer than 90 % killed gives
exit status 1. About five seconds of work a change, with clang++ or else g++.
"""
import argparse
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
EIGEN = "/usr/include/eigen3"
COMMON = ("catch2/catch_test_macros.hpp", "catch2/matchers/catch_matchers_exception.hpp",
          "catch2/matchers/catch_matchers_string.hpp", "Eigen/Core", "nlohmann/json.hpp", "filesystem", "functional",
          "thread")
MAX_BYTES = 16 << 30  # of address space: a change may make a size endless
AREAS = ("core", "autograd", "ops", "loss", "optim", "metrics", "io", "data")
# Headers whose tests are named otherwise.
TESTED_BY = {
    "core/check": ["core/shape"], "core/storage": ["core/tensor"], "core/dtype": ["core/tensor"],
    "core/tile": ["core/gemm"], "core/eigen_map": ["core/tensor", "ops/matmul"],
    "core/random_fill": ["core/random", "nn/init"],
    "autograd/node": ["autograd/backward", "autograd/memory"], "ops/attention_pass": ["ops/hstu_attention"],
    "ops/bias_panels": ["ops/hstu_attention", "ops/attention_mask"], "ops/panel_lines": ["ops/hstu_attention"],
    "ops/reshape": ["ops/reshape", "ops/moving_shapes", "ops/embedding"],
    "ops/columns": ["ops/columns", "ops/moving_shapes"], "ops/relative_bias": ["ops/hstu_attention"],
    "ops/operands": ["ops/elementwise", "ops/hstu_attention"], "ops/attention_operands": ["ops/hstu_attention"],
    "ops/block_mask": ["ops/attention_mask", "ops/hstu_attention"],
    "ops/query_blocks": ["ops/hstu_attention", "ops/attention_mask"],
    "loss/sampled_row": ["loss/sampled_softmax", "loss/sampled_losses"],
    "loss/shared_negatives": ["loss/sampled_softmax", "loss/sampled_losses"],
    "loss/sampled_softmax": ["loss/sampled_softmax", "loss/sampled_losses"], "data/ranking_batch": ["train/ranking"],
    "ops/normalize_rows": ["ops/layer_norm", "ops/l2_normalize"], "optim/adam": ["optim/optimizer"],
    "optim/sgd": ["optim/optimizer"], "loss/reduction": ["loss/cross_entropy"],
    "metrics/candidates": ["metrics/ranking", "recommend/top_k"], "io/json_events": ["io/json"],
    "io/posix_file": ["io/atomic_write"], "io/read_file": ["io/atomic_write"],
    "io/safetensors": ["io/safetensors", "io/safetensors_malformed"],
    "io/safetensors_header": ["io/safetensors", "io/safetensors_malformed"],
    "data/fields": ["data/fields", "data/read_ratings", "data/read_ratings_errors", "data/titles"],
    "data/formats": ["data/read_ratings", "data/read_ratings_errors"],
    "data/line_reader": ["data/line_reader", "data/read_ratings", "data/read_ratings_errors", "data/titles"],
    "data/read_ratings": ["data/read_ratings", "data/read_ratings_errors"],
    "data/batcher": ["data/batch"], "data/report": ["data/sequences"], "data/ratings": ["data/read_ratings", "data/filter"],
    "data/sequences": ["data/sequences", "data/event_columns"],
}
SWAPS = [(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" == ", " != "), (" != ", " == "),
         (" + ", " - "), (" - ", " + "), (" * ", " / "), (" / ", " * "), (" && ", " || "), (" || ", " && "),
         (" += ", " -= "), ("++", "--"), ("true", "false"), ("false", "true"), ("std::min", "std::max"),
         ("std::max", "std::min"), (" 0;", " 1;"), (" 1;", " 2;"), ("break;", ";"), ("continue;", ";"), ("return;", ";"),
         ("(!", "("), (" 1)", " 2)"), ("[0]", "[1]")]
NO_CODE = re.compile(r"^\s*(//|#|template|static_assert|using|namespace|///)")


def sites(header):
    """[(line number, column, from, to)] of every change that could be made."""
    found = []
    for number, line in enumerate(header.read_text().splitlines()):
        if NO_CODE.match(line):
            continue
        code = re.sub(r'"(\\.|[^"\\])*"', lambda text: "_" * len(text[0]), line.split(" //")[0])
        for old, new in SWAPS:
            found += [(number, match.start(), old, new) for match in re.finditer(re.escape(old), code)]
    return found


def tests_of(header):
    key = header.relative_to(ROOT / "include/hstu").with_suffix("").as_posix()
    paths = [ROOT / "tests" / f"{name}.test.cpp" for name in TESTED_BY.get(key, [key])]
    return [path for path in paths if path.exists()]


class Runner:
    """Compiles and runs tests against the headers of a folder."""

    def __init__(self, folder):
        self.folder, self.seconds = folder, {}
        self.compiler = [shutil.which("clang++") or "g++", "-std=c++20", "-O1", "-march=native", "-w", "-pthread",
                         "-DEIGEN_DONT_PARALLELIZE", f"-I{folder}/include", f"-I{ROOT}/tests", "-isystem", EIGEN]
        common = folder / "common.hpp"  # read once, included by each test
        common.write_text("".join(f"#include <{name}>\n" for name in COMMON))
        subprocess.run([*self.compiler, "-x", "c++-header", common, "-o", f"{common}.gch"], check=True)

    def passes(self, test, seconds):
        """Whether the test passes within so much processor time; None if it does not compile."""
        program = self.folder / "test"
        built = subprocess.run([*self.compiler, "-include", self.folder / "common.hpp", test, "-o", program,
                                "-lCatch2Main", "-lCatch2"], capture_output=True)
        if built.returncode != 0:
            return None

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        try:
            return subprocess.run([program], capture_output=True, timeout=900, cwd=self.folder,
                                  preexec_fn=limit).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def seconds_of(self, test):
        """Processor time that the test may take: well above what it takes without a change."""
        if test not in self.seconds:
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            if not self.passes(test, 120):
                sys.exit(f"{test}: does not pass without a change")
            self.seconds[test] = 5 + int(2 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before))
        return self.seconds[test]

    def is_killed(self, tests, limits):
        """True if a test notices, False if none does, None if it does not compile."""
        for test, seconds in zip(tests, limits):
            result = self.passes(test, seconds)
            if not result:
                return None if result is None else True
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    options = parser.parse_args()
    headers = [path for area in AREAS for path in sorted((ROOT / "include/hstu" / area).glob("*.hpp")) if tests_of(path)]
    if options.only:
        headers = [ROOT / "include/hstu" / options.only]
    places = [(header, site) for header in headers for site in sites(header)]
    random.Random(options.seed).shuffle(places)
    killed, survived = 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "include", folder / "include")
        runner = Runner(folder)
        for header, (number, column, old, new) in places:
            if killed + len(survived) == options.count:
                break
            copy = folder / "include" / header.relative_to(ROOT / "include")
            tests = tests_of(header)
            limits = [runner.seconds_of(test) for test in tests]
            lines = header.read_text().splitlines(keepends=True)
            lines[number] = lines[number][:column] + new + lines[number][column + len(old):]
            copy.write_text("".join(lines))
            result = runner.is_killed(tests, limits)
            copy.write_text(header.read_text())
            if result is None:
                continue
            killed += result
            if result:
                print(f"{killed} noticed", end="\r", flush=True)
            else:
                survived.append(f"{header.relative_to(ROOT)}:{number + 1}: {old.strip()} -> {new.strip()}: "
                                f"{lines[number].strip()}")
                print("survived " + survived[-1], flush=True)
    count = killed + len(survived)
    print(f"figure: {killed} of {count} random changes to core headers noticed by their unit tests")
    sys.exit(1 if killed < 0.9 * count else 0)


if __name__ == "__main__":
    main()
