#!/usr/bin/env python3
"""What PEFT's DoRA computes on the tiny models.

usage: gen_dora.py MODELS_FOLDER      (gen_models.py made its folders; nothing of theirs is changed)
Needs torch, transformers, peft and safetensors. For each family it writes MODELS/<family>/dora/ (PEFT's files: rank 4
on all seven linears, random A and B, magnitudes a little off the rows' lengths), dora.safetensors and dora.json:
  logits       of golden.json's ids with the adapter
  start.<name> the magnitudes that PEFT starts with
  grad.<name>  gradient of the mean loss over golden.json's rows for each of the adapter's tensors
  losses       ten AdamW steps: loss before each; magnitudes do not decay
"""
import json
import os
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from gen_models import HYPER, TARGETS, total_loss

FAMILIES = ["llama", "qwen2", "qwen3"]


def file_name(name):
    name = name.replace(".default", "")
    return name.removesuffix(".weight") if "lora_magnitude_vector" in name else name


def make(folder, family):
    gen = torch.Generator().manual_seed(sum(map(ord, family)) + 7)
    golden = json.load(open(os.path.join(folder, "golden.json")))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.config._name_or_path = family
    pm = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, use_dora=True,
                                                    task_type="CAUSAL_LM"))
    out = {}
    with torch.no_grad():
        for name, p in pm.named_parameters():
            if "lora_magnitude_vector" in name:
                out["start." + file_name(name)] = p.clone()
                p.mul_(1 + 0.1 * torch.randn(p.shape, generator=gen))
            elif "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=gen) * 0.1)
    for name, p in pm.named_parameters():
        p.requires_grad = "lora_" in name
    adapter = os.path.join(folder, "dora")
    shutil.rmtree(adapter, ignore_errors=True)
    pm.save_pretrained(adapter)
    if os.path.exists(os.path.join(adapter, "README.md")):
        os.remove(os.path.join(adapter, "README.md"))
    with torch.no_grad():
        out["logits"] = pm(input_ids=torch.tensor([golden["ids"]])).logits[0].float()
    named = [(n, p) for n, p in pm.named_parameters() if p.requires_grad]
    groups = [{"params": [p for _, p in named if p.dim() > 1], "weight_decay": HYPER["weight_decay"]},
              {"params": [p for _, p in named if p.dim() == 1], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=HYPER["lr"], betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["eps"])
    losses = []
    for step in range(HYPER["steps"]):
        opt.zero_grad()
        loss = total_loss(pm, golden["rows"])
        loss.backward()
        if step == 0:
            for n, p in named:
                out["grad." + file_name(n)] = p.grad.clone()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], HYPER["clip"])
        opt.step()
        losses.append(float(loss))
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "dora.safetensors"))
    json.dump({"losses": losses, "made_with": {"torch": torch.__version__, "transformers": transformers.__version__,
                                               "peft": peft.__version__}},
              open(os.path.join(folder, "dora.json"), "w"), indent=None)
    print(family, ["%.5f" % v for v in losses])


def main():
    torch.set_num_threads(1)
    for family in FAMILIES:
        make(os.path.join(sys.argv[1], family), family)


if __name__ == "__main__":
    main()
