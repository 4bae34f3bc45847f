#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what the benches measured as a Markdown table, with the machine above it.

    report.py OUT.json... [--into FILE --marker NAME]

OUT.json are files that bench programs wrote (--benchmark_out=OUT.json).  A bench that ran several times, by repetitions
or in several files, gets the medians.  With --into, the part of FILE between <!-- NAME --> and <!-- end --> is replaced
instead.  A bench whose check failed is reported, and nothing is written.

GFLOP/s are by the formula at the head of the bench; the share is of what as many cores reach at their best, each as
measured by the program itself with the library's register tile.
"""
import argparse
import json
import pathlib
import re
import statistics
import sys

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
# What Google Benchmark itself writes about a bench; the rest are counters.
OWN_FIELDS = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions",
              "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit", "aggregate_name",
              "aggregate_unit", "error_occurred", "error_message", "label"}
IN_COLUMNS = {"GFLOP/s", "share", "peak"}


def read_runs(paths):
    """Contexts of the files, and name -> runs of a bench: dicts of "time" in seconds and the counters."""
    contexts, runs, failures = [], {}, []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows, context = content["benchmarks"], content["context"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.exit(f"report.py: {path}: expected a file written by --benchmark_out: {error}")
        contexts.append(context)
        # With --benchmark_report_aggregates_only there are no single runs.
        kind = "iteration" if any(row["run_type"] == "iteration" for row in rows) else "aggregate"
        for row in rows:
            name = re.sub(r"/(iterations|repeats):\d+|/manual_time", "", row["run_name"])
            if row.get("error_occurred"):
                failures.append(f"{name}: {row['error_message']}")
            elif row["run_type"] == kind and row.get("aggregate_name", "median") == "median":
                counters = {key: value for key, value in row.items() if key not in OWN_FIELDS}
                seconds = row["real_time"] * SECONDS[row["time_unit"]]
                runs.setdefault(name, []).append({"time": seconds, **counters})
    if failures:
        sys.exit("report.py: wrong results\n" + "\n".join(failures))
    return contexts, runs


def number(value):
    """Three digits that count, as few as needed for a whole number."""
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-3 else f"{value:.2e}"


def duration(seconds):
    for unit, shown in (("s", "s"), ("ms", "ms"), ("us", "µs")):
        if seconds >= SECONDS[unit]:
            return f"{number(seconds / SECONDS[unit])} {shown}"
    return f"{number(seconds / SECONDS['ns'])} ns"


def interval(values, unit=""):
    low, high = number(min(values)), number(max(values))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def machine(contexts, runs):
    """One line: processor, compiler, day, load, peak."""
    first = contexts[0]
    parts = [first.get("cpu", "unknown processor"), f"{first['num_cpus']} cores"]
    if "compiler" in first:
        parts.append(first["compiler"])
    parts.append(first["date"][:10])
    loads = [context["load_avg"][0] for context in contexts if context.get("load_avg")]
    if loads:
        parts.append(f"load {interval(loads)} before")
    peaks = [run["peak"] for of_bench in runs.values() for run in of_bench if "peak" in run]
    if peaks:
        parts.append(f"peak of one core {interval(peaks, ' GFLOP/s')}")
    counts = [len(of_bench) for of_bench in runs.values()]
    if counts and max(counts) > 1:
        parts.append(f"medians of {interval(counts)} runs")
    line = "; ".join([", ".join(parts[:2]), *parts[2:]])
    if loads and max(loads) > first["num_cpus"] + 0.5:
        line += "\n\nOther programs were running: not to be quoted."
    return line


def table(runs):
    lines = ["| bench | time | GFLOP/s | share of peak | |", "| --- | ---: | ---: | ---: | --- |"]
    for name, of_bench in runs.items():
        median = {key: statistics.median(run[key] for run in of_bench) for key in of_bench[0]}
        flops = number(median["GFLOP/s"]) if "GFLOP/s" in median else ""
        share = f"{100 * median['share']:.0f} %" if "share" in median else ""
        others = ", ".join(f"{key.replace('_', ' ')} {number(value)}" for key, value in median.items()
                           if key != "time" and key not in IN_COLUMNS)
        lines.append(f"| `{name}` | {duration(median['time'])} | {flops} | {share} | {others} |")
    return "\n".join(lines)


def replace_part(path, marker, content):
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)", flags=re.S)
    if not pattern.search(text):
        sys.exit(f"report.py: {path}: expected <!-- {marker} --> and behind it <!-- end -->")
    path.write_text(pattern.sub(lambda m: m[1] + content + "\n" + m[2], text), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="+", type=pathlib.Path, metavar="OUT.json")
    parser.add_argument("--into", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--marker", metavar="NAME")
    options = parser.parse_args()
    if (options.into is None) != (options.marker is None):
        parser.error("--into and --marker go together")
    contexts, runs = read_runs(options.outputs)
    content = machine(contexts, runs) + "\n\n" + table(runs)
    if options.into is None:
        print(content)
    else:
        replace_part(options.into, options.marker, content)


main()
