#!/usr/bin/env python3
"""Tiny random models of each family, and what transformers and peft compute on them.

usage: gen_models.py OUT_FOLDER
Needs torch, transformers and peft (any recent versions; the ones used are recorded). For each family it writes
OUT/<family>/: config.json and model.safetensors (random weights, float32), adapter/ (PEFT's files: a LoRA of rank 4
on all seven linears with random A and B), golden.safetensors and golden.json:
  logits       [n, vocab] of one sequence without the adapter;  logits_lora with it
  grad.<name>  gradient of the mean loss over the 8 rows for each LoRA tensor
  losses       ten AdamW steps over the same 8 rows: loss before each step
Rows, masks and hyperparameters stand in golden.json. Loss: sum over supervised tokens / their number.
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
import transformers
import peft
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

VOCAB = 97
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
COMMON = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
              max_position_embeddings=128, bos_token_id=1, eos_token_id=2, attn_implementation="eager")
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False,
                                            **COMMON)),
    "llama3": (LlamaForCausalLM, LlamaConfig(num_key_value_heads=3, rms_norm_eps=1e-5, tie_word_embeddings=True,
                                             rope_parameters=LLAMA3, **COMMON)),
    "mistral": (MistralForCausalLM, MistralConfig(num_key_value_heads=2, rms_norm_eps=1e-5, sliding_window=7,
                                                  tie_word_embeddings=False, **COMMON)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=True,
                                            **COMMON)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-6,
                                            tie_word_embeddings=False, **COMMON)),
}
HYPER = {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01, "clip": 1.0, "steps": 10}


def rows_for(gen):
    rows = []
    for _ in range(8):
        n = int(torch.randint(6, 24, (1,), generator=gen))
        ids = torch.randint(3, VOCAB, (n,), generator=gen).tolist()
        target = (torch.rand(n, generator=gen) < 0.6).int().tolist()
        target[0] = 0
        target[-1] = 1
        rows.append({"ids": ids, "target": target})
    return rows


def total_loss(model, rows):
    n = sum(sum(r["target"]) for r in rows)
    loss = 0.0
    for r in rows:
        x = torch.tensor([r["ids"]])
        lp = torch.log_softmax(model(input_ids=x).logits[0].float(), -1)
        for i in range(1, len(r["ids"])):
            if r["target"][i]:
                loss = loss - lp[i - 1, r["ids"][i]]
    return loss / n


def make(family, out):
    cls, config = FAMILIES[family]
    gen = torch.Generator().manual_seed(sum(map(ord, family)))
    torch.manual_seed(1234)
    model = cls(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if "norm" in name else 0.12
            p.copy_(torch.randn(p.shape, generator=gen) * scale + (1.0 if "norm" in name else 0.0))
    folder = os.path.join(out, family)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model.save_pretrained(folder)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    golden, rows = {}, rows_for(gen)
    ids = torch.randint(3, VOCAB, (40,), generator=gen)
    with torch.no_grad():
        golden["logits"] = model(input_ids=ids[None]).logits[0].float()
    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM")
    pm = peft.get_peft_model(model, lora)
    with torch.no_grad():
        for name, p in pm.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=gen) * 0.1)
    pm.save_pretrained(os.path.join(folder, "adapter"))
    for extra in ("README.md",):
        if os.path.exists(os.path.join(folder, "adapter", extra)):
            os.remove(os.path.join(folder, "adapter", extra))
    with torch.no_grad():
        golden["logits_lora"] = pm(input_ids=ids[None]).logits[0].float()
    params = [p for p in pm.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=HYPER["lr"], betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["eps"],
                            weight_decay=HYPER["weight_decay"])
    losses, norms = [], []
    for step in range(HYPER["steps"]):
        opt.zero_grad()
        loss = total_loss(pm, rows)
        loss.backward()
        if step == 0:
            for name, p in pm.named_parameters():
                if p.requires_grad:
                    golden["grad." + name.replace(".default", "")] = p.grad.clone()
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, HYPER["clip"])))
        opt.step()
        losses.append(float(loss))
    save_file({k: v.contiguous() for k, v in golden.items()}, os.path.join(folder, "golden.safetensors"))
    json.dump({"family": family, "ids": ids.tolist(), "rows": rows, "losses": losses, "grad_norms": norms,
               "hyper": HYPER, "made_with": {"torch": torch.__version__, "transformers": transformers.__version__,
                                             "peft": peft.__version__, "numpy": np.__version__}},
              open(os.path.join(folder, "golden.json"), "w"), indent=None)
    print(family, ["%.5f" % v for v in losses], ["%.3f" % v for v in norms])


def main():
    torch.set_num_threads(1)
    for family in FAMILIES:
        make(family, sys.argv[1])


if __name__ == "__main__":
    main()
