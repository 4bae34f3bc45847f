#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the same models on ML-1M with hstu and with its peers in PyTorch, side by side, and prints the ratios.

    compare_peers.py [--only NAME] [--rounds N] [--quick] [--json FILE] [--meta PATH]

The sides take turns, for clocks drift: hstu, peer, hstu, next peer, and so on.  hstu's turn is one epoch of `hstu
train` in a process of its own, and its figure the tokens_per_second that it prints (positions with a target, of the
steps alone).  A peer's turn is a few whole steps (batch, forward, loss, backward, AdamW; 128 users or windows) in a
process that lives through all rounds, sleeps between turns and has made one step before the first.  All use 2
threads.  A ratio is that of two neighbouring turns; the table has the medians over the rounds.

Peers of meta-ml-1m and meta-ml-1m-large (peers/meta_torch.py says more; checked against the golden cases first):
Meta's layer and loss written in plain PyTorch; the same tuned; the same with anomaly detection, as Meta's train.py
runs it; with --meta the layer of a checkout.  Peers of rechub-0.9 (peers/rechub_torch.py): torch-rechub's own model
and trainer, fed one pass per user, and as shipped, one window per event; its unit is windows, each of which brings
one new target.  build-peers/ gets an environment with PyTorch (1.7 GB) unless --python names one.

The machine must have nothing else to do: a busy core slows PyTorch's threads, which wait for each other, more than
hstu.  The load average is kept for every round, and a warning printed if it was too high.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
sys.path.insert(0, str(PEERS))
import data  # noqa: E402
import environment  # noqa: E402

THREADS = 2  # of both sides; the peers' is in their scripts
# preset -> peers: name, script with its options, steps a turn
META = [("plain PyTorch", ["meta_torch.py"], 2), ("tuned PyTorch", ["meta_torch.py", "--tuned"], 4),
        ("with anomaly detection", ["meta_torch.py", "--anomaly"], 1)]
COMPARISONS = {
    "meta-ml-1m": META,
    "meta-ml-1m-large": [(name, command + ["--large"], steps // 2 or 1) for name, command, steps in META],
    "rechub-0.9": [("torch-rechub 0.9.0, one pass per user", ["rechub_torch.py"], 1),
                   ("torch-rechub 0.9.0 as shipped", ["rechub_torch.py", "--as-shipped"], 2)],
}


class Peer:
    """A process of bench/peers that makes steps when it is told to."""

    def __init__(self, python, name, command, steps, ratings):
        self.name, self.steps = name, steps
        script, *options = command
        self.process = subprocess.Popen([str(python), str(PEERS / script), "--data", str(ratings), "--turns", *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: ended with code {self.process.wait()}")
        return json.loads(line)

    def turn(self):
        print(self.steps, file=self.process.stdin, flush=True)
        return self.answer()["per_second"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Hstu:
    """The program, with the data that it has prepared from the ratings, in the order of their file."""

    def __init__(self, program, ratings, folder):
        self.program, self.folder, self.runs = program, pathlib.Path(folder), 0
        self.call("prepare", "--ratings", ratings, "--ties", "file", "--out", self.folder / "prepared")

    def call(self, *arguments):
        try:
            done = subprocess.run([str(self.program), *map(str, arguments)], capture_output=True, text=True)
        except OSError as error:
            sys.exit(f"{self.program}: {error.strerror}")
        if done.returncode:
            sys.exit(f"{self.program} {arguments[0]} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def turn(self, preset, epochs):
        self.runs += 1
        printed = self.call("train", "--data", self.folder / "prepared", "--preset", preset, "--epochs", epochs,
                            "--threads", THREADS, "--json", "--out", self.folder / f"run{self.runs}")
        return json.loads(printed)["tokens_per_second"]


def compare(hstu, preset, peers, rounds, epochs, loads):
    """One row per peer: all figures, the ratios of neighbours, and the medians."""
    figures = {peer.name: {"ours": [], "theirs": []} for peer in peers}
    for number in range(rounds):
        for peer in peers:
            ours, theirs = hstu.turn(preset, epochs), peer.turn()
            figures[peer.name]["ours"].append(ours)
            figures[peer.name]["theirs"].append(theirs)
            print(f"{preset}, round {number + 1} of {rounds}, {peer.name}: {ours:,.0f} to {theirs:,.1f}",
                  file=sys.stderr)
        loads.append(os.getloadavg()[0])
    rows = []
    for peer in peers:
        ours, theirs = figures[peer.name]["ours"], figures[peer.name]["theirs"]
        ratios = [a / b for a, b in zip(ours, theirs)]
        rows.append({"preset": preset, "peer": peer.name, "about": peer.about, "steps_per_turn": peer.steps,
                     "ours": ours, "theirs": theirs, "ratios": ratios, "ours_median": statistics.median(ours),
                     "theirs_median": statistics.median(theirs), "ratio_median": statistics.median(ratios)})
    return rows


def table(rows):
    lines = ["| preset | peer | hstu /s | peer /s | ratio | lowest, highest |",
             "| --- | --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        theirs = f"{row['theirs_median']:,.{0 if row['theirs_median'] >= 100 else 1}f}"
        lines.append(f"| {row['preset']} | {row['peer']} | {row['ours_median']:,.0f} | {theirs} | "
                     f"**{row['ratio_median']:,.1f}** | {min(row['ratios']):,.1f}, {max(row['ratios']):,.1f} |")
    return "\n".join(lines)


def cpu_model():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hstu", type=pathlib.Path, default=ROOT / "build" / "bin" / "hstu",
                        help="the program (default: build/bin/hstu)")
    parser.add_argument("--data", type=pathlib.Path, default=data.default_file(),
                        help="ratings of ML-1M (default: what scripts/fetch_movielens.sh ml-1m fetched)")
    parser.add_argument("--only", choices=COMPARISONS, help="one preset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1, help="of hstu's turn")
    parser.add_argument("--quick", action="store_true", help="one round of one step: does it run?")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--meta", type=pathlib.Path, metavar="PATH",
                        help="checkout of generative-recommenders, whose layer then is a peer too")
    parser.add_argument("--python", type=pathlib.Path,
                        help="interpreter that has torch, torch-rechub 0.9.0 and safetensors, instead of build-peers/")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    if rounds < 1 or options.epochs < 1:
        parser.error("--rounds and --epochs must be at least 1")
    if not options.data.is_file():
        parser.error(f"{options.data}: no such file; scripts/fetch_movielens.sh ml-1m fetches ML-1M")
    if not options.hstu.is_file():
        parser.error(f"{options.hstu}: no such program; build it or name it with --hstu")
    python = options.python or environment.torch_python()

    machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0], "loads": []}
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']:.1f}", file=sys.stderr)
    checkout = ["--meta", str(options.meta.resolve())] if options.meta else []
    for variant in [[], ["--tuned"]] + ([checkout] if checkout else []):
        environment.run(python, PEERS / "meta_torch.py", "--check", ROOT / "tests" / "golden", *variant)

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        hstu = Hstu(options.hstu.resolve(), options.data, folder)
        for preset in [options.only] if options.only else COMPARISONS:
            chosen = list(COMPARISONS[preset])
            if checkout and preset.startswith("meta"):
                _, command, steps = chosen[0]
                chosen.append(("generative-recommenders' own layer", [*command, *checkout], steps))
            peers = []
            try:
                for name, command, steps in chosen:
                    peers.append(Peer(python, name, command, 1 if options.quick else steps, options.data))
                rows += compare(hstu, preset, peers, rounds, options.epochs, machine["loads"])
            finally:
                for peer in peers:
                    peer.end()
    about = rows[0]["about"]
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']:.1f} before; "
          f"torch {about['torch']} ({about['cpu_capability']}); 2 threads each; "
          f"medians of {rounds}; positions (as shipped: windows) per second\n")
    print(table(rows))
    if machine["load_before"] > 0.5 or max(machine["loads"]) > THREADS + 0.7:
        print(f"\nOther programs may have been running (load up to {max(machine['loads']):.1f}): not to be quoted.")
    if options.json:
        everything = {"machine": machine, "rounds": rounds, "epochs": options.epochs, "comparisons": rows}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


main()
