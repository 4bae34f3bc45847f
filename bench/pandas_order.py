#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes ML-1M in the order in which Meta's preprocessing leaves it, for hstu prepare --ties given.

    pandas_order.py [--data FILE] [--out FILE] [--simd]
    hstu prepare --ratings FILE --ties given --out DIR

Meta sorts the whole ratings table with pandas' sort_values(by=["unix_timestamp"]) and then groups it by user.  The
default sort of pandas is NumPy's argsort(kind="quicksort"), which is not stable: it scrambles events of equal time,
and more than half of ML-1M's steps have the time of the step before.  What it makes of ties depends on the version
of NumPy and on the processor:

    NumPy 1.24, or a later one without SIMD    introsort        52.65 % of the places, 25.91 % of the last items
    1.26 with AVX-512                          x86-simd-sort    52.73 %                26.42 %
    2.0 and 2.4 with AVX-512                   a later one      52.79 %                26.23 %
    2.4 with AVX2 alone                        and another      52.66 %                25.86 %

(the share that differs from a stable sort, the order of the file; measured).  Here every instruction set for which
NumPy has code of its own is switched off by NPY_DISABLE_CPU_FEATURES (AVX512_SKX alone is not enough), which leaves
introsort: the same file, byte for byte, from NumPy 1.24, 1.26, 2.0 and 2.4.  --simd leaves them on.  Which of these
orders Meta's published figures rest on is not known.

pandas comes from the Python in use or, if that has none, from PyPI into build-peers/pandas.
"""
import argparse
import hashlib
import importlib.util
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench" / "peers"))
import data  # noqa: E402
import environment  # noqa: E402

READY = "HSTU_PANDAS_ORDER_READY"  # set in the environment once the interpreter and its NumPy are the right ones
DISPATCHED = """
try:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
except ImportError:
    from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__
print(*(name for name in __cpu_dispatch__ if __cpu_features__[name]))
"""
ML_1M_ROWS, ML_1M_ORDER = 1000209, "15e263c63cbf"  # and the order of its rows that introsort gives


def restart(simd):
    """The same call in a Python that has pandas, with NumPy's SIMD code off: NumPy reads the variable when it loads."""
    has_pandas = importlib.util.find_spec("pandas") is not None
    python = sys.executable if has_pandas else str(environment.pandas_python())
    variables = {**os.environ, READY: "1"}
    if not simd:
        found = subprocess.run([python, "-c", DISPATCHED], capture_output=True, text=True, check=True)
        variables["NPY_DISABLE_CPU_FEATURES"] = found.stdout.strip()
    os.execve(python, [python, *sys.argv], variables)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=data.default_file(),
                        help="RecBole .inter or ratings.dat (default: what scripts/fetch_movielens.sh ml-1m fetched)")
    parser.add_argument("--out", type=pathlib.Path, help="default: pandas-order.inter beside it")
    parser.add_argument("--simd", action="store_true", help="leave NumPy's choice of the sort to the processor")
    options = parser.parse_args()
    if READY not in os.environ:
        restart(options.simd)

    import numpy
    import pandas
    rows = pandas.DataFrame(data.read_ratings(options.data), columns=["user", "item", "rating", "timestamp"])
    rows["timestamp"] = rows["timestamp"].astype("float64").astype("int64")

    rows["number"] = pandas.factorize(rows["user"])[0]

    def by_user(**how):  # grouped by user in the order of the file; the groups keep the order of the sort
        return rows.sort_values(by=["timestamp"], **how).sort_values(by=["number"], kind="stable")
    ordered, stable = by_user(), by_user(kind="stable")
    differs = ordered.index != stable.index
    is_last = (ordered["number"] != ordered["number"].shift(-1)).to_numpy()
    digest = hashlib.sha256(ordered.index.to_numpy().astype("<i8").tobytes()).hexdigest()[:12]
    if len(rows) == ML_1M_ROWS and not options.simd and digest != ML_1M_ORDER:
        sys.exit(f"pandas {pandas.__version__} with NumPy {numpy.__version__} gave the order {digest}, not introsort's "
                 f"{ML_1M_ORDER}; with --simd it is taken as it is")

    out = options.out or options.data.parent / "pandas-order.inter"
    with open(out, "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
        for row in zip(ordered["user"], ordered["item"], ordered["rating"], ordered["timestamp"]):
            file.write("\t".join(map(str, row)) + "\n")
    print(f"{out}: {len(rows)} rows by pandas {pandas.__version__}, NumPy {numpy.__version__}, order {digest}; "
          f"{100 * differs.mean():.2f} % of the places and {100 * differs[is_last].mean():.2f} % of the last items "
          "differ from a stable sort")


main()
