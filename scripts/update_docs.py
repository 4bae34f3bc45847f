#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrites what README.md and docs/results.md quote, between <!-- name --> and <!-- end -->: the tables of results from
docs/results/*.json, and the program from examples/03_train.cpp.

    update_docs.py [--check]      --check: change nothing, exit 1 if something quoted is not what its source says
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
METRICS = ["hr@10", "ndcg@10", "hr@50", "ndcg@50", "hr@200", "ndcg@200", "mrr"]
# name of the JSON file, what it is, order of ties
ROWS = [("popularity-file", "most popular items", "file"), ("markov-file", "last item → next item (Markov)", "file"),
        ("rechub-0.1-file", "`rechub-0.1`", "file"), ("rechub-0.9-file", "`rechub-0.9`", "file"),
        ("meta-ml-1m-file", "`meta-ml-1m`", "file"), ("meta-ml-1m-large-file", "`meta-ml-1m-large`", "file"),
        ("popularity-random", "most popular items", "random"),
        ("markov-random", "last item → next item (Markov)", "random"), ("meta-ml-1m-random", "`meta-ml-1m`", "random"),
        ("meta-ml-1m-large-random", "`meta-ml-1m-large`", "random"),
        ("meta-ml-1m-pandas", "`meta-ml-1m`", "pandas quicksort"),
        ("meta-ml-1m-large-pandas", "`meta-ml-1m-large`", "pandas quicksort")]
# Published figures; "-" where the source gives none.
PUBLISHED = [("HSTU, 101 epochs, Meta's README", "pandas quicksort", [".3097", ".1720", ".5754", "-", ".7716", "-", "-"]),
             ("HSTU-large, 101 epochs, Meta's README", "pandas quicksort",
              [".3294", ".1893", ".5935", "-", ".7839", "-", "-"]),
             ("torch-rechub 0.1.0's HSTU, its authors", "not stated", [".21", ".11", "-", "-", "-", "-", "-"])]


def figure(value):
    return f"{value:.4f}".removeprefix("0")


def table(columns):
    head = ["model", "ties", "epochs"] + [name.upper() for name in columns] + ["train s", "predictions/s"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, label, ties in ROWS:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        row = json.loads(path.read_text())
        trained = row["epochs"] > 0
        cells = [label, ties, str(row["epochs"]) if trained else "-"] + [figure(row[m]) for m in columns]
        cells += [f"{row['train_seconds']:.0f}", f"{row['tokens_per_second']:,.0f}"] if trained else ["-", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    for label, ties, values in PUBLISHED:
        picked = [values[METRICS.index(m)] for m in columns]
        lines.append("| " + " | ".join(["published: " + label, ties, "-"] + picked + ["-", "-"]) + " |")
    return "\n".join(lines)


def program():
    lines = (ROOT / "examples" / "03_train.cpp").read_text().splitlines()
    return "```cpp\n" + "\n".join(line for line in lines if not line.startswith("// ")) + "\n```"


def main():
    quotes = {"results:short": table(["hr@10", "ndcg@10", "hr@50", "hr@200"]), "results:full": table(METRICS),
              "program": program()}
    stale = []
    for path in (ROOT / "README.md", ROOT / "docs" / "results.md"):
        before = text = path.read_text()
        for name, content in quotes.items():
            text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + content + "\n" + m[2], text,
                          flags=re.S)
        if text != before:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text)
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"update_docs.py: {', '.join(stale)}: out of date, run scripts/update_docs.py")


main()
