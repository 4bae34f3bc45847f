#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loses the power at every moment of a checkpoint save, in every order that the file system may have chosen.

    tests/faults/power_loss.py CHECKPOINT_TOOL         (needs strace; exit status 77 without)

The system calls of one save are recorded. What fsync has not yet confirmed when the power goes may be on the disk or
not, each operation for itself: a written block whole, half, as zeros or not at all; a name made, renamed or removed or
not. A synced file is whole under whatever names its folder has; a synced folder has its names. Each folder that may
remain must hold the old checkpoint or the new one, whole; after the return of the save, the new one. The same orders
without the calls of fsync must break the rule, or this script would notice nothing.
"""
import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
WORD = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def decode(text):
    return bytes.fromhex(text.replace("\\x", ""))


def record(tool, run, step):
    """Operations on `run`: (create | write | sync_file | sync_folder | rename | unlink | mkdir, ...)."""
    trace = run.parent / "trace"
    subprocess.run(["strace", "-f", "-xx", "-s", "1000000", "-o", trace, "-e",
                    "trace=openat,write,fsync,rename,unlink,unlinkat,mkdir,close", tool, "save", run, str(step)], check=True)
    operations, names, folders, fresh = [], {}, set(), itertools.count()
    for line in trace.read_text().splitlines():
        match = CALL.match(line)
        if not match or int(match[3]) < 0:
            continue
        call, arguments, result = match[1], match[2], int(match[3])
        words = WORD.findall(arguments)
        assert not any(cut for _, cut in words), "strace has cut a text"
        paths = [pathlib.Path(decode(word).decode()) for word, _ in words] if call != "write" else []
        if call == "openat":
            names.pop(result, None)
            folders.discard(result)
            if "O_CREAT" in arguments and paths[0].parent == run:
                names[result] = f"new {next(fresh)}"
                operations.append(("create", paths[0].name, names[result]))
            elif "O_DIRECTORY" in arguments and paths[0] == run:
                folders.add(result)
        elif call == "write" and int(arguments.split(",")[0]) in names:
            operations.append(("write", names[int(arguments.split(",")[0])], decode(words[0][0])))
            assert len(operations[-1][2]) == result
        elif call == "fsync" and int(arguments) in names:
            operations.append(("sync_file", names[int(arguments)]))
        elif call == "fsync" and int(arguments) in folders:
            operations.append(("sync_folder",))
        elif call == "rename" and paths[0].parent == run:
            operations.append(("rename", paths[0].name, paths[1].name))
        elif call in ("unlink", "unlinkat") and paths[0].parent == run:
            operations.append(("unlink", paths[0].name))
    return operations


def outcomes(before, operations):
    """Every content {name: bytes} that the folder may have after a loss of power behind these operations."""
    last_sync = {}
    for index, operation in enumerate(operations):
        if operation[0] in ("sync_file", "sync_folder"):
            last_sync[operation[1:] or "folder"] = index
    choices = []
    for index, operation in enumerate(operations):
        if operation[0] == "write":
            is_safe = last_sync.get((operation[1],), -1) > index
            choices.append(["whole"] if is_safe else ["whole", "half", "zeros", "none"])
        elif operation[0] in ("create", "rename", "unlink"):
            choices.append([True] if last_sync.get("folder", -1) > index else [True, False])
        else:
            choices.append([True])
    for choice in itertools.product(*choices):
        files = {f"old {name}": content for name, content in before.items()}
        names = {name: f"old {name}" for name in before}
        inode_of = dict(names)  # as the process saw it
        for operation, chosen in zip(operations, choice):
            if operation[0] == "create":
                inode_of[operation[1]] = operation[2]
                files[operation[2]] = b""
                if chosen:
                    names[operation[1]] = operation[2]
            elif operation[0] == "write":
                content = operation[2]
                files[operation[1]] += {"whole": content, "half": content[:len(content) // 2],
                                        "zeros": bytes(len(content)), "none": b""}[chosen]
            elif operation[0] == "rename":
                inode_of[operation[2]] = inode_of.pop(operation[1])
                if chosen:
                    names.pop(operation[1], None)
                    names[operation[2]] = inode_of[operation[2]]
            elif operation[0] == "unlink":
                inode_of.pop(operation[1], None)
                if chosen:
                    names.pop(operation[1], None)
        yield {name: files[inode] for name, inode in names.items()}


class Replay:
    def __init__(self, tool, folder):
        self.tool, self.run, self.seen = tool, folder / "run", {}

    def found(self, content):
        """Step of the checkpoint in a folder with this content; None if there is no whole one."""
        key = tuple(sorted(content.items()))
        if key not in self.seen:
            shutil.rmtree(self.run, ignore_errors=True)
            self.run.mkdir()
            for name, data in content.items():
                (self.run / name).write_bytes(data)
            loaded = subprocess.run([self.tool, "load", self.run], capture_output=True, text=True)
            assert loaded.returncode in (0, 4), loaded
            self.seen[key] = int(loaded.stdout) if loaded.returncode == 0 else None
        return self.seen[key]

    def check(self, before, operations, old, new):
        """(outcomes, those that break the rule) over all moments."""
        count, broken = 0, []
        for length in range(len(operations) + 1):
            allowed = (new,) if length == len(operations) else (old, new)
            for content in outcomes(before, operations[:length]):
                count += 1
                found = self.found(content)
                # None is right before the first save as long as no model.safetensors is there, damaged.
                if found not in allowed or (found is None and "model.safetensors" in content):
                    broken.append(f"after {length} operations: found {found}, names {sorted(content)}")
        return count, broken


def main():
    if not shutil.which("strace"):
        print("skipped: no strace")
        sys.exit(77)
    tool = pathlib.Path(sys.argv[1]).resolve()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "saved").mkdir()
        saved = folder / "saved" / "run"
        saved.mkdir()
        first = record(tool, saved, 1)
        before = {path.name: path.read_bytes() for path in saved.iterdir()}
        second = record(tool, saved, 2)
        replay = Replay(tool, folder)
        for title, content, operations, old, new in (("first save", {}, first, None, 1),
                                                     ("second save", before, second, 1, 2)):
            count, broken = replay.check(content, operations, old, new)
            failures += len(broken)
            print(f"figure: {count} orders after a loss of power in the {title}, a whole checkpoint in each")
            print("\n".join(broken[:10]), end="\n" if broken else "")
        for kind in ("sync_file", "sync_folder"):
            unsynced = [operation for operation in second if operation[0] != kind]
            count, broken = replay.check(before, unsynced, 1, 2)
            print(f"without {kind}, planted: {count} orders, {len(broken)} without a whole checkpoint")
            failures += not broken
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
