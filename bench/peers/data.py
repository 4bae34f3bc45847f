# SPDX-License-Identifier: MIT
"""What all peers share: ML-1M as training sequences, and the loop in which a peer waits for turns."""
import json
import pathlib
import random
import sys
import time

BATCH, HISTORY = 128, 200
ML_1M = pathlib.Path(__file__).resolve().parents[2] / "data" / "ml-1m"


def default_file():
    """The ratings that scripts/fetch_movielens.sh ml-1m has fetched, in either form."""
    dat = ML_1M / "ratings.dat"
    return dat if dat.is_file() else ML_1M / "ml-1m.inter"


def read_ratings(path):
    """The (user, item, rating, timestamp) of a RecBole .inter file or of MovieLens' ratings.dat, as text, in order."""
    path = pathlib.Path(path)
    if not path.is_file():
        sys.exit(f"{path}: no such file; scripts/fetch_movielens.sh ml-1m fetches ML-1M")
    with path.open(encoding="utf-8") as file:
        if path.suffix == ".dat":
            yield from (line.rstrip("\n").split("::") for line in file)
            return
        names = [column.split(":")[0] for column in file.readline().rstrip("\n").split("\t")]
        wanted = ("user_id", "item_id", "rating", "timestamp")
        if not set(wanted) <= set(names):
            sys.exit(f"{path}: expected a RecBole .inter file with the columns {', '.join(wanted)}")
        user, item, rating, when = map(names.index, wanted)
        for line in file:
            cells = line.rstrip("\n").split("\t")
            yield cells[user], cells[item], cells[rating], cells[when]


def read_users(path):
    """-> (per user the items and the times in order of time, number of items).

    Ids are given by first appearance, from 1; events of equal time stay in the order of the file."""
    users, items = {}, {}
    for user, item, _, when in read_ratings(path):
        users.setdefault(user, []).append((int(float(when)), items.setdefault(item, len(items) + 1)))
    sequences = []
    for events in users.values():
        events.sort(key=lambda event: event[0])
        sequences.append(([item for _, item in events], [when for when, _ in events]))
    return sequences, len(items)


def training_passes(sequences):
    """Per user the last up to 200 events that have a next one, and that next one, without the test event: position t
    of (items, times) predicts entry t + 1."""
    passes = []
    for items, times in sequences:
        items, times = items[:-1][-HISTORY - 1:], times[:-1][-HISTORY - 1:]
        if len(items) > 1:
            passes.append((items, times))
    return passes


def batches(samples, size=BATCH, seed=0):
    """Without end: epochs of shuffled batches, the smaller last batch of an epoch left out."""
    order = random.Random(seed)
    while True:
        shuffled = order.sample(samples, len(samples))
        for start in range(0, len(shuffled) - size + 1, size):
            yield shuffled[start:start + size]


def take_turns(about, step, steps=None):
    """Prints `about` as one JSON line.  Then, for `steps` or else for every line N of standard input: N times step(),
    which returns the number of its targets, and count, seconds and targets per second as one JSON line.  Between turns
    the process sleeps."""
    print(json.dumps(about), flush=True)
    for turn in sys.stdin if steps is None else [steps]:
        began = time.perf_counter()
        count = sum(step() for _ in range(int(turn)))
        seconds = time.perf_counter() - began
        print(json.dumps({"count": count, "seconds": seconds, "per_second": count / seconds}), flush=True)
