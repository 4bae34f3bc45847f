#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the figures of a test run that the documents quote:  figures.py BUILD_FOLDER"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


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


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    rows = count_tests(pathlib.Path(sys.argv[1]) / "reports")
    if not rows:
        print(f"figures: no reports under {sys.argv[1]}/reports", file=sys.stderr)
        return 1
    print(f"{'area':<16}{'test cases':>12}{'assertions':>14}")
    for area, cases, assertions in rows:
        print(f"{area:<16}{cases:>12,}{assertions:>14,}")
    print(f"{'all':<16}{sum(r[1] for r in rows):>12,}{sum(r[2] for r in rows):>14,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
