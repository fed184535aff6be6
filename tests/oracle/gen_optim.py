#!/usr/bin/env python3
"""Ten steps of each optimizer from given parameters and gradients, in binary64: torch.optim's AdamW, SGD, Adafactor and
Muon (its Newton-Schulz in binary64 instead of bfloat16, by editing that one word of its source), and Lion in numpy
after the paper's Algorithm 2. Weight decay is decoupled everywhere: torch's SGD has none of that kind, so the
parameters are multiplied by 1 - lr * wd in front of its step. Vectors do not decay: they are a group of their own.
usage: gen_optim.py > optim.json          needs torch >= 2.9"""
import inspect
import json

import numpy as np
import torch
import torch.optim._muon as muon

source = inspect.getsource(muon._zeropower_via_newtonschulz)
assert source.count("torch.bfloat16") == 1
exec(source.replace("torch.bfloat16", "torch.float64"), muon.__dict__)

STEPS, LR, WD, MU, B1, B2, LION_B2, EPS = 10, 0.02, 0.1, 0.95, 0.9, 0.999, 0.99, 1e-8
SHAPES = [("matrix", 6, 10), ("matrix", 12, 5), ("vector", 1, 7), ("embed", 9, 4), ("matrix", 3, 3)]
rng = np.random.default_rng(20240611)


def draw(scale, rows, cols):
    return (rng.standard_normal((rows, cols)) * scale).astype(np.float32).astype(np.float64)


start = [draw(0.3, r, c) for _, r, c in SHAPES]
start[1][:] = 0                                             # as a LoRA adapter's B begins
grads = [[draw(0.1 * (1 + i), r, c) for i, (_, r, c) in enumerate(SHAPES)] for _ in range(STEPS)]
grads[0][0][:] = 0                                          # and as its A's first gradient is


def lr_at(step):
    return LR * (1 - step / (2 * STEPS))


def flat(tensors):
    return [float(x) for t in tensors for x in np.asarray(t).reshape(-1)]


def with_torch(make, before=None):
    ps = [torch.tensor(s[0] if k == "vector" else s, dtype=torch.float64, requires_grad=True)
          for (k, _, _), s in zip(SHAPES, start)]
    opts = make(ps)
    for step in range(STEPS):
        for p, g in zip(ps, grads[step]):
            p.grad = torch.tensor(g.reshape(p.shape), dtype=torch.float64)
        for o in opts:
            for group in o.param_groups:
                group["lr"] = lr_at(step)
        if before:
            with torch.no_grad():
                for p in ps:
                    before(p, lr_at(step))
        for o in opts:
            o.step()
    return flat(p.detach().numpy() for p in ps)


def decay(p, lr):
    if p.dim() > 1:
        p.mul_(1 - lr * WD)


def groups(ps):
    return [{"params": [p for p in ps if p.dim() > 1], "weight_decay": WD},
            {"params": [p for p in ps if p.dim() < 2], "weight_decay": 0.0}]


def make_muon(ps):
    mats = [p for p, (k, _, _) in zip(ps, SHAPES) if k == "matrix"]
    rest = [p for p, (k, _, _) in zip(ps, SHAPES) if k != "matrix"]
    return [torch.optim.Muon(mats, lr=LR, weight_decay=WD, momentum=MU, nesterov=True, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(groups(rest), lr=LR, betas=(B1, B2), eps=EPS)]


def lion():
    ps, ms = [s.copy() for s in start], [np.zeros_like(s) for s in start]
    for step in range(STEPS):
        for p, m, g, (kind, _, _) in zip(ps, ms, grads[step], SHAPES):
            c = B1 * m + (1 - B1) * g
            p -= lr_at(step) * (np.sign(c) + (WD if kind != "vector" else 0) * p)
            m[:] = LION_B2 * m + (1 - LION_B2) * g
    return flat(ps)


out = {
    "torch": torch.__version__.split("+")[0], "steps": STEPS, "lr": [lr_at(s) for s in range(STEPS)], "weight_decay": WD,
    "momentum": MU, "beta1": B1, "beta2": B2, "lion_beta2": LION_B2, "eps": EPS,
    "tensors": [{"kind": k, "rows": r, "cols": c} for k, r, c in SHAPES],
    "start": flat(start), "grads": [flat(g) for g in grads],
    "adamw": with_torch(lambda ps: [torch.optim.AdamW(groups(ps), lr=LR, betas=(B1, B2), eps=EPS)]),
    "sgd": with_torch(lambda ps: [torch.optim.SGD(ps, lr=LR, momentum=MU)], decay),
    "sgd_plain": with_torch(lambda ps: [torch.optim.SGD(groups(ps), lr=LR)]),
    "lion": lion(),
    "adafactor": with_torch(lambda ps: [torch.optim.Adafactor(groups(ps), lr=LR, eps=(2.0 ** -23, 1e-3))]),
    "muon": with_torch(make_muon),
}
print(json.dumps(out))
