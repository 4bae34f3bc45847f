#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counted work of the kernels beside what they need, how many blocks a multiprocessor holds, and what limits them.

    kernel_work.py BUILD            runs BUILD/bin/bench_gpu_kernels --once on the PTX machine and fails if a kernel
                                    does more than it may
    kernel_work.py BUILD --write    also rewrites the tables in docs/kernels.md
"""
import argparse
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from kernel_table import read_logs, write_block

SECTOR = 32  # bytes that global memory moves at a time
# Attention on tensor cores: at most so many times the ideal sectors and wavefronts, and the products of its pairs.
SECTORS, WAVEFRONTS = 1.05, 1.05
PRODUCTS = {"forward": {200: 1.25, 512: 1.10}, "backward": {200: 1.40, 512: 1.10}}  # from a length on
BYTES, LEAST = 1.25, 8192  # other kernels that need so many bytes: at most so many times those


@dataclasses.dataclass(frozen=True)
class Gpu:
    """What a multiprocessor holds, and what it does per clock.  Sources: docs/kernels.md."""
    name: str
    architecture: int  # whose registers count
    shared: int  # bytes
    tensor: int  # FLOP
    hbm: float  # bytes, its share
    registers: int = 65536
    threads: int = 2048
    blocks: int = 32
    special: int = 16  # special functions, and conversions of types
    issue: int = 4  # instructions of a warp
    wavefronts: int = 1


GPUS = (Gpu("A100", 80, 164 * 1024, 2048, 1555e9 / 108 / 1.41e9),
        Gpu("H100", 90, 228 * 1024, 4096, 3350e9 / 132 / 1.83e9))


@dataclasses.dataclass(frozen=True)
class Launch:
    size: str
    needed_bytes: int
    needed_flops: int
    counters: dict

    @property
    def kernel(self):
        return self.counters["kernel"]

    @property
    def is_attention(self):
        return "attention" in self.kernel and "_mma_" in self.kernel

    def ratio(self, name):
        ideal = self.counters[f"{name}_ideal"]
        return self.counters[name] / ideal if ideal else 1.0

    @property
    def bytes(self):
        return SECTOR * self.counters["global_sectors"] / self.needed_bytes

    @property
    def products(self):
        return self.counters["mma_flops"] / self.needed_flops if self.needed_flops else None


def run_bench(build):
    """The launches that the bench measures, in order."""
    with tempfile.TemporaryDirectory() as folder:
        work, report = pathlib.Path(folder) / "work.jsonl", pathlib.Path(folder) / "report.jsonl"
        libraries = f"{build.resolve()}/tests/ptx/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"
        environment = {"PTX_ARCH": "80", **os.environ, "PTX_REPORT": str(report), "LD_LIBRARY_PATH": libraries}
        subprocess.run([build / "bin" / "bench_gpu_kernels", "--once", work], check=True, env=environment,
                       stdout=subprocess.DEVNULL)
        needed = [json.loads(line) for line in work.read_text().splitlines()]
        counted = iter([json.loads(line) for line in report.read_text().splitlines()])
    launches = []
    for need in needed:  # launches in between prepare operands
        for counters in counted:
            if counters["kernel"] == need["kernel"] or counters["kernel"].startswith(need["kernel"] + "_"):
                launches.append(Launch(need["size"], need["bytes"], need["flops"], counters))
                break
        else:
            raise SystemExit(f"kernel_work: no launch of {need['kernel']} {need['size']} in its place")
    return launches


def find_problems(launches):
    problems = []

    def check(launch, what, value, limit):
        if value > limit:
            problems.append(f"{launch.kernel}, {launch.size}: {value:.3f} times the {what} that are needed, limit {limit}")

    for launch in launches:
        if not launch.is_attention:
            if launch.needed_bytes >= LEAST:
                check(launch, "bytes", launch.bytes, BYTES)
            continue
        check(launch, "wavefronts", launch.ratio("shared_wavefronts"), WAVEFRONTS)
        length = re.match(r"\d+ × (\d+), \d+ heads of \d+$", launch.size)  # no mask
        if length:
            check(launch, "sectors", launch.ratio("global_sectors"), SECTORS)
            limits = PRODUCTS["forward" if "forward" in launch.kernel else "backward"]
            limit = min((most for least, most in limits.items() if int(length[1]) >= least), default=float("inf"))
            check(launch, "products", launch.products, limit)
    return problems


def work_table(launches):
    lines = ["| kernel | size | needs | sectors / ideal | wavefronts / ideal | products / needed | bytes / needed |"
             " warp instructions |", "| --- |" + " --- |" * 7]
    for launch in launches:
        needs = f"{launch.needed_bytes / 1e3:,.0f} kB"
        if launch.needed_flops:
            needs += f", {launch.needed_flops / 1e6:.1f} MFLOP"
        waves = f"{launch.ratio('shared_wavefronts'):.3f}" if launch.counters["shared_wavefronts"] else ""
        products = f"{launch.products:.2f}" if launch.products else ""
        moved = "" if launch.is_attention else f"{launch.bytes:.2f}"
        lines.append(f"| `{launch.kernel}` | {launch.size} | {needs} | {launch.ratio('global_sectors'):.3f} | "
                     f"{waves} | {products} | {moved} | {launch.counters['warp_instructions']:,} |")
    return "\n".join(lines)


def blocks_of(gpu, launch, registers, static_shared):
    """{resource: blocks that a multiprocessor holds by it}."""
    threads = launch.counters["block"][0]
    of_warp = -(-32 * registers // 256) * 256  # given out in units of 256
    shared = static_shared + launch.counters["dynamic_shared_bytes"] + 1024  # which the system takes for each block
    return {"registers": gpu.registers // (of_warp * -(-threads // 32)), "shared": gpu.shared // shared,
            "threads": gpu.threads // threads, "blocks": gpu.blocks}


def clocks_of(gpu, launch):
    """{resource: clocks that the launch would keep it busy on one multiprocessor}."""
    c, of_class = launch.counters, launch.counters["instructions"]
    return {"tensor": c["mma_flops"] / gpu.tensor, "shared": c["shared_wavefronts"] / gpu.wavefronts,
            "special": 32 * (of_class["special_function"] + of_class["convert"]) / gpu.special,
            "issue": c["warp_instructions"] / gpu.issue, "HBM": launch.needed_bytes / gpu.hbm}


def limit_table(gpu, launches, files):
    found = {kernel: of for kernels in files.values() for kernel, of in kernels.items()}
    lines = ["| kernel | size | blocks by registers, shared memory, threads | warps | tensor | shared | special |"
             " issue | HBM | limit |", "| --- |" + " --- |" * 9]
    for launch in launches:
        of = found[launch.kernel].get(gpu.architecture)
        if of is None:
            raise SystemExit(f"kernel_work: the build has no sm_{gpu.architecture}")
        blocks, clocks = blocks_of(gpu, launch, of[0], of[2]), clocks_of(gpu, launch)
        held, most = min(blocks.values()), max(clocks.values())
        share = " | ".join(f"{100 * value / most:.0f}" for value in clocks.values())
        lines.append(f"| `{launch.kernel}` | {launch.size} | {blocks['registers']}, {blocks['shared']}, "
                     f"{blocks['threads']}: {held} | {held * launch.counters['block'][0] // 32} | {share} | "
                     f"{max(clocks, key=clocks.get)} |")
    return "\n".join(lines)


def last_of_each(launches):
    """One launch of each kernel, the last, which is the largest of attention."""
    return list({launch.kernel: launch for launch in launches if "masked" not in launch.size}.values())


def shown(launches):
    """Attention on tensor cores at all sizes, the rest once."""
    seen, result = set(), []
    for launch in launches:
        key = (launch.kernel, launch.size if launch.is_attention and "silu" in launch.kernel else "")
        if key not in seen:
            result.append(launch)
        seen.add(key)
    return result


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("build", type=pathlib.Path)
    options.add_argument("--write", action="store_true")
    asked = options.parse_args()
    launches = run_bench(asked.build)
    problems = find_problems(launches)
    for problem in problems:
        print(f"kernel_work: {problem}", file=sys.stderr)
    print(f"kernel_work: {len(launches)} launches of {len({launch.kernel for launch in launches})} kernels, "
          f"{len(problems)} problems")
    if asked.write:
        write_block("work", work_table(shown(launches)))
        files = read_logs(asked.build / "kernels")
        for gpu in GPUS:
            write_block(f"limits {gpu.name}", limit_table(gpu, last_of_each(launches), files))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
