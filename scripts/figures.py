#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the figures of a test run that the documents quote:  figures.py BUILD_FOLDER

Tests print lines "figure: NUMBER what is counted"; numbers of the same thing are added. Lines "gradcheck: OP NUMBER" tell
of how many shapes an op's gradient was checked with; fewer than 8 are an error.
"""
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

MIN_SHAPES = 8


def count_tests(reports: pathlib.Path):
    """Catch2's XML reports -> [(area, cases, assertions)], sorted by area."""
    rows = []
    for path in sorted(reports.glob("*.xml")):
        root = ElementTree.parse(path).getroot()
        cases = root.find("OverallResultsCases")
        assertions = root.find("OverallResults")
        if cases is None or assertions is None:
            raise ValueError(f"{path}: no totals; did the program end early?")
        for part in ("failures", "expectedFailures"):
            if int(assertions.get(part, "0")):
                print(f"{path.stem}: {assertions.get(part)} {part}")
        rows.append((path.stem, int(cases.get("successes", "0")), int(assertions.get("successes", "0"))))
    return rows


def read_log(log: pathlib.Path):
    """ctest's log -> ({what: count}, {op: shapes}, [skipped tests])."""
    figures, shapes, skipped, test = collections.Counter(), collections.Counter(), [], ""
    for line in log.read_text(errors="replace").splitlines():
        if match := re.match(r"\d+/\d+ Testing: (\S+)", line):
            test = match[1]
        elif match := re.match(r"figure: (\d+) (.+)", line):
            figures[match[2]] += int(match[1])
        elif match := re.match(r"gradcheck: (\S+) (\d+)", line):
            shapes[match[1]] += int(match[2])
        elif test.startswith("fuzz.") and (match := re.match(r"Done (\d+) runs", line)):
            figures["inputs fuzzed without a finding"] += int(match[1])
        elif line.startswith("Test Skipped") or line.startswith("skipped: "):
            skipped.append(test)
    return figures, shapes, sorted(set(skipped))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = pathlib.Path(sys.argv[1])
    rows = count_tests(build / "reports")
    if not rows:
        print(f"figures: no reports under {build}/reports", file=sys.stderr)
        return 1
    print(f"{'area':<16}{'test cases':>12}{'assertions':>14}")
    for area, cases, assertions in rows:
        print(f"{area:<16}{cases:>12,}{assertions:>14,}")
    print(f"{'all':<16}{sum(r[1] for r in rows):>12,}{sum(r[2] for r in rows):>14,}")

    figures, shapes, skipped = read_log(build / "Testing/Temporary/LastTest.log")
    if shapes:
        figures[f"pairs of op and shape gradchecked in float64, {len(shapes)} ops"] = sum(shapes.values())
    print()
    for what, count in sorted(figures.items()):
        print(f"{count:>12,}  {what}")
    if skipped:
        print("skipped: " + ", ".join(skipped))
    few = [f"{op} {count}" for op, count in sorted(shapes.items()) if count < MIN_SHAPES]
    if few:
        print(f"figures: gradients checked with fewer than {MIN_SHAPES} shapes: " + ", ".join(few), file=sys.stderr)
    return 1 if few else 0


if __name__ == "__main__":
    sys.exit(main())
