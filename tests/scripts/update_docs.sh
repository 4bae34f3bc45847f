#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# README and docs/results.md quote what docs/results/*.json and examples/03_train.cpp say; a changed figure is noticed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

python3 "$root/scripts/update_docs.py" --check

mkdir -p "$copy"/{scripts,docs,examples}
cp "$root/scripts/update_docs.py" "$copy/scripts/"
cp "$root/README.md" "$copy/"
cp -r "$root/docs/results" "$root/docs/results.md" "$copy/docs/"
cp "$root/examples/03_train.cpp" "$copy/examples/"
python3 "$copy/scripts/update_docs.py" --check
python3 - "$copy" <<'PYTHON'
import json, pathlib, sys
path = next(pathlib.Path(sys.argv[1], "docs/results").glob("meta-ml-1m-file.json"))
row = json.loads(path.read_text())
row["ndcg@10"] += 0.01
path.write_text(json.dumps(row))
PYTHON
if python3 "$copy/scripts/update_docs.py" --check 2>/dev/null; then
  echo "update_docs.sh: a changed figure was not noticed" >&2
  exit 1
fi
