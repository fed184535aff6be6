#!/usr/bin/env python3
"""What transformers and torch compute when all weights of the tiny models are trained.

usage: gen_full.py MODELS_FOLDER      (gen_models.py made its folders; nothing of theirs is changed)
Needs torch, transformers and safetensors. For each family it writes MODELS/<family>/full.safetensors and full.json:
  grad.<name>  every fifth element, in row-major order, of the gradient of the mean loss over golden.json's rows
  losses       ten AdamW steps: loss before each; matrices and embeddings decay, norms and biases do not
"""
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from gen_models import HYPER, total_loss

FAMILIES = ["llama", "llama3", "qwen2", "qwen3"]


def make(folder):
    rows = json.load(open(os.path.join(folder, "golden.json")))["rows"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    named = list(model.named_parameters())
    groups = [{"params": [p for _, p in named if p.dim() > 1], "weight_decay": HYPER["weight_decay"]},
              {"params": [p for _, p in named if p.dim() == 1], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=HYPER["lr"], betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["eps"])
    grads, losses = {}, []
    for step in range(HYPER["steps"]):
        opt.zero_grad()
        loss = total_loss(model, rows)
        loss.backward()
        if step == 0:
            grads = {"grad." + n: p.grad.reshape(-1)[::5].clone().contiguous() for n, p in named}
        torch.nn.utils.clip_grad_norm_([p for _, p in named], HYPER["clip"])
        opt.step()
        losses.append(float(loss))
    save_file(grads, os.path.join(folder, "full.safetensors"))
    json.dump({"losses": losses, "hyper": HYPER,
               "made_with": {"torch": torch.__version__, "transformers": transformers.__version__}},
              open(os.path.join(folder, "full.json"), "w"))
    print(folder, ["%.5f" % v for v in losses])


def main():
    torch.set_num_threads(1)
    for family in FAMILIES:
        make(os.path.join(sys.argv[1], family))


if __name__ == "__main__":
    main()
