#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads all 1,000,209 rows of MovieLens-1M twice, with read_ratings() and with the Python standard library, and compares
them, in the format at hand and in the three others, written here.

    tests/data/ml_1m_rows.py [RATINGS]        default: what scripts/fetch_movielens.sh ml-1m finds; exit status 77 without
"""
import csv
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS = 1_000_209
PROGRAM = r"""
#include <bit>
#include <cstdio>
#include <hstu/data/read_ratings.hpp>
int main(int, char** argv) {  // one line per row: user, item, bits of the rating, seconds
  const hstu::Ratings read = hstu::read_ratings(argv[1]);
  const auto first = read.items.first_id();
  for (std::size_t i = 0; i < read.user.size(); ++i) {
    std::printf("%s\t%s\t%u\t%lld\n", read.users[static_cast<std::size_t>(read.user[i])].c_str(),
                read.items.names()[static_cast<std::size_t>(read.item[i] - first)].c_str(),
                std::bit_cast<unsigned>(read.rating[i]), static_cast<long long>(read.timestamp_s[i]));
  }
}
"""
WRITERS = {
    "ratings.inter": ("user_id:token\titem_id:token\trating:float\ttimestamp:float\n", "\t"),
    "ratings.dat": ("", "::"), "u.data": ("", "\t"), "ratings.csv": ("userId,movieId,rating,timestamp\n", ","),
}


def rows_in_python(path):
    """(user, item, bits of the rating as float32, seconds) of every row."""
    with open(path, encoding="utf-8", newline="") as file:
        if path.name.endswith(".csv"):
            table = list(csv.reader(file))
        else:
            separator = "::" if path.name.endswith(".dat") else "\t"
            table = [line.rstrip("\r\n").split(separator) for line in file]
    if path.name.endswith((".inter", ".csv")):
        del table[0]
    return [(user, item, struct.unpack("I", struct.pack("f", float(rating)))[0], int(float(time)))
            for user, item, rating, time in table]


def differences(ours, theirs):
    return abs(len(ours) - len(theirs)) + sum(a != b for a, b in zip(ours, theirs))


def main():
    found = sys.argv[1:] or subprocess.run([ROOT / "scripts/fetch_movielens.sh", "ml-1m"], capture_output=True, text=True,
                                           stdin=subprocess.DEVNULL).stdout.split()
    if not found:
        print("skipped: MovieLens-1M cannot be had here")
        sys.exit(77)
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "rows.cpp").write_text(PROGRAM)
        subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O1", f"-I{ROOT}/include", str(folder / "rows.cpp"),
                        "-o", str(folder / "rows")], check=True)
        original = rows_in_python(pathlib.Path(found[0]))
        paths = [pathlib.Path(found[0])]
        for file_name, (header, separator) in WRITERS.items():
            paths.append(folder / file_name)
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(header)
                for user, item, bits, time in original:
                    if separator == ",":
                        item = '"' + item.replace('"', '""') + '"'
                    rating = struct.unpack("f", struct.pack("I", bits))[0]
                    file.write(separator.join([user, item, repr(rating), str(time)]) + "\n")
        for path in paths:
            printed = subprocess.run([folder / "rows", path], check=True, capture_output=True, text=True).stdout
            ours = [(user, item, int(bits), int(time)) for user, item, bits, time in
                    (line.split("\t") for line in printed.splitlines())]
            theirs = rows_in_python(path)
            count = differences(ours, theirs)
            failures += count > 0 or len(ours) != ROWS
            print(f"figure: {len(ours)} rows of {path.name} as Python reads them, {count} differences")
            theirs[ROWS // 2] = (*theirs[ROWS // 2][:3], theirs[ROWS // 2][3] + 1)  # one wrong second must be seen
            failures += differences(ours, theirs) == count
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
