#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints which share of the lines and branches of include/ the programs of a build have reached.

    scripts/coverage.py BUILD [--all]

BUILD was compiled by clang++ with -fprofile-instr-generate -fcoverage-mapping; its programs have left *.profraw in
BUILD/profiles (scripts/soak.sh coverage does all that). Branches are those of the source: both ways of every condition,
and no edges of exceptions. Of a template the instance counts that was reached most. Headers that no program includes
are not seen. Fewer than 95 % of the lines or 85 % of the branches give exit status 1; --all lists every header.
"""
import argparse
import json
import pathlib
import subprocess
import sys

MIN_SHARE = {"lines": 95.0, "branches": 85.0}


def tool(name):
    return subprocess.run(["clang++", f"-print-prog-name={name}"], check=True, capture_output=True,
                          text=True).stdout.strip()


def summaries(build):
    """{header: {"lines": (reached, all), "branches": ...}}"""
    merged = build / "profiles/merged.profdata"
    raw = sorted((build / "profiles").glob("*.profraw"))
    if not raw:
        sys.exit(f"coverage: no profiles in {build}/profiles")
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", *raw, "-o", merged], check=True)
    programs = [path for path in sorted((build / "bin").iterdir()) if path.read_bytes()[:4] == b"\x7fELF"]
    objects = [word for path in programs for word in ("-object", path)][1:]
    exported = subprocess.run([tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={merged}", *objects],
                              check=True, capture_output=True, text=True).stdout
    headers = {}
    for file in json.loads(exported)["data"][0]["files"]:
        if "/include/hstu/" in file["filename"]:
            name = file["filename"].split("/include/hstu/")[1]
            headers[name] = {kind: (file["summary"][kind]["covered"], file["summary"][kind]["count"])
                             for kind in MIN_SHARE}
    return headers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    headers = summaries(options.build)
    if options.all:
        for name, counts in headers.items():
            print(f"{name:40}" + "".join(f"{f'{kind}: {reached} of {count}':>28}"
                                         for kind, (reached, count) in counts.items()))
    too_few = []
    for kind, least in MIN_SHARE.items():
        reached, count = (sum(counts[kind][i] for counts in headers.values()) for i in (0, 1))
        share = 100.0 * reached / max(count, 1)
        print(f"figure: {reached} of {count} {kind} of {len(headers)} headers reached by the tests: {share:.1f} %")
        if share < least:
            too_few.append(kind)
    if too_few:
        sys.exit("coverage: too few " + " and ".join(too_few))


if __name__ == "__main__":
    main()
