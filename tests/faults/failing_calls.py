#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails, interrupts or kills every system call of a checkpoint save, one at a time, and fills the disk at every size.

    tests/faults/failing_calls.py CHECKPOINT_TOOL      (needs strace, exit status 77 without; root for the small tmpfs)

After each fault the folder must hold the old or the new checkpoint, whole; after an error it must hold no other file
(a killed process may leave some, which the next save must remove); the error must name a path, a call and a reason.
The n-th call is failed, or the n-th write cut short, for n = 1, 2, .. until n is beyond the last call.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

CALLS = {
    "openat": ["ENOSPC", "EIO", "EACCES", "EMFILE"], "write": ["ENOSPC", "EIO", "EDQUOT"], "fsync": ["EIO", "ENOSPC"],
    "rename": ["EIO", "ENOSPC"], "close": ["EIO"], "mkdir": ["ENOSPC"], "unlink": ["EIO"], "unlinkat": ["EIO"],
    "newfstatat": ["EIO"], "lstat": ["EIO"], "read": ["EIO"], "access": ["EIO"], "getdents64": ["EIO"],
}


class Sweep:
    def __init__(self, program, folder):
        self.run, self.trace, self.program = folder / "run", folder / "trace", pathlib.Path(program).resolve()
        self.failures = []

    def save(self, step, wrapper=()):
        command = [*wrapper, str(self.program), "save", str(self.run), str(step)]
        return subprocess.run(command, capture_output=True, text=True)

    def check(self, fault, result, killed):
        """Compares the folder with what `fault` may leave, then repairs it by an undisturbed save."""
        found = subprocess.run([self.program, "load", self.run], capture_output=True, text=True)
        files = sorted(os.listdir(self.run))
        if found.stdout.strip() not in ("1", "2"):
            self.failures.append(f"{fault}: no whole checkpoint: {found.stdout}{found.stderr}")
        elif result.returncode == 0 and found.stdout.strip() != "2":
            self.failures.append(f"{fault}: success reported, but the old checkpoint is there")
        elif not killed and result.returncode == 4 and result.stderr.count(": ") < 2:
            self.failures.append(f"{fault}: unclear message: {result.stderr}")
        elif not killed and result.returncode not in (0, 4):
            self.failures.append(f"{fault}: exit status {result.returncode}: {result.stderr}")
        elif "EINTR" in fault and result.returncode != 0:
            self.failures.append(f"{fault}: not repeated: {result.stderr}")
        can_clean = not killed and "unlink" not in fault and "getdents" not in fault
        if can_clean and any(file.endswith("tmp") for file in files):
            self.failures.append(f"{fault}: left {files}")
        self.save(1)
        if len(os.listdir(self.run)) != 2:
            self.failures.append(f"{fault}: the next save left {sorted(os.listdir(self.run))}")

    def inject(self, call, action):
        """Sweeps n; returns the number of points."""
        n = 1
        while True:
            wrapper = ["strace", "-f", "-o", str(self.trace), "-e", f"trace={call}",
                       "-e", f"inject={call}:{action}:when={n}"]
            result = self.save(2, wrapper)
            trace = self.trace.read_text()
            if "INJECTED" not in trace and "killed by SIGKILL" not in trace:
                self.save(1)
                return n - 1
            self.check(f"{call} {action} n={n}", result, "KILL" in action)
            n += 1

    def cut_writes(self):
        n, count = 1, 1
        while n <= count:
            result = subprocess.run([self.program, "short-save", self.run, "2", str(n)], capture_output=True, text=True)
            if result.returncode != 0:
                self.failures.append(f"write {n} cut short: not gone on with: {result.stderr}")
                break
            count = int(result.stdout)
            self.check(f"write {n} cut short", result, killed=False)
            n += 1
        return count

    def fill_disk(self):
        points = 0
        subprocess.run(["umount", self.run], capture_output=True)
        for kib in range(40, 168, 2):  # one checkpoint takes 40 KiB; two, with both temporary files, fit in 164
            shutil.rmtree(self.run, ignore_errors=True)
            self.run.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", self.run], check=True)
            try:
                if self.save(1).returncode == 0:
                    for _ in range(3):
                        result = self.save(2)
                        found = subprocess.run([self.program, "load", self.run], capture_output=True, text=True)
                        if found.stdout.strip() != ("2" if result.returncode == 0 else "1"):
                            self.failures.append(f"{kib} KiB: {result.stderr} {found.stdout}{found.stderr}")
                        if len(os.listdir(self.run)) != 2:
                            self.failures.append(f"{kib} KiB: left {sorted(os.listdir(self.run))}")
                    points += 1
                elif os.listdir(self.run):
                    self.failures.append(f"{kib} KiB: first save left {sorted(os.listdir(self.run))}")
            finally:
                subprocess.run(["umount", self.run], check=True)
        return points


def main():
    if not shutil.which("strace"):
        print("skipped: no strace")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        sweep = Sweep(sys.argv[1], pathlib.Path(name))
        errors = interrupts = kills = 0
        sweep.save(1)
        for call, codes in CALLS.items():
            for code in codes:
                errors += sweep.inject(call, f"error={code}")
        for call in ("openat", "write", "read", "fsync"):
            interrupts += sweep.inject(call, "error=EINTR")
        for call in ("openat", "write", "fsync", "rename", "close", "unlink"):
            kills += sweep.inject(call, "signal=KILL")
        short = sweep.cut_writes()
        sizes = sweep.fill_disk() if os.geteuid() == 0 else 0
        print(f"figure: {errors} system calls of a save failed, the old or the new checkpoint whole")
        print(f"figure: {interrupts + short} system calls of a save interrupted or cut short, the new checkpoint whole")
        print(f"figure: {kills} system calls at which a save was killed, a whole checkpoint after each")
        print(f"figure: {sizes} disk sizes too small for a save, or just not, a whole checkpoint in each")
        print("\n".join(sweep.failures))
        sys.exit(1 if sweep.failures else 0)


if __name__ == "__main__":
    main()
