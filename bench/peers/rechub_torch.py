# SPDX-License-Identifier: MIT
"""torch-rechub 0.9.0's HSTU on the CPU: its model, loss and trainer, fed with ML-1M in two ways.

    rechub_torch.py --data FILE [--steps N | --turns]                 positions per second
    rechub_torch.py --data FILE --as-shipped [--steps N | --turns]    windows per second

The default is one pass per user: a batch of 128 users, their last 200 events before the test event, every position
trained.  --as-shipped is what its data script makes: every prefix of a user is a sample of its own, left-padded to
200, 128 windows a batch; its trainer puts the loss on every real position of the window, though only the last one is
new.

Model as in the preset rechub-0.9: D 50, 1 head, 2 layers, L 200, dropout .2, log buckets of seconds / .301, tied
items, L2 scores / .05, softmax over all items, AdamW 1e-3, betas .9 and .98.  SeqTrainer.train_one_epoch does the
steps.
"""
import argparse
import contextlib
import os
import sys

import data

try:
    import torch
    from torch_rechub.models.generative.hstu import HSTUModel
    from torch_rechub.trainers.seq_trainer import SeqTrainer
except ImportError as error:
    sys.exit(f"torch-rechub 0.9.0 is needed: {error}")


def pad_batch(samples):
    """[(items, times)], the last entry the target -> tokens, positions, seconds until the last token's event, targets:
    padded on the left, as torch-rechub's data loader gives them."""
    tokens = torch.zeros(len(samples), data.HISTORY, dtype=torch.int64)
    ages = torch.zeros_like(tokens)
    for row, (items, times) in enumerate(samples):
        when = torch.tensor(times[:-1])
        tokens[row, -len(when):] = torch.tensor(items[:-1])
        ages[row, -len(when):] = when[-1] - when
    return tokens, torch.arange(data.HISTORY).expand_as(tokens), ages, torch.tensor([items[-1] for items, _ in samples])


def windows(sequences):
    """Every prefix of a user's training events, with its next event, as (user, its end)."""
    return [(items, times, end) for items, times in sequences for end in range(2, len(items))]


def cut(window):
    items, times, end = window
    begin = max(0, end - data.HISTORY - 1)
    return items[begin:end], times[begin:end]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FILE", required=True, help="ratings of ML-1M: RecBole .inter or ratings.dat")
    parser.add_argument("--as-shipped", action="store_true", help="windows instead of one pass per user")
    parser.add_argument("--steps", type=int, default=3, help="steps to time, after one that is not")
    parser.add_argument("--turns", action="store_true", help="read the number of steps from standard input, many times")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)

    users, items = data.read_users(options.data)
    samples = data.batches(windows(users) if options.as_shipped else data.training_passes(users))
    model = HSTUModel(vocab_size=items + 1, d_model=50, n_heads=1, n_layers=2, dqk=50, dv=50, max_seq_len=data.HISTORY,
                      dropout=0.2, use_time_embedding=False, num_time_buckets=128, time_bucket_fn="log",
                      time_bucket_divisor=0.301, time_bucket_unit="seconds", score_norm="l2", temperature=0.05,
                      use_output_bias=False, scale_input_embedding=True, tie_embeddings=True)
    trainer = SeqTrainer(model, optimizer_fn=torch.optim.AdamW, device="cpu",
                         optimizer_params={"lr": 1e-3, "betas": (0.9, 0.98), "weight_decay": 0.0})

    def step():
        batch = next(samples)
        padded = pad_batch([cut(window) for window in batch] if options.as_shipped else batch)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # its progress bar
            trainer.train_one_epoch([padded])
        return len(batch) if options.as_shipped else int(padded[0].ne(0).sum())

    step()
    data.take_turns({"torch": torch.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability(),
                     "threads": torch.get_num_threads(), "parameters": sum(p.numel() for p in model.parameters())},
                    step, None if options.turns else options.steps)


main()
