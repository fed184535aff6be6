#!/usr/bin/env python3
"""Mean loss and greedy text of stories260k, computed in numpy in binary64, apart from any code of this project.

usage: gen_stories260k.py HF_FOLDER TINYSTORIES.txt > stories260k.json
Needs numpy and the PyPI package tokenizers. Stories are stripped; ids are BOS and the tokenizer's; every token
after BOS counts. The output holds numbers only: tokens and summed negative log likelihood of the first 40
stories, and the ids that greedy decoding gives for a prompt.
"""
import hashlib
import json
import os
import struct
import sys

import numpy as np
from tokenizers import Tokenizer


def load(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    out = {}
    for name, t in head.items():
        if name == "__metadata__":
            continue
        assert t["dtype"] == "F32"
        a, b = t["data_offsets"]
        out[name] = np.frombuffer(raw[8 + n + a:8 + n + b], "<f4").reshape(t["shape"]).astype(np.float64)
    return out


class Model:
    def __init__(self, folder):
        self.c = json.load(open(os.path.join(folder, "config.json")))
        self.w = load(os.path.join(folder, "model.safetensors"))

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.c["rms_norm_eps"]) * self.w[name]

    def logits(self, ids):
        c, w = self.c, self.w
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        d = c["hidden_size"] // heads
        t = len(ids)
        inv = c["rope_theta"] ** (-np.arange(0, d, 2) / d)
        ang = np.outer(np.arange(t), inv)
        cos, sin = np.cos(ang)[:, None], np.sin(ang)[:, None]

        def rope(x):
            a, b = x[..., :d // 2], x[..., d // 2:]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        x = w["model.embed_tokens.weight"][ids]
        mask = np.triu(np.full((t, t), -np.inf), 1)
        for i in range(c["num_hidden_layers"]):
            p = "model.layers.%d." % i
            h = self.norm(x, p + "input_layernorm.weight")
            q = rope((h @ w[p + "self_attn.q_proj.weight"].T).reshape(t, heads, d))
            k = rope((h @ w[p + "self_attn.k_proj.weight"].T).reshape(t, kv, d))
            v = (h @ w[p + "self_attn.v_proj.weight"].T).reshape(t, kv, d)
            k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
            s = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(d) + mask
            s = np.exp(s - s.max(-1, keepdims=True))
            o = np.einsum("hij,jhd->ihd", s / s.sum(-1, keepdims=True), v).reshape(t, -1)
            x = x + o @ w[p + "self_attn.o_proj.weight"].T
            h = self.norm(x, p + "post_attention_layernorm.weight")
            g = h @ w[p + "mlp.gate_proj.weight"].T
            x = x + (g / (1 + np.exp(-g)) * (h @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
        out = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return self.norm(x, "model.norm.weight") @ out.T


def main():
    folder, stories_path = sys.argv[1:3]
    m = Model(folder)
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    stories = open(stories_path, encoding="utf-8").read().split("<|endoftext|>")[:40]
    rows = []
    for s in stories:
        s = s.strip()
        ids = tok.encode(s).ids
        assert ids[0] == 1
        lo = m.logits(ids)[:-1]
        top = lo.max(-1)
        lse = top + np.log(np.exp(lo - top[:, None]).sum(-1))
        nll = (lse - lo[np.arange(len(ids) - 1), ids[1:]]).sum()
        rows.append({"sha256": hashlib.sha256(s.encode()).hexdigest(), "tokens": len(ids), "nll": nll})
    prompt = "Once upon a time"
    ids = tok.encode(prompt).ids
    n_prompt = len(ids)
    while len(ids) < n_prompt + 200:
        ids.append(int(m.logits(ids)[-1].argmax()))
    total = sum(r["nll"] for r in rows)
    count = sum(r["tokens"] - 1 for r in rows)
    json.dump({"source": "numpy %s, binary64" % np.__version__, "mean_loss": total / count, "targets": count,
               "stories": rows, "prompt": prompt, "prompt_ids": ids[:n_prompt], "greedy_ids": ids[n_prompt:]},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
