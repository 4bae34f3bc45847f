#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrites what README.md and docs/results.md quote, between <!-- name --> and <!-- end -->: the tables of results from
docs/results/*.json, and the program from examples/03_train.cpp.  A row is the mean of NAME.json, NAME-seed2.json and so
on; a run that was not timed alone has no train_seconds.

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
        ("ml-1m-file", "`ml-1m`", "file"),
        ("popularity-random", "most popular items", "random"),
        ("markov-random", "last item → next item (Markov)", "random"), ("meta-ml-1m-random", "`meta-ml-1m`", "random"),
        ("meta-ml-1m-large-random", "`meta-ml-1m-large`", "random"), ("ml-1m-random", "`ml-1m`", "random"),
        ("meta-ml-1m-pandas", "`meta-ml-1m`", "pandas quicksort"),
        ("meta-ml-1m-large-pandas", "`meta-ml-1m-large`", "pandas quicksort"),
        ("ml-1m-pandas", "`ml-1m`", "pandas quicksort")]
# Published figures; "-" where the source gives none.
PUBLISHED = [("HSTU, 101 epochs, Meta's README", "pandas quicksort", [".3097", ".1720", ".5754", "-", ".7716", "-", "-"]),
             ("HSTU-large, 101 epochs, Meta's README", "pandas quicksort",
              [".3294", ".1893", ".5935", "-", ".7839", "-", "-"]),
             ("torch-rechub 0.1.0's HSTU, its authors", "not stated", [".21", ".11", "-", "-", "-", "-", "-"])]


def figure(value):
    return f"{value:.4f}".removeprefix("0")


def load_row(name):
    """The mean over the seeds of a row, None if there is no run of it."""
    runs = [json.loads(path.read_text()) for path in
            [RESULTS / f"{name}.json", *sorted(RESULTS.glob(f"{name}-seed*.json"))] if path.exists()]
    if not runs:
        return None
    row = {metric: sum(run[metric] for run in runs) / len(runs) for metric in METRICS}
    row |= {"epochs": runs[0]["epochs"], "seeds": len(runs)}
    timed = [run for run in runs if "train_seconds" in run]
    if timed:
        fastest = min(timed, key=lambda run: run["train_seconds"])
        row |= {key: fastest[key] for key in ("train_seconds", "tokens_per_second")}
    return row


def table(columns):
    head = ["model", "ties", "epochs", "seeds"] + [name.upper() for name in columns] + ["train s", "predictions/s"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, label, ties in ROWS:
        row = load_row(name)
        if row is None:
            continue
        trained = row["epochs"] > 0
        cells = [label, ties] + ([str(row["epochs"]), str(row["seeds"])] if trained else ["-", "-"])
        cells += [figure(row[m]) for m in columns]
        timed = trained and "train_seconds" in row
        cells += [f"{row['train_seconds']:.0f}", f"{row['tokens_per_second']:,.0f}"] if timed else ["-", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    for label, ties, values in PUBLISHED:
        picked = [values[METRICS.index(m)] for m in columns]
        lines.append("| " + " | ".join(["published: " + label, ties, "-", "-"] + picked + ["-", "-"]) + " |")
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
