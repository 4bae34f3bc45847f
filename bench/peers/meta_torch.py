# SPDX-License-Identifier: MIT
"""Meta's research HSTU on the CPU in plain PyTorch: layer, model, sampled softmax and AdamW of its ML-1M recipe.

    meta_torch.py --data FILE [--large] [--tuned] [--steps N]    positions with a target per second
    meta_torch.py --data FILE [--large] [--tuned] --turns        waits for turns (data.py, take_turns)
    meta_torch.py --check tests/golden [--tuned]                 error against the golden cases

A step is batch, forward, loss, backward and AdamW on 128 users of ML-1M, in float32 on 2 threads.  As in Meta's code
the tokens are jagged for the projections and padded to 211 for the attention; scores, time buckets and bias are [B,
(H,) N, N] tensors, the buckets found anew in every layer; every position has 128 negatives of its own, whose rows
are gathered and then normalised.  --meta PATH takes layer and bias from a checkout of generative-recommenders (with
fbgemm's operators).

--tuned computes the same with less work, as a PyTorch user may find with a profiler: buckets once a batch, the item
table normalised once a step, the scores of all items by one product from which those of the negatives are picked,
and freed memory kept instead of given back to the system.

--anomaly switches autograd's anomaly detection on, as Meta's train.py does: every gradient is searched for NaN.
"""
import argparse
import ctypes
import pathlib
import sys
import types
import warnings

import torch
import torch.nn.functional as F

import data
import golden

N = data.HISTORY + 11  # history, the event to predict, and the 10 places that Meta adds
NEGATIVES, TEMPERATURE, DROPOUT, EPS = 128, 0.05, 0.2, 1e-6


def unit(x):
    return x / torch.linalg.norm(x, dim=-1, keepdim=True).clamp(min=EPS)


def time_buckets(times):
    """[B, N] seconds -> [B, N, N]: bucket of (time of the event after i) - (time of event j)."""
    following = torch.cat([times[:, 1:], times[:, -1:]], dim=1)
    distance = (following.unsqueeze(2) - times.unsqueeze(1)).abs().clamp(min=1)
    return (distance.log() / 0.301).long().clamp(0, 128)


class Batch:
    """Jagged tokens [T] of users of up to n events, and where they stand in a padded [B, n]."""

    def __init__(self, items, targets, lengths, times, dtype=torch.float32):
        n = times.shape[1]
        self.items, self.targets, self.times = items, targets, times
        self.offsets = F.pad(lengths.cumsum(0), (1, 0))
        self.places = torch.cat([torch.arange(length) for length in lengths.tolist()])
        self.rows = self.places + torch.arange(len(lengths)).repeat_interleave(lengths) * n
        self.causal = torch.ones(n, n, dtype=dtype).tril()
        self.buckets = None  # time_buckets(times) if the layers share them

    @classmethod
    def of_passes(cls, passes):
        times = torch.zeros(len(passes), N, dtype=torch.int64)
        for row, (_, when) in enumerate(passes):
            times[row, :len(when)] = torch.tensor(when)
        return cls(torch.tensor([i for items, _ in passes for i in items[:-1]]),
                   torch.tensor([i for items, _ in passes for i in items[1:]]),
                   torch.tensor([len(items) - 1 for items, _ in passes]), times)

    def pad(self, x):
        b, n = self.times.shape
        return x.new_zeros(b * n, x.shape[1]).index_copy(0, self.rows, x).view(b, n, -1)

    def unpad(self, x):
        return x.flatten(0, 1).index_select(0, self.rows)


class Bias(torch.nn.Module):
    """One position table of 2n - 1 and one time table of 129, shared by the heads."""

    def __init__(self, n):
        super().__init__()
        self._ts_w = torch.nn.Parameter(0.02 * torch.randn(129))
        self._pos_w = torch.nn.Parameter(0.02 * torch.randn(2 * n - 1))
        place = torch.arange(n)
        self.register_buffer("distance", n - 1 + place[None, :] - place[:, None], persistent=False)

    def forward(self, batch):
        buckets = time_buckets(batch.times) if batch.buckets is None else batch.buckets
        return self._pos_w[self.distance] + self._ts_w.index_select(0, buckets.view(-1)).view_as(buckets)


class Layer(torch.nn.Module):
    def __init__(self, d, heads, dqk, dv, n, dropout, concat_ua=False):
        super().__init__()
        self.heads, self.dqk, self.dv, self.dropout, self.concat_ua = heads, dqk, dv, dropout, concat_ua
        self._uvqk = torch.nn.Parameter(0.02 * torch.randn(d, 2 * heads * (dv + dqk)))
        self._o = torch.nn.Linear(heads * dv * (3 if concat_ua else 1), d)
        torch.nn.init.xavier_uniform_(self._o.weight)
        self._rel_attn_bias = Bias(n)

    def forward(self, x, batch):
        b, n = batch.times.shape
        v_width, qk_width = self.heads * self.dv, self.heads * self.dqk
        mixed = F.silu(F.layer_norm(x, x.shape[-1:], eps=EPS) @ self._uvqk)
        u, v, q, k = mixed.split([v_width, v_width, qk_width, qk_width], dim=1)
        q = batch.pad(q).view(b, n, self.heads, self.dqk)
        k = batch.pad(k).view(b, n, self.heads, self.dqk)
        v = batch.pad(v).view(b, n, self.heads, self.dv)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) + self._rel_attn_bias(batch).unsqueeze(1)
        weights = F.silu(scores) / n * batch.causal
        attended = batch.unpad(torch.einsum("bhij,bjhd->bihd", weights, v).reshape(b, n, v_width))
        a = F.layer_norm(attended, attended.shape[-1:], eps=EPS)
        gated = torch.cat([u, a, u * a], dim=1) if self.concat_ua else u * a
        return self._o(F.dropout(gated, self.dropout, self.training)) + x


class CheckoutLayer(torch.nn.Module):
    """Adapter of the layer in a checkout of generative-recommenders."""

    def __init__(self, d, heads, dqk, dv, n, dropout, concat_ua=False):
        super().__init__()
        from generative_recommenders.research.modeling.sequential import hstu
        bias = hstu.RelativeBucketedTimeAndPositionBasedBias(
            n, 128, lambda x: (x.abs().clamp(min=1).log() / 0.301).long())
        self.layer = hstu.SequentialTransductionUnitJagged(d, dv, dqk, dropout, 0.0, heads, "silu", bias,
                                                           concat_ua=concat_ua)

    def forward(self, x, batch):
        return self.layer(x, batch.offsets, batch.times, batch.causal)[0]


class Model(torch.nn.Module):
    def __init__(self, items, d=50, blocks=2, heads=1, dqk=50, dv=50, n=N, dropout=DROPOUT, concat_ua=False,
                 layer=Layer, tuned=False):
        super().__init__()
        self.d, self.dropout, self.tuned = d, dropout, tuned
        self.item = torch.nn.Embedding(items + 1, d, padding_idx=0)
        torch.nn.init.trunc_normal_(self.item.weight, std=0.02, a=-0.04, b=0.04)
        self.position = torch.nn.Embedding(n, d)
        torch.nn.init.xavier_normal_(self.position.weight)
        self.layers = torch.nn.ModuleList(layer(d, heads, dqk, dv, n, dropout, concat_ua) for _ in range(blocks))

    def forward(self, batch):
        if self.tuned:
            batch.buckets = time_buckets(batch.times)
        x = self.item(batch.items) * self.d ** 0.5 + self.position(batch.places)
        x = F.dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, batch)
        return unit(x)

    def loss(self, batch, negatives, temperature=TEMPERATURE):
        """Sampled softmax; a negative that is the target counts as absent."""
        h = self(batch)
        if self.tuned:
            scores = h @ unit(self.item.weight).T
            positive, negative = scores.gather(1, batch.targets.unsqueeze(1)), scores.gather(1, negatives)
        else:
            positive = (h * unit(self.item(batch.targets))).sum(1, keepdim=True)
            negative = torch.einsum("td,trd->tr", h, unit(self.item(negatives)))
        negative = (negative / temperature).masked_fill(negatives == batch.targets.unsqueeze(1), -5e4)
        return -F.log_softmax(torch.cat([positive / temperature, negative], dim=1), dim=1)[:, 0].mean()


def use_checkout(path):
    """Makes the checkout's research code importable: fbgemm's operators, and an empty gin, which only decorates it."""
    if not (pathlib.Path(path) / "generative_recommenders" / "research").is_dir():
        sys.exit(f"{path}: not a checkout of generative-recommenders")
    import fbgemm_gpu  # noqa: F401, registers torch.ops.fbgemm
    gin = types.ModuleType("gin")
    gin.configurable = lambda *a, **k: a[0] if len(a) == 1 and callable(a[0]) and not k else (lambda f: f)
    sys.modules.setdefault("gin", gin)
    sys.path.insert(0, str(path))
    return CheckoutLayer


def keep_freed_memory():
    """glibc gives blocks of tens of megabytes back to the system when they are freed; here it keeps them."""
    if sys.platform == "linux":
        trim_threshold, mmap_max = -1, -4
        ctypes.CDLL(None).mallopt(mmap_max, 0)
        ctypes.CDLL(None).mallopt(trim_threshold, -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FILE", help="ratings of ML-1M: RecBole .inter or ratings.dat")
    parser.add_argument("--large", action="store_true", help="8 blocks, 2 heads of 25; else 2 blocks, 1 head of 50")
    parser.add_argument("--tuned", action="store_true", help="the same with less work, see above")
    parser.add_argument("--anomaly", action="store_true", help="with anomaly detection, as Meta's train.py")
    parser.add_argument("--steps", type=int, default=3, help="steps to time, after one that is not")
    parser.add_argument("--turns", action="store_true", help="read the number of steps from standard input, many times")
    parser.add_argument("--meta", metavar="PATH", help="checkout of generative-recommenders whose layer is used")
    parser.add_argument("--check", metavar="DIR", help="compare with the golden cases in DIR")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    layer = use_checkout(options.meta) if options.meta else Layer
    if options.check:  # fbgemm has no float64 on the CPU
        dtype, limit = (torch.float32, 1e-4) if options.meta else (torch.float64, 1e-9)
        return golden.check(options.check, lambda **sizes: Model(layer=layer, tuned=options.tuned, **sizes), Batch,
                            dtype, limit)
    if not options.data:
        parser.error("--data or --check is needed")

    if options.tuned:
        keep_freed_memory()
    if options.anomaly:
        warnings.simplefilter("ignore")  # that it is on
        torch.autograd.set_detect_anomaly(True)
    users, items = data.read_users(options.data)
    passes = data.batches(data.training_passes(users))
    sizes = {"blocks": 8, "heads": 2, "dqk": 25, "dv": 25} if options.large else {}
    model = Model(items, layer=layer, tuned=options.tuned, **sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)

    def step():
        batch = Batch.of_passes(next(passes))
        optimizer.zero_grad()
        loss = model.loss(batch, torch.randint(1, items + 1, (len(batch.items), NEGATIVES)))
        loss.backward()
        optimizer.step()
        return len(batch.items)

    step()
    data.take_turns({"torch": torch.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability(),
                     "threads": torch.get_num_threads(), "parameters": sum(p.numel() for p in model.parameters())},
                    step, None if options.turns else options.steps)


main()
