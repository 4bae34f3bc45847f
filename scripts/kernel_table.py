#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What ptxas, the disassembler and the PTX machine say about the kernels of a build.

    kernel_table.py BUILD                  fails if a kernel spills registers, or one on tensor cores has no HMMA
    kernel_table.py BUILD --write          also rewrites the tables in docs/kernels.md
    kernel_table.py BUILD --report FILE    with counters of the launches of
                                           PTX_REPORT=FILE BUILD/bin/hstu_cuda_tests "[counted]"

HMMA (a tensor-core product in SASS) is looked for where cuobjdump and nvdisasm are in the PATH
(pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm).
"""
import argparse
import collections
import json
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


def read_launches(path):
    """{(kernel, grid): {counter: sum}} of a PTX_REPORT."""
    names = ("warp_instructions", "mma_flops", "global_sectors", "global_sectors_ideal", "shared_wavefronts",
             "shared_wavefronts_ideal", "atomics")
    sums = {}
    for line in path.read_text().splitlines():
        launch = json.loads(line)
        row = sums.setdefault((launch["kernel"], tuple(launch["grid"])), dict.fromkeys(("launches", *names), 0))
        row["launches"] += 1
        for name in names:
            row[name] += launch[name]
    return sums


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


def launch_table(launches):
    lines = ["| kernel | blocks | warp instructions | tensor MFLOP | sectors / ideal | wavefronts / ideal | atomics |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for (kernel, grid), row in launches.items():
        sectors = row["global_sectors"] / max(1, row["global_sectors_ideal"])
        waves = row["shared_wavefronts"] / max(1, row["shared_wavefronts_ideal"])
        count = row["launches"]
        blocks = " × ".join(str(n) for n in grid[:2])
        lines.append(f"| `{kernel}` | {blocks} | {row['warp_instructions'] // count:,} | "
                     f"{row['mma_flops'] / count / 1e6:.1f} | {sectors:.3f} | {waves:.3f} | {row['atomics']} |")
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
    options.add_argument("--report", type=pathlib.Path)
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
        if asked.report:
            write_block("counters", launch_table(read_launches(asked.report)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
