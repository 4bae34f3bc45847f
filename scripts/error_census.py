#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the public functions that throw typed errors and finds those which no error test calls.

    scripts/error_census.py [--include include/hstu] [--tests tests] [--list]

A function throws if its body, or that of a helper it calls (in namespace detail, or private), holds check<...Error>( or
throw ...Error(. It is met if a test calls it where an error is expected: in a test case tagged [errors] or
[regression], or in a statement with THROWS or message_of, itself or through a helper of the tests. Functions that no
test meets are printed, with exit status 1.
"""
import argparse
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
THROWS = re.compile(r"\b(?:check<\w*Error>|check<Kind>|throw \w*(?:Error|Kind))\s*\(")
WORDS = re.compile(r"[A-Za-z_]\w*")
CALLS = re.compile(r"\b([A-Za-z_]\w*)\s*(?:<[^;{}()]*>)?\s*[({]")
Function = collections.namedtuple("Function", "place owner name is_public body")


def without_text(code):
    """The code with comments, strings and characters blanked, each in its length."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"\(.*?\)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])\'',
                         re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), code)


def closing(code, at, pair="{}"):
    """The place behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] == pair[0]) - (code[i] == pair[1])
        if depth == 0:
            return i + 1
    return len(code)


def head_name(head):
    """The name that a function's head declares, '' if it is none: the identifier before its first list of arguments."""
    head = re.sub(r"__attribute__\s*\(\([^;{]*?\)\)\)?", " ", head)
    head = re.sub(r"\b(?:requires|noexcept|decltype|alignas|explicit)\s*\([^()]*\)", " ", head)
    while (plain := re.sub(r"<[^<>()]*>", " ", head)) != head:
        head = plain
    match = re.search(r"(operator\s*(?:\(\)|\[\]|[^\s\w(]+)|~?[A-Za-z_]\w*)\s*\(", head)
    return match[1].replace(" ", "") if match else ""


def functions_of(path):
    """Every function with a body in a header."""
    code = without_text(path.read_text())
    code = re.sub(r"^\s*#.*?(?<!\\)$", lambda m: " " * len(m[0]), code, flags=re.M)
    found = []

    def scan(begin, end, owner, in_detail, access):
        at = start = begin
        while at < end:
            label = re.compile(r"\b(public|private|protected)\s*:(?!:)").match(code, at)
            if label and owner:
                access, at = label[1], label.end()
                start = at
            elif code[at] == "(":
                at = closing(code, at, "()")
            elif code[at] == ";":
                at += 1
                start = at
            elif code[at] == "{":
                head, stop = code[start:at], closing(code, at)
                kind = re.match(r"\s*(?:inline\s+)?namespace\s+([\w:]*)", head)
                plain = re.sub(r"<[^<>]*>", "", head)
                record = re.search(r"\b(?:class|struct|union)\s+(\w+)[^()]*$", plain)
                name = head_name(head)
                if kind:
                    scan(at + 1, stop - 1, owner, in_detail or "detail" in kind[1], access)
                elif record and not name:
                    is_class = re.search(r"\bclass\s+\w+[^()]*$", plain)
                    scan(at + 1, stop - 1, record[1], in_detail or access != "public",
                         "private" if is_class else "public")
                elif name and not re.search(r"\benum\b|=\s*$|\breturn\b", head):
                    line = code.count("\n", 0, at) + 1
                    while code[stop:stop + 2].strip()[:1] in (",", "{"):  # braces in a constructor's list of members
                        following = code.find("{", stop)
                        stop = closing(code, following)
                    found.append(Function(f"{path.relative_to(path.parents[1])}:{line}", owner, name,
                                          not in_detail and access == "public", code[start:stop]))
                elif code[stop:stop + 1] == ",":  # X() : a_{1}, b_{2} {
                    at = stop
                    continue
                at = start = stop
            else:
                at += 1

    scan(0, len(code), "", False, "public")
    return found


def throwing(functions):
    """Public functions that throw, themselves or by helpers: those of detail anywhere, private ones of the file."""
    def file_of(function):
        return function.place.split(":")[0]

    def throws(function):
        calls = set(CALLS.findall(function.body)) - {function.name}
        return bool(THROWS.search(function.body) or calls & (everywhere | in_file[file_of(function)]))

    everywhere, in_file = set(), collections.defaultdict(set)
    helpers = [f for f in functions if not f.is_public]
    size = -1
    while size != (size := len(everywhere) + sum(map(len, in_file.values()))):
        for f in helpers:
            if throws(f):
                (in_file[file_of(f)] if f.owner else everywhere).add(f.name)
    return [f for f in functions if f.is_public and not f.name.startswith("~") and throws(f)]


def names_met(tests):
    """Names called where an error is expected."""
    met, helpers = set(), []
    for path in sorted(tests.rglob("*.?pp")):
        raw = path.read_text()
        code = without_text(raw)
        for match in re.finditer(r"^(?:TEMPLATE_)?TEST_CASE\(", code, re.M):
            head_end = closing(code, code.index("(", match.start()), "()")
            tags = raw[match.start():head_end]
            body = code[head_end:closing(code, code.find("{", head_end))]
            if "[errors]" in tags or "[regression]" in tags:
                met |= set(WORDS.findall(body))
        for match in re.finditer(r"\b\w*(?:THROWS\w*|message_of\w*|error_of\w*)\b", code):
            end = code.find("(", match.end())
            met |= set(WORDS.findall(code[match.end():closing(code, end, "()")]))
        helpers += [f for f in functions_of(path) if not re.match(r"\w*(TEST_CASE|SECTION)", f.name)]
        helpers += [Function("", "", table[1], False, table[2])  # kCases[] = {...} of functions
                    for table in re.finditer(r"\b(k[A-Z]\w*)\[\]\s*=\s*(\{.*?\});", code, re.S)]
    while True:
        more = {word for f in helpers if f.name in met for word in WORDS.findall(f.body)} - met
        if not more:
            return met
        met |= more


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", type=pathlib.Path, default=ROOT / "include/hstu")
    parser.add_argument("--tests", type=pathlib.Path, default=ROOT / "tests")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    functions = [f for path in sorted(options.include.rglob("*.hpp")) for f in functions_of(path)]
    found, met = throwing(functions), names_met(options.tests)
    gaps = [f for f in found if (f.owner if f.name.startswith("operator") else f.name) not in met]
    for f in found if options.list else gaps:
        print(f"{f.place}: {f.owner + '::' if f.owner else ''}{f.name}{'' if f in gaps else ' (met)'}")
    print(f"figure: {len(found)} public functions that throw typed errors, {len(gaps)} of them in no error test")
    sys.exit(1 if gaps or not found else 0)


if __name__ == "__main__":
    main()
