# SPDX-License-Identifier: MIT
"""Compares meta_torch.py's model with the golden cases meta_model_0 and _1, which Meta's own layer computed."""
import json
import pathlib
import sys

import torch


def check(folder, make_model, make_batch, dtype, limit):
    """Prints per case the largest difference in loss, embeddings and gradients, relative to the largest value of each
    tensor; ends with an error if one is above the limit."""
    try:
        from safetensors import safe_open
    except ImportError:
        sys.exit("the golden cases need safetensors: pip install safetensors")
    for path in (pathlib.Path(folder) / f"meta_model_{i}.safetensors" for i in (0, 1)):
        if not path.is_file():
            sys.exit(f"{path}: no such file")
        with safe_open(path, "pt") as file:
            c = json.loads(file.metadata()["config"])
            t = {name: file.get_tensor(name) for name in file.keys()}
        model = make_model(items=c["V"], d=c["D"], blocks=c["n_layers"], heads=c["H"], dqk=c["dqk"], dv=c["dv"],
                           n=c["N"], dropout=0.0, concat_ua=c["concat_ua"]).to(dtype)
        parameters = {name.replace(".layer.", "."): p for name, p in model.named_parameters()}
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(t["param." + name])

        lengths = t["in.offsets"].diff().long()
        ids, next_ids = (torch.cat([row[:n] for row, n in zip(t[name].long(), lengths)])
                         for name in ("in.ids", "in.next_ids"))
        batch = make_batch(ids, next_ids, lengths, t["in.timestamps"], dtype)
        loss = model.loss(batch, t["in.negative_ids"].long(), c["temperature"])
        loss.backward()

        def error(got, want):
            return ((got.detach() - want).abs().max() / want.abs().max()).item()
        errors = {"loss": error(loss, t["out.loss"]), "embeddings": error(model(batch), t["out.embeddings"]),
                  "gradients": max(error(p.grad, t["grad." + name]) for name, p in parameters.items())}
        print(json.dumps({"case": path.stem, **errors}))
        if not max(errors.values()) <= limit:
            sys.exit(f"{path}: the peer does not compute what the golden case says")
