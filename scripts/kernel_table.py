#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What ptxas and the disassembler say about the kernels of a build.

    kernel_table.py BUILD            fails if a kernel spills registers, or one on tensor cores has no HMMA
    kernel_table.py BUILD --write    also rewrites the table in docs/kernels.md

HMMA (a tensor-core product in SASS) is looked for where cuobjdump and nvdisasm are in the PATH
(pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm).
"""
import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "kernels.md"
ENTRY = re.compile(r"Compiling entry function '(?P<kernel>\w+)' for 'sm_(?P<arch>\d+)'.*?"
                   r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill"
                   r" loads.*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)", re.DOTALL)


def read_logs(folder):
    """{file: {kernel: {architecture: (registers, spilled bytes, static shared bytes)}}} of ptxas' logs."""
    files = collections.OrderedDict()
    for log in sorted(folder.glob("*.log")):
        kernels = files.setdefault(log.stem, collections.OrderedDict())
        for found in ENTRY.finditer(log.read_text()):
            shared = re.search(r"(\d+) bytes smem", found["rest"])
            kernels.setdefault(found["kernel"], {})[int(found["arch"])] = (
                int(found["registers"]), int(found["stores"]) + int(found["loads"]), int(shared[1]) if shared else 0)
        if not kernels:
            raise SystemExit(f"kernel_table: {log} names no kernel")
    if not files:
        raise SystemExit(f"kernel_table: no logs in {folder}; were the kernels built?")
    return files


def count_products(binary, architecture):
    """{kernel: number of HMMA instructions} in the SASS of one architecture."""
    text = subprocess.run(["cuobjdump", "-sass", "-arch", f"sm_{architecture}", str(binary)], check=True,
                          capture_output=True, text=True).stdout
    counts = {}
    for part in text.split("Function : ")[1:]:
        counts[part.split()[0]] = part.count("HMMA")
    return counts


def register_table(files, products):
    architectures = sorted({a for kernels in files.values() for of in kernels.values() for a in of})
    lines = ["| kernel | " + " | ".join(f"sm_{a}" for a in architectures) + " | shared | HMMA |",
             "| --- |" + " --- |" * (len(architectures) + 2)]
    for file, kernels in files.items():
        for kernel, of in kernels.items():
            cells = [str(of[a][0]) if a in of else "" for a in architectures]
            shared = max(row[2] for row in of.values())
            count = products.get(kernel)
            lines.append(f"| `{kernel}` | " + " | ".join(cells) + f" | {shared or ''} | {count or ''} |")
    return "\n".join(lines)


def write_block(name, text):
    """Replaces what stands between <!-- name --> and <!-- end --> in the document."""
    document = DOCUMENT.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(document):
        raise SystemExit(f"kernel_table: {DOCUMENT.name} has no block {name}")
    DOCUMENT.write_text(pattern.sub(lambda m: m[1] + text + "\n" + m[2], document))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("build", type=pathlib.Path)
    options.add_argument("--write", action="store_true")
    asked = options.parse_args()
    files = read_logs(asked.build / "kernels")
    problems = [f"{kernel} spills {row[1]} bytes on sm_{a}" for kernels in files.values()
                for kernel, of in kernels.items() for a, row in of.items() if row[1]]
    products = {}
    if shutil.which("cuobjdump") and shutil.which("nvdisasm"):
        for file, kernels in files.items():
            for architecture in sorted({a for of in kernels.values() for a in of}):
                counts = count_products(asked.build / "kernels" / f"{file}.fatbin", architecture)
                problems += [f"{kernel} has no HMMA on sm_{architecture}" for kernel in kernels
                             if "_mma" in kernel and not counts.get(kernel)]
                if architecture == 80:
                    products.update(counts)
    else:
        print("kernel_table: no cuobjdump and nvdisasm in the PATH: tensor-core instructions are not looked for")
    for problem in problems:
        print(f"kernel_table: {problem}", file=sys.stderr)
    kernels = sum(len(k) for k in files.values())
    print(f"kernel_table: {kernels} kernels in {len(files)} files, {len(problems)} problems")
    if asked.write:
        write_block("registers", register_table(files, products))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
